"""The aggregated discovery document in protobuf. Its types are in no published schema, so their field numbers stand here.

Called by discovery.py. Writes only: nobody sends such a document to us in protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.registry.kind import Obj
from openapi import protobuf
from openapi.protobuf import message, text


def write(document: Obj) -> bytes:
    """An APIGroupDiscoveryList in its envelope."""
    items = b"".join(message(2, _group(group)) for group in document["items"])
    return protobuf.write(document["apiVersion"], document["kind"], message(1, b"") + items)


def _group(group: Obj) -> bytes:
    versions = b"".join(message(2, _version(version)) for version in group["versions"])
    return protobuf.metadata_message(group["metadata"]) + versions


def _version(version: Obj) -> bytes:
    resources = b"".join(message(2, _resource(resource)) for resource in version.get("resources") or ())
    return text(1, version["version"]) + resources + text(3, version.get("freshness", ""))


def _resource(resource: Obj) -> bytes:
    return b"".join(
        (
            text(1, resource["resource"]),
            _kind(2, resource.get("responseKind")),
            text(3, resource.get("scope", "")),
            text(4, resource.get("singularResource", "")),
            _texts(5, resource.get("verbs")),
            _texts(6, resource.get("shortNames")),
            _texts(7, resource.get("categories")),
            *(message(8, _subresource(sub)) for sub in resource.get("subresources") or ()),
        )
    )


def _subresource(sub: Obj) -> bytes:
    kinds = b"".join(_kind(3, accepted) for accepted in sub.get("acceptedTypes") or ())
    return text(1, sub["subresource"]) + _kind(2, sub.get("responseKind")) + kinds + _texts(4, sub.get("verbs"))


def _kind(number: int, kind: Obj | None) -> bytes:
    if kind is None:
        return b""
    parts = (text(1, kind.get("group", "")), text(2, kind.get("version", "")), text(3, kind.get("kind", "")))
    return message(number, b"".join(parts))


def _texts(number: int, values: Iterable[str] | None) -> bytes:
    return b"".join(text(number, value) for value in values or ())
