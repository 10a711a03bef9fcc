"""Decodes what a webhook sent back as an AdmissionReview, refusing what the original's decoder refuses, in its words."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.field import go_quote
from apimachinery.gvk import split_api_version
from apiserver.registry.kind import Obj
from openapi import codec, schemas
from openapi.schemas import Field, TypeInfo

GROUP = "admission.k8s.io"
VERSIONS = ("v1", "v1beta1")
_SCHEME = "k8s.io/apiserver/pkg/util/webhook/client.go:71"
_HEAD = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'

_STRING = TypeInfo("scalar", code="s")
_BOOL = TypeInfo("scalar", code="b")
_BYTES = TypeInfo("scalar", code="y")
_ANY = TypeInfo("any", code="J")


def _struct(name: str, **fields: tuple[TypeInfo, str]) -> TypeInfo:
    return TypeInfo(
        "struct",
        name=f"v1.{name}",
        fields={key: Field(key, type_, [type_.code, go, 1]) for key, (type_, go) in fields.items()},
    )


def _review() -> TypeInfo:
    texts = TypeInfo("list", elem=_STRING, list_type="atomic", atomic=True)
    notes = TypeInfo("map", elem=_STRING)
    response = _struct(
        "AdmissionResponse",
        uid=(_STRING, "string"),
        allowed=(_BOOL, "bool"),
        status=(schemas.load().type("v1/Status"), "*v1.Status"),
        patch=(_BYTES, "[]uint8"),
        patchType=(_STRING, "*string"),
        auditAnnotations=(notes, "map[string]string"),
        warnings=(texts, "[]string"),
    )
    return _struct(
        "AdmissionReview",
        kind=(_STRING, "string"),
        apiVersion=(_STRING, "string"),
        request=(_ANY, "*v1.AdmissionRequest"),
        response=(response, "*v1.AdmissionResponse"),
    )


_types: list[TypeInfo] = []  # made when it is first needed: loading the schemas takes a moment


class Undecodable(Exception):
    """The answer cannot be read as an AdmissionReview."""


def decode(body: bytes, wanted: str) -> Obj:
    """The review, with the type that it states itself. wanted: the apiVersion of what was sent."""
    try:
        found = codec.parse(body, "application/json")
    except codec.ParseError:
        try:
            found = codec.parse(body, "application/yaml")
        except codec.ParseError as error:
            raise Undecodable(f"couldn't get version/kind; json parse error: {error}") from None
    if found.obj is None:
        return {}
    if not isinstance(found.obj, dict):
        kind = {str: "string", list: "array", bool: "bool"}.get(type(found.obj), "number")
        text = f"json: cannot unmarshal {kind} into Go value of type {_HEAD}"
        raise Undecodable(f"couldn't get version/kind; json parse error: {text}")
    _check_type(found.obj, wanted)
    if not _types:
        _types.append(_review())
    try:
        review: Obj = codec.decode(_types[0], found)[0]
    except codec.DecodeError as error:
        raise Undecodable(str(error)) from None
    return review


def plain(body: bytes) -> Obj:
    """A review of another group, as it stands."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"couldn't get version/kind; json parse error: {error}") from None
    return found if isinstance(found, dict) else {}


def _check_type(review: Obj, wanted: str) -> None:
    stated, kind = _text(review, "apiVersion"), _text(review, "kind")
    group, version = split_api_version(stated)
    if (stated and kind and kind != "AdmissionReview") or (stated and (group != GROUP or version not in VERSIONS)):
        name = kind or "AdmissionReview"
        text = f"no kind {go_quote(name)} is registered for version {go_quote(stated)} in scheme {go_quote(_SCHEME)}"
        raise Undecodable(text)
    expected = split_api_version(wanted)[1]
    if stated and version != expected:
        text = f"converting ({version}.AdmissionReview) to ({expected}.AdmissionReview): unknown conversion"
        raise Undecodable(text)


def _text(review: Obj, name: str) -> str:
    value: Any = review.get(name)
    return value if isinstance(value, str) else ""
