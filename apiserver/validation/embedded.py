"""Resources inside of custom resources: each has apiVersion, kind and well-formed metadata.

Called by registry/crd_kind for what is written, and by kinds/apiextensions/default_rules for what schemas give as defaults.
"""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import meta, names
from apiserver.validation.places import places
from openapi import structural
from openapi.explain import DecodeError
from openapi.structural import Structural

Obj = dict[str, Any]


def validate(obj: Any, schema: Structural | bool | None, path: str) -> list[FieldError]:
    """What is wrong with the embedded resources in a value of that schema."""
    found: list[FieldError] = []
    for value, node, where in places(obj, schema, path, lambda node: node.holds_embedded):
        if node.embedded and isinstance(value, dict):
            found += _resource(value, where)
    return found


def _resource(obj: Obj, path: str) -> list[FieldError]:
    found = [field.required(field.child(path, name)) for name in ("apiVersion", "kind") if name not in obj]
    for name in ("apiVersion", "kind"):
        if name not in obj:
            continue
        where, value = field.child(path, name), obj[name]
        if not isinstance(value, str):
            found.append(field.invalid(where, field.as_map(value), "must be a string"))
        elif not value:
            found.append(field.invalid(where, value, "must not be empty"))
        elif name == "apiVersion" and value.count("/") > 1:
            found.append(field.invalid(where, value, f"unexpected GroupVersion string: {value}"))
        elif name == "kind" and (problems := names.dns1035_label(value.lower())):
            text = "may have mixed case, but should otherwise match: " + ",".join(problems)
            found.append(field.invalid(where, value, text))
    if "metadata" in obj:
        where = field.child(path, "metadata")
        try:
            metadata, _ = structural.metadata_type().decode(obj["metadata"])
        except DecodeError as error:
            return [*found, field.invalid(where, field.as_map(obj["metadata"]), str(error))]
        metadata.setdefault("name", "fakename")
        found += meta.validate_object_meta(metadata, bool(metadata.get("namespace")), names.path_segment, where)
    return found
