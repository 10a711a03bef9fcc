"""Rules for the schemas of CustomResourceDefinitions: without what the API does not support, lists and maps well declared.

Texts and order are those of apiextensions' validation package. That a schema is structural is structural_rules' business, its
defaults are default_rules'. CEL rules are checked for form here, and compiled in cel_rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.apiextensions import cel_rules, default_rules, drawn, field_paths, structural_rules
from openapi import formats, structural

Obj = dict[str, Any]
Errors = list[FieldError]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_AT_ROOT = frozenset(
    [
        "description",
        "type",
        "format",
        "title",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "multipleOf",
        "required",
        "items",
        "properties",
        "externalDocs",
        "example",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ]
)
_AT_ROOT_WORDS = (
    "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems"
    " UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]"
)


def validate(validation: Obj | None, path: str, *, status_enabled: bool, unchanged: bool = False) -> Errors:
    """Everything wrong with a version's schema ({"openAPIV3Schema": ...}, or None). unchanged: it was stored like this."""
    schema = (validation or {}).get("openAPIV3Schema")
    if schema is None:
        return []
    where = f"{path}.openAPIV3Schema"
    errors = _validate_root(schema, where) if status_enabled else []
    if schema.get("nullable"):
        errors.append(field.forbidden(f"{where}.nullable", "nullable cannot be true at the root"))
    problem = structural_rules.problem(schema)
    found: Errors = []
    if not problem:
        found = structural_rules.validate(schema, where) or default_rules.validate(schema, where)
        errors += found
    own = _validate_openapi(schema, where, _Context(root=True))
    errors += own
    if problem:
        return errors or [field.invalid(where, "", problem)]
    return errors if found else errors + cel_rules.check(schema, where, own, suppress_cost=unchanged)


def _validate_root(schema: Obj, path: str) -> Errors:
    """The status subresource takes properties.status out of the schema, so not everything may stand at the root."""
    for name in drawn.SCHEMA_FIELDS:
        value = schema.get(name)
        if not structural_rules.is_set(name, value):
            continue
        if name == "type":
            if value != "object":
                text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
                return [field.invalid(f"{path}.type", value, text)]
        elif name not in _AT_ROOT:
            text = f"only {_AT_ROOT_WORDS} fields are allowed at the root of the schema if the status subresource is enabled"
            return [field.invalid(path, drawn.schema(schema), text)]
    return []


# -- walking


def schemas_of(obj: Obj) -> Iterator[Obj]:
    """The schemas of a definition's versions."""
    for version in obj["spec"].get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            yield schema


def walk(schema: Any) -> Iterator[Obj]:
    """The schema and all schemas inside it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name in ("properties", "patternProperties", "definitions", "dependencies"):
        for child in (schema.get(name) or {}).values():
            yield from walk(child)
    for name in ("items", "additionalProperties", "additionalItems", "not"):
        child = schema.get(name)
        for one in child if isinstance(child, list) else [child]:
            yield from walk(one)
    for name in ("allOf", "anyOf", "oneOf"):
        for child in schema.get(name) or ():
            yield from walk(child)


def has_rules(obj: Obj) -> bool:
    """Whether a definition has CEL rules."""
    return any(node.get("x-kubernetes-validations") for schema in schemas_of(obj) for node in walk(schema))


def has_defaults(spec: Obj) -> bool:
    """Whether a definition's spec has schemas with defaults."""
    return any(node.get("default") is not None for schema in schemas_of({"spec": spec}) for node in walk(schema))


def unrecognized_formats(obj: Obj) -> list[str]:
    """Formats that mean nothing to the server."""
    return [
        node["format"]
        for schema in schemas_of(obj)
        for node in walk(schema)
        if node.get("format") and not formats.known(node["format"], node.get("type", ""))
    ]


# -- what OpenAPI v3 has and the API does not


@dataclass(frozen=True, slots=True)
class _Context:
    root: bool = False
    in_meta: bool = False
    defaults_forbidden: str = ""


def _validate_openapi(schema: Any, path: str, context: _Context) -> Errors:
    if not isinstance(schema, dict):
        return []
    errors = _unsupported(schema, path, context)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(field.forbidden(f"{path}.uniqueItems", text))
    inner = replace(context, root=False)
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    if additional is not None:
        if properties and additional is not True:
            text = "additionalProperties and properties are mutual exclusive"
            errors.append(field.forbidden(f"{path}.additionalProperties", text))
        reason = (
            "inside additionalProperties applying to object metadata" if context.in_meta else context.defaults_forbidden
        )
        errors += _validate_openapi(
            additional, f"{path}.additionalProperties", replace(inner, defaults_forbidden=reason)
        )
    for name, child in properties.items():
        below = inner
        if (context.root or schema.get("x-kubernetes-embedded-resource")) and name in structural.META:
            reason = f"in top-level {name}" if context.root else inner.defaults_forbidden
            below = replace(inner, in_meta=True, defaults_forbidden=reason)
        errors += _validate_openapi(child, f"{path}.properties[{name}]", below)
    errors += _validate_openapi(schema.get("not"), f"{path}.not", inner)
    for name in ("allOf", "oneOf", "anyOf"):
        for position, child in enumerate(schema.get(name) or ()):
            errors += _validate_openapi(child, f"{path}.{name}[{position}]", inner)
    for name, child in (schema.get("definitions") or {}).items():
        errors += _validate_openapi(child, f"{path}.definitions[{name}]", inner)
    items = schema.get("items")
    if isinstance(items, list):
        for position, child in enumerate(items):
            errors += _validate_openapi(child, f"{path}.items[{position}]", inner)
    else:
        errors += _validate_openapi(items, f"{path}.items", inner)
    errors += _validate_extensions(schema, path)
    return errors + _validate_rules(schema, path)


def _unsupported(schema: Obj, path: str, context: _Context) -> Errors:
    errors: Errors = []
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        errors.append(field.not_supported(f"{path}.type", kind, TYPES))
    if schema.get("default") is not None and context.defaults_forbidden:
        errors.append(field.forbidden(f"{path}.default", f"must not be set {context.defaults_forbidden}"))
    for name in ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
        if structural_rules.is_set(name, schema.get(name)):
            errors.append(field.forbidden(f"{path}.{name}", f"{name} is not supported"))
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        errors.append(field.forbidden(f"{path}.type", text))
    if isinstance(schema.get("items"), list) and schema["items"]:
        errors.append(field.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if context.in_meta and schema.get("x-kubernetes-embedded-resource"):
        text = "must not be used inside of resource meta"
        errors.append(field.forbidden(f"{path}.x-kubernetes-embedded-resource", text))
    return errors


def _validate_extensions(schema: Obj, path: str) -> Errors:
    errors: Errors = []
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        errors.append(field.invalid(where, False, "must be true or undefined"))
    kind, map_type = schema.get("type") or "", schema.get("x-kubernetes-map-type")
    if map_type is not None:
        if kind != "object":
            text = "must be object if x-kubernetes-map-type is specified"
            errors.append(field.invalid(f"{path}.type", kind, text) if kind else field.required(f"{path}.type", text))
        if map_type not in ("atomic", "granular"):
            errors.append(field.not_supported(f"{path}.x-kubernetes-map-type", map_type, ["atomic", "granular"]))
    return errors + _validate_list_type(schema, path)


def _validate_list_type(schema: Obj, path: str) -> Errors:
    errors: Errors = []
    kind, list_type = schema.get("type") or "", schema.get("x-kubernetes-list-type")
    items = schema.get("items") if isinstance(schema.get("items"), dict) else None
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if list_type is not None and kind != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        errors.append(field.invalid(f"{path}.type", kind, text) if kind else field.required(f"{path}.type", text))
    elif list_type == "set" and items is not None:
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        inner = items.get("x-kubernetes-list-type")
        if items.get("type") == "array" and inner not in (None, "atomic"):
            errors.append(field.invalid(f"{path}.items.x-kubernetes-list-type", field.Pointed(inner), text))
        if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
            errors.append(field.invalid(f"{path}.items.x-kubernetes-map-type", inner and field.Pointed(inner), text))
    where = f"{path}.x-kubernetes-list-type"
    if list_type not in (None, "atomic", "set", "map"):
        errors.append(field.not_supported(where, list_type, ["atomic", "set", "map"]))
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        errors.append(field.required(where, text) if list_type is None else field.invalid(where, list_type, text))
    if list_type == "map":
        errors += _validate_map_keys(schema, items, keys, path)
    if list_type in ("set", "map") and items is not None:
        errors += _validate_key_values(items, keys if list_type == "map" else [], list_type, path)
    return errors


def _validate_map_keys(schema: Obj, items: Obj | None, keys: list[str], path: str) -> Errors:
    errors: Errors = []
    where = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        errors.append(field.required(where, "must not be empty if x-kubernetes-list-type is map"))
    if schema.get("items") is None:
        errors.append(field.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map"))
    elif items is None:
        text = "must only have a single schema if x-kubernetes-list-type is map"
        errors.append(field.invalid(f"{path}.items", drawn.schema_or_schemas(schema["items"]), text))
    elif items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        errors.append(field.invalid(f"{path}.items.type", items.get("type", ""), text))
    else:
        for position, key in enumerate(keys):
            found = (items.get("properties") or {}).get(key)
            if found is None:
                errors.append(field.invalid(where, keys, "entries must all be names of item properties"))
            elif found.get("type") in ("array", "object"):
                text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
                errors.append(field.invalid(f"{path}.items.properties[{key}].type", items.get("type"), text))
            if key in keys[:position]:
                errors.append(field.invalid(where, keys, "must not contain duplicate entries"))
    return errors


def _validate_key_values(items: Obj, keys: list[str], list_type: str, path: str) -> Errors:
    errors: Errors = []
    if items.get("nullable"):
        text = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        errors.append(field.forbidden(f"{path}.items.nullable", text))
    for key in keys:
        found = (items.get("properties") or {}).get(key)
        if found is None:
            continue
        where = f"{path}.items.properties[{key}]"
        if key not in (items.get("required") or ()) and found.get("default") is None:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.append(field.required(f"{where}.default", text))
        if found.get("nullable"):
            text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            errors.append(field.forbidden(f"{where}.nullable", text))
    return errors


def _validate_rules(schema: Obj, path: str) -> Errors:
    """The form of CEL rules."""
    errors: Errors = []
    for position, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{position}]"
        text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
        if not text:
            errors.append(field.required(f"{where}.rule", "rule is not specified"))
        elif message and not message.strip():
            errors.append(field.invalid(f"{where}.message", message, "must be non-empty if specified"))
        elif _has_newline(message.strip()):
            errors.append(field.invalid(f"{where}.message", message, "must not contain line breaks"))
        elif _has_newline(text) and not message.strip():
            errors.append(field.required(f"{where}.message", "message must be specified if rule contains line breaks"))
        expression = rule.get("messageExpression") or ""
        if expression and not expression.strip():
            errors.append(
                field.required(f"{where}.messageExpression", "messageExpression must be non-empty if specified")
            )
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            errors.append(field.not_supported(f"{where}.reason", rule["reason"], _REASONS))
        at = rule.get("fieldPath") or ""
        if at and not at.strip():
            errors.append(field.invalid(f"{where}.fieldPath", at, "must be non-empty if specified"))
        if _has_newline(at):
            errors.append(field.invalid(f"{where}.fieldPath", at, "must not contain line breaks"))
        if at and not _leads_somewhere(at, schema):
            errors.append(field.invalid(f"{where}.fieldPath", at, "must be a valid path"))
    return errors


def _leads_somewhere(path: str, schema: Obj) -> bool:
    if structural_rules.problem(schema):
        return True  # which is refused for itself
    try:
        field_paths.resolve(path, schema)
    except field_paths.BadPath:
        return False
    return True


def _has_newline(text: str) -> bool:
    return any(char in text for char in "\n\r")
