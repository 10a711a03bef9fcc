"""Labels and label selectors inside objects, as the original's apis/meta/v1/validation checks them.

Parsing of selector texts in queries is apimachinery/selectors.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import names


def validate_label_name(name: str, path: str) -> list[FieldError]:
    return [field.invalid(path, name, text) for text in names.qualified_name(name)]


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Keys and values of a label map; every error points at the map itself."""
    if not labels:
        return []
    errors: list[FieldError] = []
    for key, value in labels.items():
        for text in names.qualified_name(key):
            errors.append(field.invalid(path, key, text))
        for text in names.label_value(value):
            errors.append(field.invalid(path, value, text))
    return errors


def validate_label_selector(
    selector: Mapping[str, Any] | None, path: str, *, allow_invalid_values: bool = False
) -> list[FieldError]:
    """A metav1.LabelSelector. allow_invalid_values: for objects stored before values were checked."""
    if not selector:
        return []
    errors: list[FieldError] = []
    if labels := selector.get("matchLabels"):
        errors += validate_labels(labels, path + ".matchLabels")
    for position, requirement in enumerate(selector.get("matchExpressions") or ()):
        errors += _requirement(requirement, f"{path}.matchExpressions[{position}]", allow_invalid_values)
    return errors


def _requirement(requirement: Mapping[str, Any], path: str, allow_invalid_values: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    operator = requirement.get("operator") or ""
    values = requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(field.required(path + ".values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(
                field.forbidden(path + ".values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
    else:
        errors.append(field.invalid(path + ".operator", operator, "not a valid selector operator"))
    errors += validate_label_name(requirement.get("key") or "", path + ".key")
    if not allow_invalid_values:
        for position, value in enumerate(values):
            for text in names.label_value(value):
                errors.append(field.invalid(f"{path}.values[{position}]", value, text))
    return errors


def has_invalid_values(selector: Mapping[str, Any] | None) -> bool:
    """Whether a stored selector has values that would be refused today (its updates are then let through)."""
    if not selector:
        return False
    return any(
        names.label_value(value)
        for requirement in selector.get("matchExpressions") or ()
        for value in requirement.get("values") or ()
    )


def is_empty(selector: Mapping[str, Any] | None) -> bool:
    """Whether a selector has no requirement, and so selects everything."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))
