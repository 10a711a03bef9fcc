"""Media types: what a client sends, what it accepts, and in which form an object goes out.

Called by handlers; raises the original's 406 and 415. Two stages, as there: the route's (go-restful: does any listed type
match at all) and the serializer's (clauses by quality, with the transformations as=Table, as=PartialObjectMetadata).
Results are cached by header, since a client sends the same one again and again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import yaml

from apimachinery import errors, memo
from apimachinery.errors import ApiError
from apiserver.filters.base import Request

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MEDIA_TYPES = (JSON, YAML, PROTOBUF)  # custom resources have no protobuf form, though the texts of errors list it
STREAM_TYPES = (JSON + ";stream=watch", PROTOBUF + ";stream=watch")

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_META = "meta.k8s.io"
_TRANSFORMS = {
    "Table": ("v1", "v1beta1"),
    "PartialObjectMetadata": ("v1", "v1beta1"),
    "PartialObjectMetadataList": ("v1", "v1beta1"),
}


@dataclass(frozen=True, slots=True)
class Output:
    """The form of an answer.

    media_type: JSON, YAML or PROTOBUF. kind: "" for the object itself, or "Table", "PartialObjectMetadata",
    "PartialObjectMetadataList"; version: of that kind. pretty: indented.
    """

    media_type: str = JSON
    kind: str = ""
    version: str = ""
    pretty: bool = False

    @property
    def plain_json(self) -> bool:
        return self.media_type == JSON and not self.pretty

    @property
    def metadata_only(self) -> bool:
        return self.kind.startswith("PartialObjectMetadata")


DEFAULT = Output()


@dataclass(frozen=True, slots=True)
class Clause:
    """One entry of an Accept header."""

    type: str
    subtype: str
    quality: float
    params: tuple[tuple[str, str], ...]


def parse_accept(header: str) -> tuple[Clause, ...]:
    """Clauses, best first (by quality; order otherwise). A clause that is no media type is dropped."""
    clauses = []
    for part in header.split(","):
        first, *rest = part.split(";")
        main, slash, sub = first.strip().partition("/")
        if not slash and main == "*":
            sub = "*"
        elif not slash:
            continue
        quality = 1.0
        params = []
        for item in rest:
            name, equals, value = item.strip().partition("=")
            if not equals:
                continue
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 1.0
            else:
                params.append((name.strip(), value.strip()))
        clauses.append(Clause(main.strip(), sub.strip(), quality, tuple(params)))
    clauses.sort(key=lambda clause: -clause.quality)
    return tuple(clauses)


_READ_HEADER = 16 * 1024  # characters; what a longer header says after them does not count
_CACHED_HEADER = 2048  # characters; longer headers are read each time, so that nobody can fill memory with them


def _route_accepts(header: str, produced: tuple[str, ...]) -> bool:
    """go-restful's test: any listed type that the route produces, or */*; application/* is not understood."""
    for part in header.split(","):
        name = part.partition(";")[0].strip()
        if name == "*/*" or name in produced:
            return True
    return False


_route_accepts_cached = lru_cache(512)(_route_accepts)


STREAMING = (*MEDIA_TYPES, *STREAM_TYPES)


def check_route(request: Request, produced: tuple[str, ...] = MEDIA_TYPES) -> None:
    """The route's own 406. produced: the media types that the route says it answers in."""
    header = request.headers.get("Accept", "")[:_READ_HEADER]
    if not header:
        return
    accepts = _route_accepts_cached if len(header) < _CACHED_HEADER else _route_accepts
    if not accepts(header, produced):
        text = "406: Not Acceptable\n\nAvailable representations: " + ", ".join(produced)
        raise ApiError(406, "NotAcceptable", text, details={})


def _choose(header: str, transforms: bool, custom: bool, tables: bool) -> Output | None:
    for clause, accepted in _matches(header):
        output = _accept_params(clause, accepted, transforms, custom)
        if output is not None and output.kind == "Table" and not tables:
            continue
        if output is not None:
            return output
    return None


def _matches(header: str) -> Iterator[tuple[Clause, str]]:
    """Each clause, best first, with each of our media types that it names."""
    for clause in parse_accept(header):
        for accepted in MEDIA_TYPES:
            main, _, sub = accepted.partition("/")
            exact = clause.type == main and clause.subtype in (sub, "*")
            if exact or (clause.type == "*" and clause.subtype == "*"):
                yield clause, accepted


_choose_cached = lru_cache(1024)(_choose)


def _accept_params(clause: Clause, accepted: str, transforms: bool, custom: bool) -> Output | None:
    params = dict(clause.params)
    if not _streams(params, accepted):
        return None
    pretty = params.get("pretty") == "1"
    if not params.keys() & {"as", "g", "v"}:
        return None if custom and accepted == PROTOBUF else Output(accepted, pretty=pretty)
    kind, version = params.get("as", ""), params.get("v", "")
    if not transforms or params.get("g") != _META or version not in _TRANSFORMS.get(kind, ()):
        return None
    if kind == "Table" and accepted == PROTOBUF:
        return None
    return Output(accepted, kind, version, pretty)


def _streams(params: Mapping[str, str], accepted: str) -> bool:
    """Whether the parameters that say how the answer is framed and versioned can be met."""
    stream = params.get("stream")
    return not params.get("sv") and (not stream or (accepted != YAML and stream == "watch"))


def _chosen(request: Request, transforms: bool, custom: bool, tables: bool = True) -> Output | None:
    header = request.headers.get("Accept", "")[:_READ_HEADER]
    if not header:
        return DEFAULT
    choose = _choose_cached if len(header) < _CACHED_HEADER else _choose
    return choose(header, transforms, custom, tables)


def output(request: Request, *, transforms: bool = True, custom: bool = False, tables: bool = True) -> Output:
    """The form in which the client wants the answer; 406 when it accepts none.

    transforms: Tables and metadata are possible. custom: a custom resource, which has no protobuf form of its own.
    tables: False where there is metadata only.
    """
    chosen = _chosen(request, transforms, custom, tables)
    if chosen is None:
        raise errors.not_acceptable(MEDIA_TYPES)
    if not chosen.pretty and chosen.media_type == JSON and _wants_pretty(request):
        return Output(chosen.media_type, chosen.kind, chosen.version, True)
    return chosen


def converted(request: Request, wanted: tuple[str, str, str]) -> Output | None:
    """The form of a document that clients ask for as this kind, group and version; None when they ask for none.

    Clauses without a conversion do not count, however good.
    """
    for clause, accepted in _matches(request.headers.get("Accept", "")[:_READ_HEADER]):
        params = dict(clause.params)
        if tuple(params.get(name, "") for name in ("as", "g", "v")) != wanted or not _streams(params, accepted):
            continue
        pretty = accepted == JSON and (params.get("pretty") == "1" or _wants_pretty(request))
        return Output(accepted, pretty=pretty)
    return None


def error_output(request: Request) -> Output:
    """As output(), for Statuses: who accepts none of the forms gets indented JSON."""
    chosen = _chosen(request, False, False)
    if chosen is None:
        return Output(pretty=True)
    if not chosen.pretty and chosen.media_type == JSON and _wants_pretty(request):
        return Output(chosen.media_type, pretty=True)
    return chosen


_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))


def _wants_pretty(request: Request) -> bool:
    if "pretty" in request.raw_query:
        value = request.param("pretty")
        if value:
            return value in _TRUE
    return request.headers.get("User-Agent", "").startswith(("curl", "Wget", "Mozilla/5.0"))


@memo.short(256)
def media_type(header: str) -> str | None:
    """The bare media type of a Content-Type header in lower case, None when it is malformed."""
    bare, *params = header.split(";")
    bare = bare.strip().lower()
    if any(param.strip() and "=" not in param for param in params):
        return None
    main, slash, sub = bare.partition("/")
    return bare if main and (sub or not slash) else None


def input_type(request: Request, *, custom: bool = False) -> str:
    """JSON, YAML or (not of custom kinds) protobuf: how the body is to be read; 415 for others. No Content-Type means JSON."""
    header = request.headers.get("Content-Type")
    if not header:
        return JSON
    found = media_type(header)
    if found is None or found not in MEDIA_TYPES or (custom and found == PROTOBUF):
        raise errors.unsupported_media_type(MEDIA_TYPES)
    return found


def patch_type(request: Request, supported: tuple[str, ...]) -> str:
    """The patch's media type; 415 when it is none of those supported.

    The text is the route's, or the handler's: for what others support, and for custom resources, which have no route.
    """
    found = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if found not in supported:
        if found == STRATEGIC_PATCH or STRATEGIC_PATCH not in supported:
            raise errors.unsupported_media_type(supported)
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    return found


def render(document: Any, form: Output) -> bytes:
    """A JSON-shaped value in the chosen media type."""
    if form.media_type == YAML:
        return to_yaml(document)
    if form.media_type == PROTOBUF:
        return to_protobuf(document)
    if form.pretty:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)
    return orjson.dumps(document) + b"\n"


def to_protobuf(document: Any) -> bytes:
    """An object of a built-in type in its protobuf form, envelope included."""
    from openapi import protobuf, schemas

    kind, api_version = document["kind"], document.get("apiVersion") or ""
    info = schemas.load().type(f"{api_version or 'v1'}/{kind}")
    return protobuf.write(api_version, kind, protobuf.encode(info, document))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


# What a YAML 1.1 reader takes for a number, and PyYAML does not.
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BOOLS = frozenset("yYnN")
_STRING_TAG = "tag:yaml.org,2002:str"


def _string(dumper: Any, text: str) -> Any:
    """Lines as a literal block; in double quotes what would be read as another type; else as it is, if it can be."""
    style = None
    if "\n" in text:
        style = "|"
    elif (
        text in _BOOLS or _NUMBER.fullmatch(text) or dumper.resolve(yaml.ScalarNode, text, (True, False)) != _STRING_TAG
    ):
        style = '"'
    return dumper.represent_scalar(_STRING_TAG, text, style=style)


_Dumper.add_representer(str, _string)


def to_yaml(document: Any) -> bytes:
    """As the original's encoder: keys sorted, no aliases, its choice of quotes."""
    text: str = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, width=80)
    return text.encode()
