"""A request's objects as webhooks and policies see them: in the version that these asked for, and back."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import errors
from apimachinery.gvk import api_version, split_api_version
from apiserver.admission.base import Attributes
from apiserver.kinds.core.binding import BINDING
from apiserver.registry.kind import Kind, Obj

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


def in_version(a: Attributes, obj: Obj | None, group: str, version: str) -> Obj | None:
    """The object as the webhook sees it: converted when it is in another version."""
    if obj is None or a.kind is None or a.subresource not in ("", "status"):
        return obj
    target = api_version(group, version)
    stated = obj.get("apiVersion") or target
    if stated == target:
        return obj
    _, source = split_api_version(stated)
    return a.kind.convert(obj, source, version)


def kind_of(a: Attributes) -> tuple[str, str, str]:
    """(group, version, kind) of what the request is about."""
    for obj in (a.obj, a.old):
        if obj is not None and obj.get("kind"):
            group, version = split_api_version(obj.get("apiVersion") or "")
            if a.kind is not None and obj["kind"] == a.kind.kind:
                version = a.version
            return group, version, str(obj["kind"])
    return a.group, a.version, a.kind.kind if a.kind is not None else ""


def options(a: Attributes) -> Obj | None:
    """Of the operation, as a typed object."""
    kind = _OPTIONS.get(a.operation)
    if kind is None:
        return None
    return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **a.operation_options}


def kind_in(a: Attributes, obj: Obj) -> Kind | None:
    """The kind of the request's object: not that of its resource where a subresource has a body of its own."""
    name = str(obj.get("kind") or "")
    if a.kind is not None and name == a.kind.kind:
        return a.kind
    group, version = split_api_version(obj.get("apiVersion") or "")
    found: Kind | None = BINDING if (group, name) == ("", "Binding") else a.services["resource-of-kind"](group, name)
    return found if found is not None and version in found.versions else None


def decoded(kind: Kind | None, version: str, obj: Any, *, strict: bool = False) -> Obj:
    """The patched object as decoding and defaulting leave it: unknown fields gone (refused by strict), types checked."""
    from openapi import codec

    if not isinstance(obj, dict):
        raise errors.internal_error("the patched object is no object")
    if kind is None:
        return obj
    info = kind.type_info(version)
    try:
        known, _ = info.decode(obj)
        if strict and known != obj:
            _, problems = codec.decode(info, codec.Parsed(obj, orjson.dumps(obj)))
            if problems:
                raise errors.internal_error(codec.strict_text(problems))
    except codec.DecodeError as error:
        raise errors.internal_error(str(error)) from error
    if known.get("metadata") and known["metadata"].get("managedFields") == []:
        del known["metadata"]["managedFields"]
    typed = {"kind": kind.kind, "apiVersion": kind.api_version(version), **known}
    kind.default(typed, version)
    return typed


def stored_version(a: Attributes, version: str, obj: Obj) -> Obj:
    """Back from a version to the one that the request's object is in."""
    kind = a.kind
    if kind is None or version == kind.storage_version or a.subresource not in ("", "status"):
        return obj
    return kind.convert(obj, version, kind.storage_version)
