"""References to objects of any group, as ingress backends, ingress class parameters and IP addresses have them."""

from __future__ import annotations

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.registry.kind import Obj
from apiserver.validation import names


def path_segments(obj: Obj, path: str, *fields: str) -> list[FieldError]:
    """Required fields that must be usable as a segment of a URL path."""
    errors: list[FieldError] = []
    for name in fields:
        value = obj.get(name) or ""
        if not value:
            errors.append(field.required(f"{path}.{name}"))
        errors += [field.invalid(f"{path}.{name}", value, text) for text in names.path_segment(value)]
    return errors


def validate_typed_reference(reference: Obj, path: str) -> list[FieldError]:
    """A group, a kind and a name."""
    errors: list[FieldError] = []
    group = reference.get("apiGroup")
    if group is not None:
        errors += [field.invalid(path + ".apiGroup", group, text) for text in names.dns_subdomain(group)]
    return errors + path_segments(reference, path, "kind", "name")
