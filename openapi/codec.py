"""From the bytes of a request to an object: JSON and YAML, strictness, and the original's words for what is wrong.

parse(raw, media_type) -> Parsed        .obj is the decoded JSON value; ParseError(text) when it is none
decode(info, parsed) -> (obj, problems) obj: pruned, checked, in canonical form (as Go would write it again); problems:
                                        'unknown field "spec.foo"', 'duplicate field "data.a"', in document order.
                                        DecodeError(text) when a value has a wrong type: the text is what follows
                                        '... cannot be handled as a ConfigMap: '
strict_text(problems)                   'strict decoding error: unknown field "a", duplicate field "b"'
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from openapi import compile, jsontext, protobuf, schemas, yamltext
from openapi.explain import DecodeError, Literal, Pairs
from openapi.schemas import TypeInfo

__all__ = ["DecodeError", "ParseError", "Parsed", "decode", "parse", "parse_json", "parse_protobuf", "strict_text"]

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MAX_DEPTH = (
    200  # orjson writes 254 levels; lists, tables, reviews, watch events and managedFields put some around a body
)
_SHOWN_DIGITS = 400
_LEVELS_LEFT = 254 - MAX_DEPTH


class ParseError(Exception):
    """The bytes are no JSON (or YAML). The text is the original's; `yaml`: that of its YAML reader, "" for JSON."""

    def __init__(self, text: str, yaml: str = "") -> None:
        super().__init__(text)
        self.yaml = yaml


class Parsed:
    """A decoded body. json: its JSON bytes if it came as JSON. duplicates: some object in it may have a key twice;
    problems: strictness errors of the YAML itself."""

    __slots__ = ("duplicates", "json", "obj", "problems")

    def __init__(
        self, obj: Any, raw: bytes | None, *, duplicates: bool = False, problems: list[str] | None = None
    ) -> None:
        self.obj = obj
        self.json = raw
        self.duplicates = duplicates
        self.problems = problems or []


def parse(raw: bytes, media_type: str = JSON, *, yaml: bool = False) -> Parsed:
    """The JSON value in the bytes; of a YAML stream the first document, as JSON."""
    yaml = yaml or media_type == YAML
    if media_type == PROTOBUF:
        return parse_protobuf(raw)
    if yaml:
        if raw[:1] in (b"{", b"[") and (parsed := _plain_json(raw)) is not None:
            return parsed
        try:
            obj, problems = yamltext.load(raw)
        except yamltext.YamlError as error:
            raise ParseError(f"error converting YAML to JSON: {error}", str(error)) from None
        return Parsed(obj, None, problems=problems)
    return parse_json(raw)


def _plain_json(raw: bytes) -> Parsed | None:
    """JSON where YAML is allowed, read the fast way; None when only the YAML reader can say what it is."""
    try:
        parsed = parse_json(raw)
    except ParseError:
        return None
    return None if parsed.duplicates else parsed


def parse_json(raw: bytes) -> Parsed:
    try:
        obj = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Bytes that are not UTF-8, which Go replaces, or no JSON at all.
        text = raw.decode("utf-8", "replace")
        error = jsontext.error(text)
        if error is not None:
            raise ParseError(error) from None
        try:
            obj = orjson.loads(_without_surrogates(text))
        except (orjson.JSONDecodeError, RecursionError):
            raise ParseError("exceeded max depth") from None
    return Parsed(obj, raw, duplicates=_may_have_duplicates(raw, obj))


def parse_protobuf(raw: bytes) -> Parsed:
    """A protobuf body of a built-in kind as JSON would have had it; ParseError. A kind nobody knows comes out empty."""
    try:
        api_version, kind, body = protobuf.read(raw)
        obj: dict[str, Any] = {"apiVersion": api_version, "kind": kind}
        name = f"{api_version}/{kind}"
        if schemas.load().has(name):
            obj.update(protobuf.decode(schemas.load().type(name), body))
    except protobuf.ProtobufError as error:
        raise ParseError(str(error)) from None
    return Parsed(obj, None)


def _without_surrogates(text: str) -> bytes:
    """Unpaired surrogate escapes become U+FFFD, as in Go."""
    return json.dumps(_loads(text)).encode("ascii") if "\\u" not in text else _repaired(text)


def _loads(text: str) -> Any:
    """As json.loads, for text that orjson did not take. A number that no float64 can hold is told of as in Go."""
    return json.loads(
        text, parse_float=_finite, parse_int=lambda digits: _finite(digits) if len(digits) > 19 else int(digits)
    )


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        shown = text if len(text) <= _SHOWN_DIGITS else text[:_SHOWN_DIGITS] + "..."
        raise ParseError(f"json: cannot unmarshal number {shown} into Go value of type float64")
    return value


def _repaired(text: str) -> bytes:
    return (
        json.dumps(_loads(text), ensure_ascii=False)
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
        .encode()
    )


def _may_have_duplicates(raw: bytes, obj: Any) -> bool:
    """Whether some key may occur twice: what was read has fewer quotes than what was sent. Bounds nesting on the way."""
    again = encoded(obj)
    if again is None:
        raise ParseError("exceeded max depth")
    return raw.count(b'"') != again.count(b'"') or b"\\u0022" in raw


def encoded(value: Any) -> bytes | None:
    """The value's JSON, or None when it is nested more than MAX_DEPTH levels."""
    for _ in range(_LEVELS_LEFT):
        value = [value]
    try:
        return orjson.dumps(value)[_LEVELS_LEFT:-_LEVELS_LEFT]
    except orjson.JSONEncodeError:
        return None


def decode(info: TypeInfo, parsed: Parsed) -> tuple[Any, list[str]]:
    """The body as an object of that type. Raises DecodeError."""
    if not parsed.duplicates and not parsed.problems:
        try:
            return info.decoder(parsed.obj), []
        except compile.Slow:
            pass
    obj, problems = info.explain(pairs(parsed))
    return obj, parsed.problems + problems


def pairs(parsed: Parsed) -> Any:
    """The body with Pairs and Literals where its bytes are at hand."""
    if parsed.json is None:
        return parsed.obj
    text = parsed.json.decode("utf-8", "replace")
    return json.loads(text, object_pairs_hook=_pairs, parse_float=Literal, parse_int=_integer)


def _pairs(items: list[tuple[str, Any]]) -> Pairs:
    return Pairs(items)  # a call of Python's, not of C's: between calls the thread lets others run


def _integer(text: str) -> Any:
    return int(text) if len(text) < _SHOWN_DIGITS else Literal(text)


def strict_text(problems: list[str]) -> str:
    return "strict decoding error: " + ", ".join(problems)
