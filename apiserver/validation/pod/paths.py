"""Paths inside fields: relative ones that must not climb out of where they are used."""

from __future__ import annotations

from apimachinery import field
from apimachinery.field import FieldError


def no_backsteps(target: str, path: str) -> list[FieldError]:
    """No ".." element."""
    if ".." in target and ".." in target.split("/"):
        return [field.invalid(path, target, "must not contain '..'")]
    return []


def local_descending(target: str, path: str) -> list[FieldError]:
    """Relative, without ".." elements."""
    errors = [field.invalid(path, target, "must be a relative path")] if target.startswith("/") else []
    return errors + no_backsteps(target, path)


def local_non_reserved(target: str, path: str) -> list[FieldError]:
    """As local_descending, and not beginning with "..", which the volume writer reserves."""
    errors = local_descending(target, path)
    if target.startswith("..") and not target.startswith("../"):
        errors.append(field.invalid(path, target, "must not start with '..'"))
    return errors
