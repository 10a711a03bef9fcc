"""Kinds of configuration files: which ones a file may hold, read with the original's rules and words.

    scheme = Scheme("k8s.io/…/load.go:32", TYPES, {("group/v1", "Kind"): Entry("Type", "*pkg.Kind")})
    found = scheme.read(raw)          Found(entry, obj): pruned, typed; NoVersion, Unregistered or ConfigError (all one tree)

Types are given in the compact form of openapi/schemas.py, so that decoding, its strictness and its complaints are those of request
bodies. Called by authorization and admission for their files; knows no kind itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.field import FieldError, go_quote
from openapi import codec
from openapi.schemas import Schemas

_NO_TYPE = (
    "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct "
    '{{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }}'
)
_CONVERTING = "error converting YAML to JSON: "
Types = Mapping[str, Mapping[str, Sequence[Any]]]


class ConfigError(ValueError):
    """A configuration that cannot be used; the text says why."""

    plain = True  # users need no traceback


class Unregistered(ConfigError):
    """A document that says no kind or version, or ones that are not expected here."""

    def __init__(self, text: str, version: str, kind: str) -> None:
        super().__init__(text)
        self.version, self.kind = version, kind


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind: the name of its type in the scheme, and what the original calls what it is decoded into."""

    type: str
    go: str


@dataclass(frozen=True, slots=True)
class Found:
    entry: Entry
    obj: dict[str, Any]


class Scheme:
    """The kinds one file may hold. name: the original's for its scheme, part of its texts. strict: unknown fields are errors."""

    def __init__(self, name: str, types: Types, kinds: Mapping[tuple[str, str], Entry], *, strict: bool = True) -> None:
        head: dict[str, Sequence[Any]] = {"kind": ["s", "string", 1], "apiVersion": ["s", "string", 1]}
        tops = {entry.type for entry in kinds.values()}
        data = {type_: {"f": {**(head if type_ in tops else {}), **fields}} for type_, fields in types.items()}
        self._name = name
        self._schemas = Schemas({"kinds": {}, "types": data})
        self._kinds = kinds
        self._strict = strict

    def read(self, raw: bytes) -> Found:
        parsed = parse_object(raw)
        entry = self._entry(parsed.obj, raw)
        return Found(entry, self._decode(entry.type, parsed))

    def read_as(self, type_: str, raw: bytes) -> dict[str, Any]:
        """A document that is of that type, whatever it says itself."""
        return self._decode(type_, parse(raw))

    def _decode(self, type_: str, parsed: codec.Parsed) -> dict[str, Any]:
        if parsed.json is None:
            parsed.obj = _sorted(parsed.obj)
        try:
            obj, problems = codec.decode(self._schemas.type(type_), parsed)
        except codec.DecodeError as error:
            raise ConfigError(str(error)) from None
        if problems and self._strict:
            raise ConfigError(codec.strict_text(problems))
        found: dict[str, Any] = obj
        return found

    def _entry(self, document: dict[str, Any], raw: bytes) -> Entry:
        for name in ("apiVersion", "kind"):
            if not isinstance(document.get(name) or "", str):
                where = f"struct field .{name} of type string"
                text = f"json: cannot unmarshal {_json_name(document[name])} into Go {where}"
                raise ConfigError(f"couldn't get version/kind; json parse error: {text}")
        kind, version = document.get("kind") or "", document.get("apiVersion") or ""
        for missing, value in (("Kind", kind), ("apiVersion", version)):
            if not value:
                shown = raw.decode("utf-8", "replace")
                raise Unregistered(f"Object '{missing}' is missing in '{shown}'", version, kind)
        entry = self._kinds.get((version, kind))
        if entry is None:
            raise Unregistered(self.unregistered(version, kind), version, kind)
        return entry

    def unregistered(self, version: str, kind: str) -> str:
        """What is said of a kind that no file of this scheme holds."""
        text = f"no kind {go_quote(kind)} is registered for version {go_quote(version)}"
        return f"{text} in scheme {go_quote(self._name)}"


def parse(raw: bytes) -> codec.Parsed:
    """YAML or JSON: what begins with a brace can only be JSON. ConfigError."""
    try:
        if raw.lstrip()[:1] == b"{":
            return codec.parse_json(raw)
        return codec.parse(raw, yaml=True)
    except codec.ParseError as error:
        if raw.lstrip()[:1] == b"{":
            raise ConfigError(f"couldn't get version/kind; json parse error: {error}") from None
        raise ConfigError(str(error).removeprefix(_CONVERTING)) from None


def parse_object(raw: bytes) -> codec.Parsed:
    """As parse(), and refuses what is no object."""
    parsed = parse(raw)
    if parsed.obj is None:
        parsed.obj = {}
    if not isinstance(parsed.obj, dict):
        raise ConfigError(_NO_TYPE.format(_json_name(parsed.obj)))
    return parsed


def aggregate(problems: Sequence[FieldError | str]) -> str:
    """Several texts as the original's aggregate prints them."""
    texts = list(dict.fromkeys(map(str, problems)))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def file_error(error: OSError, verb: str = "open") -> str:
    """What a file cannot be read for, as Go says it. verb: what was being done to it."""
    if isinstance(error, IsADirectoryError):
        verb = "read"
    text = (error.strerror or str(error)).lower()
    return f"{verb} {error.filename or ''}: {text}"


def _sorted(value: Any) -> Any:
    """Keys in order, as YAML that was made into JSON has them."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _json_name(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {dict: "object", list: "array", str: "string", type(None): "null"}.get(type(value), "number")
