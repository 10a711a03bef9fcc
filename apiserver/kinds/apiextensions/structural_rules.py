"""Whether a schema is structural: it says the type of everything, and shapes nothing inside allOf, anyOf, oneOf and not.

    problem(schema)            why the schema has no structure at all; "" when it has one
    validate(schema, path)     what it breaks of the invariants, sorted as texts
    is_set(name, value)        whether a field of a schema counts as given

Called by schema_rules. Texts are those of apiextensions' schema package.
"""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from openapi import regexp

Obj = dict[str, Any]
Errors = list[FieldError]

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
# Fields whose zero value is another thing than their absence.
_POINTERS = frozenset(
    [
        "$ref",
        "default",
        "maximum",
        "minimum",
        "maxLength",
        "minLength",
        "maxItems",
        "minItems",
        "multipleOf",
        "maxProperties",
        "minProperties",
        "items",
        "not",
        "additionalProperties",
        "additionalItems",
        "externalDocs",
        "example",
        "dependencies",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
    ]
)
_NESTED_FORBIDDEN = (
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
_EMPTY_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_COMBINATIONS = ("allOf", "anyOf", "oneOf")


def is_set(name: str, value: Any) -> bool:
    """Whether a schema's field counts as given."""
    if value is None:
        return False
    return name in _POINTERS or (value is not False and value != "" and value != [] and value != {})


# -- schemas without structure

_UNSUPPORTED = (
    ("id", "id"),
    ("$schema", "schema"),
    ("$ref", "$ref"),
    ("patternProperties", "patternProperties"),
    ("dependencies", "dependencies"),
    ("additionalItems", "additionalItems"),
    ("definitions", "definitions"),
)


def problem(schema: Obj) -> str:
    """The first thing that no structural schema can hold."""
    for name, shown in _UNSUPPORTED:
        value = schema.get(name)
        if value is not None and (name == "additionalItems" or (value != "" and value != {})):
            return f"OpenAPIV3Schema '{shown}' is not supported"
    found = _first_problem([schema.get("not"), *(one for name in _COMBINATIONS for one in schema.get(name) or ())])
    if found:
        return found
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
    items = schema.get("items")
    if isinstance(items, list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    return _first_problem([items, *(schema.get("properties") or {}).values(), schema.get("additionalProperties")])


def _first_problem(schemas: list[Any]) -> str:
    for schema in schemas:
        if isinstance(schema, dict) and (found := problem(schema)):
            return found
    return ""


# -- invariants


def validate(schema: Obj, path: str) -> Errors:
    """What a schema that has a structure breaks of its rules."""
    errors = _invariants(schema, "root", path)
    errors += _completeness(schema, schema, path, path)
    return sorted(errors, key=str)


def _invariants(schema: Obj, level: str, path: str) -> Errors:
    errors: Errors = []
    kind = schema.get("type") or ""
    items, additional = schema.get("items"), schema.get("additionalProperties")
    properties = schema.get("properties") or {}
    embedded = schema.get("x-kubernetes-embedded-resource") is True
    preserve = schema.get("x-kubernetes-preserve-unknown-fields") is True
    int_or_string = schema.get("x-kubernetes-int-or-string") is True
    if kind == "array" and items is None:
        errors.append(field.required(f"{path}.items", "must be specified"))
    if isinstance(items, dict):
        errors += _invariants(items, "item", f"{path}.items")
    for name, child in properties.items():
        errors += _invariants(child, "field", f"{path}.properties[{name}]")
    if additional is not None:
        if level == "root":
            errors.append(field.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(additional, dict):
            errors += _invariants(additional, "field", f"{path}.additionalProperties")
    if int_or_string and preserve:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        errors.append(field.invalid(where, True, "must be false if x-kubernetes-int-or-string is true"))
    if int_or_string and embedded:
        where = f"{path}.x-kubernetes-embedded-resource"
        errors.append(field.invalid(where, True, "must be false if x-kubernetes-int-or-string is true"))
    skip, skip_first = _spells_int_or_string(schema)
    errors += _value_validation(schema, path, skip=skip, skip_first=skip_first)
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        errors.append(field.invalid(f"{path}.type", kind, text) if kind else field.required(f"{path}.type", text))
    elif not kind and not int_or_string and not preserve:
        errors.append(field.required(f"{path}.type", _EMPTY_TYPE[level]))
    if embedded and additional is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        errors.append(field.forbidden(f"{path}.additionalProperties", text))
    if level == "root" and kind and kind != "object":
        errors.append(field.invalid(f"{path}.type", kind, "must be object at the root"))
    errors += _meta_invariants(properties, level, embedded, path)
    if embedded and not preserve and not properties:
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        errors.append(field.required(f"{path}.properties", text))
    return errors


def _meta_invariants(properties: Obj, level: str, embedded: bool, path: str) -> Errors:
    errors: Errors = []
    if level == "root" or embedded:
        for name in ("kind", "apiVersion"):
            found = properties.get(name)
            if found is not None and found.get("type") != "string":
                where = f"{path}.properties[{name}].type"
                errors.append(field.invalid(where, found.get("type", ""), "must be string"))
    metadata = properties.get("metadata")
    if metadata is None:
        return errors
    where = f"{path}.properties[metadata]"
    if (level == "root" or embedded) and metadata.get("type") != "object":
        errors.append(field.invalid(f"{where}.type", metadata.get("type", ""), "must be object"))
    if level == "root":
        rest = {
            name for name, value in metadata.items() if name not in ("type", "default", "$ref") and is_set(name, value)
        }
        if set(metadata.get("properties") or {}) <= {"name", "generateName"}:
            rest.discard("properties")
        if rest:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(field.forbidden(where, text))
    return errors


def _value_validation(schema: Obj, path: str, *, skip: bool = False, skip_first: bool = False) -> Errors:
    """skip, skip_first: anyOf, or that of the first of allOf, is how the types of an int-or-string are spelt."""
    errors: Errors = []
    for position, child in enumerate(() if skip else schema.get("anyOf") or ()):
        errors += _nested(child, f"{path}.anyOf[{position}]")
    for position, child in enumerate(schema.get("allOf") or ()):
        errors += _nested(child, f"{path}.allOf[{position}]", skip=skip_first and position == 0)
    for position, child in enumerate(schema.get("oneOf") or ()):
        errors += _nested(child, f"{path}.oneOf[{position}]")
    if schema.get("not") is not None:
        errors += _nested(schema["not"], f"{path}.not")
    if pattern := schema.get("pattern"):
        try:
            regexp.compile(pattern)
        except regexp.RegexpError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            errors.append(field.invalid(f"{path}.pattern", pattern, text))
    return errors


def _spells_int_or_string(schema: Obj) -> tuple[bool, bool]:
    all_of = schema.get("allOf") or []
    return schema.get("anyOf") == _INT_OR_STRING, bool(all_of) and all_of[0].get("anyOf") == _INT_OR_STRING


def _nested(schema: Obj, path: str, *, skip: bool = False) -> Errors:
    """A schema inside allOf, anyOf, oneOf or not: it may restrict values, not shape them."""
    errors = _value_validation(schema, path, skip=skip)
    if isinstance(schema.get("items"), dict):
        errors += _nested(schema["items"], f"{path}.items")
    properties = schema.get("properties") or {}
    for name, child in properties.items():
        errors += _nested(child, f"{path}.properties[{name}]")
    if schema.get("type"):
        errors.append(field.forbidden(f"{path}.type", "must be empty to be structural"))
    if schema.get("additionalProperties") not in (None, False):
        errors.append(field.forbidden(f"{path}.additionalProperties", "must be undefined to be structural"))
    for name, text in _NESTED_FORBIDDEN:
        if is_set(name, schema.get(name)):
            errors.append(field.forbidden(f"{path}.{name}", text))
    if "metadata" in properties:
        text = "must not be specified in a nested context"
        errors.append(field.forbidden(f"{path}.properties[metadata]", text))
    return errors


# -- completeness


def _completeness(nested: Obj, structure: Any, path: str, at: str) -> Errors:
    """What is said inside combinations at the root must be there in the structure itself."""
    if not isinstance(structure, dict):
        return [field.required(at, f"because it is defined in {path}")]
    errors: Errors = []
    if nested.get("not") is not None:
        errors += _completeness_below(nested["not"], structure, f"{path}.not", at)
    for name in _COMBINATIONS:
        for position, child in enumerate(nested.get(name) or ()):
            errors += _completeness_below(child, structure, f"{path}.{name}[{position}]", at)
    return errors


def _completeness_below(nested: Obj, structure: Any, path: str, at: str) -> Errors:
    errors = _completeness(nested, structure, path, at)
    if not isinstance(structure, dict):
        return errors
    if isinstance(nested.get("items"), dict):
        errors += _completeness_below(nested["items"], structure.get("items"), f"{path}.items", f"{at}.items")
    properties = structure.get("properties") or {}
    for name, child in (nested.get("properties") or {}).items():
        below = f".properties[{name}]"
        errors += _completeness_below(child, properties.get(name), path + below, at + below)
    return errors
