"""Values against the rules of a custom resource's schema, in the words of the original's OpenAPI validator.

    Validator(schema).check(value, path)    -> field errors, in the order in which the original's validators run

A schema is a JSONSchemaProps in JSON shape, structural or the default of one. Nothing here shapes values: openapi.structural does.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from apimachinery import field
from apimachinery.field import FieldError
from openapi import formats, regexp

Json = dict[str, Any]
Errors = list[FieldError]


class Validator:
    """A schema's rules. prefix: what the text calls the root ("" for a whole object)."""

    def __init__(self, schema: Json) -> None:
        self.schema = schema

    def check(self, value: Any, path: str = "") -> Errors:
        """Everything wrong with the value. path: of the value, "" for a whole object."""
        errors: Errors = []
        _check(self.schema, value, "", path, errors)
        return errors


def type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _at(root: str, name: str) -> str:
    """The path of an error: below root, the original's name for the place appended."""
    if not name:
        return root
    return f"{root}.{name.removeprefix('.')}" if root else name.removeprefix(".")


def _fits(kind: str, value: Any) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool)
    return type_name(value) == kind


def _check(schema: Json, value: Any, name: str, root: str, errors: Errors) -> None:
    where = _at(root, name)
    if not _check_type(schema, value, name, where, errors) or value is None:
        return
    _check_combinations(schema, value, name, root, errors)
    if isinstance(value, str):
        _check_string(schema, value, name, where, errors)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(schema, value, name, where, errors)
    elif isinstance(value, list):
        _check_list(schema, value, name, root, errors)
    enum = schema.get("enum")
    if enum is not None and not any(_equal(value, allowed) for allowed in enum):
        allowed = [item if isinstance(item, str) else orjson.dumps(field.as_map(item)).decode() for item in enum]
        errors.append(field.not_supported(where, field.as_map(value), allowed))
    if isinstance(value, dict):
        _check_object(schema, value, name, root, errors)


def _equal(left: Any, right: Any) -> bool:
    return type_name(left) == type_name(right) and bool(left == right)


def _check_type(schema: Json, value: Any, name: str, where: str, errors: Errors) -> bool:
    """Whether it makes sense to look further."""
    if value is None and schema.get("nullable"):
        return False
    kinds = (
        ["integer", "string"]
        if schema.get("x-kubernetes-int-or-string")
        else [schema["type"]]
        if schema.get("type")
        else []
    )
    if not kinds or any(_fits(kind, value) for kind in kinds):
        return True
    found, wanted = type_name(value), ",".join(kinds)
    errors.append(field.type_invalid(where, found, f'{name} in body must be of type {wanted}: "{found}"'))
    return value is not None


def _shortest(results: list[Errors]) -> Errors:
    """The errors of the branch that came closest."""
    return min(results, key=len)


def _check_combinations(schema: Json, value: Any, name: str, root: str, errors: Errors) -> None:
    where = _at(root, name)

    def tried(branch: Json) -> Errors:
        found: Errors = []
        _check(branch, value, name, root, found)
        return found

    any_of = schema.get("anyOf")
    if any_of:
        results = [tried(branch) for branch in any_of]
        if all(results):
            text = f'"{name}" must validate at least one schema (anyOf)'
            errors.append(field.invalid(where, "", text))
            errors.extend(_shortest(results))
    one_of = schema.get("oneOf")
    if one_of:
        results = [tried(branch) for branch in one_of]
        valid = sum(not result for result in results)
        if valid != 1:
            found = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            errors.append(field.invalid(where, "", f'"{name}" must validate one and only one schema (oneOf). {found}'))
            if not valid:
                errors.extend(_shortest(results))
    all_of = schema.get("allOf")
    if all_of:
        results = [tried(branch) for branch in all_of]
        valid = sum(not result for result in results)
        for result in results:
            errors.extend(result)
        if valid != len(results):
            none = ". None validated" if not valid else ""
            errors.append(field.invalid(where, "", f'"{name}" must validate all the schemas (allOf){none}'))
    not_ = schema.get("not")
    if not_ is not None and not tried(not_):
        errors.append(field.invalid(where, "", f'"{name}" must not validate the schema (not)'))


def _check_string(schema: Json, value: str, name: str, where: str, errors: Errors) -> None:
    length = len(value)
    if (limit := schema.get("maxLength")) is not None and length > limit:
        errors.append(field.too_long(where, limit))
    if (limit := schema.get("minLength")) is not None and length < limit:
        errors.append(field.invalid(where, value, f"{name} in body should be at least {limit} chars long"))
    pattern = schema.get("pattern")
    if pattern and not regexp.matches(pattern, value):
        errors.append(field.invalid(where, value, f"{name} in body should match '{pattern}'"))
    form = schema.get("format")
    if form and formats.known(form, schema.get("type", "")) and not formats.check(form, value):
        errors.append(
            field.type_invalid(where, value, f"{name} in body must be of type {form}: {field.go_quote(value)}")
        )


_RANGES = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "float": (-3.4028234663852886e38, 3.4028234663852886e38),
}


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else f"{value}"


def _check_number(schema: Json, value: float, name: str, where: str, errors: Errors) -> None:
    if (factor := schema.get("multipleOf")) is not None:
        quotient = value / factor
        if not math.isfinite(quotient) or quotient != int(quotient):
            errors.append(field.invalid(where, value, f"{name} in body should be a multiple of {_number(factor)}"))
    if (limit := schema.get("maximum")) is not None:
        exclusive = bool(schema.get("exclusiveMaximum"))
        if value > limit or (exclusive and value == limit):
            words = "less than" if exclusive else "less than or equal to"
            errors.append(field.invalid(where, value, f"{name} in body should be {words} {_number(limit)}"))
    if (limit := schema.get("minimum")) is not None:
        exclusive = bool(schema.get("exclusiveMinimum"))
        if value < limit or (exclusive and value == limit):
            words = "greater than" if exclusive else "greater than or equal to"
            errors.append(field.invalid(where, value, f"{name} in body should be {words} {_number(limit)}"))
    form = schema.get("format", "")
    if form in _RANGES and formats.known(form, schema.get("type", "")):
        low, high = _RANGES[form]
        if not low <= value <= high:
            kind = schema.get("type")
            text = f"Checked value must be of type {kind} with format {form}"
            errors.append(field.invalid(where, value, text))


def _check_list(schema: Json, value: list[Any], name: str, root: str, errors: Errors) -> None:
    where = _at(root, name)
    items = schema.get("items")
    if isinstance(items, dict):
        for position, item in enumerate(value):
            _check(items, item, f"{name}[{position}]", root, errors)
    if (limit := schema.get("minItems")) is not None and len(value) < limit:
        errors.append(field.invalid(where, len(value), f"{name} in body should have at least {limit} items"))
    if (limit := schema.get("maxItems")) is not None and len(value) > limit:
        errors.append(field.too_many(where, len(value), limit))


def _check_object(schema: Json, value: Json, name: str, root: str, errors: Errors) -> None:
    where = _at(root, name)
    if (limit := schema.get("minProperties")) is not None and len(value) < limit:
        errors.append(field.invalid(where, len(value), f"{name} in body should have at least {limit} properties"))
    if (limit := schema.get("maxProperties")) is not None and len(value) > limit:
        errors.append(field.too_many(where, len(value), limit))
    for wanted in schema.get("required") or ():
        if wanted not in value:
            errors.append(field.required(_at(root, f"{name}.{wanted}")))
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        for key in sorted(value):
            if key not in properties:
                _check(additional, value[key], f"{name}.{key}" if name else key, root, errors)
    for key in sorted(properties):
        if key in value:
            _check(properties[key], value[key], f"{name}.{key}" if name else key, root, errors)


BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
