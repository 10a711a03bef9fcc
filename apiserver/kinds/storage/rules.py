"""Checks that several storage kinds share: driver names, parameters, topologies."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import names

_DRIVER_LIMIT = 63
_PARAMETERS_LIMIT = 512
_PARAMETERS_SIZE = 256 * 1024


def driver_name(name: str, path: str) -> list[FieldError]:
    """The name of a CSI driver: a DNS subdomain in any case."""
    if not name:
        return [field.required(path)]
    errors = [field.too_long(path, _DRIVER_LIMIT)] if len(name.encode()) > _DRIVER_LIMIT else []
    return errors + [field.invalid(path, name, text) for text in names.dns_subdomain(name.lower())]


def provisioner(name: str, path: str) -> list[FieldError]:
    """The name of a provisioner: a qualified name in any case."""
    errors = [] if name else [field.required(path, name)]
    if name:
        errors += [field.invalid(path, name.lower(), text) for text in names.qualified_name(name.lower())]
    return errors


def parameters(given: Mapping[str, str] | None, path: str, *, allow_empty: bool) -> list[FieldError]:
    """Parameters that a driver understands."""
    given = given or {}
    errors: list[FieldError] = []
    if len(given) > _PARAMETERS_LIMIT:
        errors.append(field.too_long(path, _PARAMETERS_LIMIT))
        return errors
    for key in given:
        if not key:
            errors.append(field.invalid(path, key, "field can not be empty."))
    if sum(len(key.encode()) + len(value.encode()) for key, value in given.items()) > _PARAMETERS_SIZE:
        errors.append(field.too_long(path, _PARAMETERS_SIZE))
    if not given and not allow_empty:
        errors.append(field.required(path, "must contain at least one key/value pair"))
    return errors
