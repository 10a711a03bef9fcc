"""Rules for the schemas of CustomResourceDefinitions: structural, complete, and without what the API does not support.

Texts and order are those of apiextensions' schema and validation packages. CEL rules are checked for form here, and compiled
in cel_rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.apiextensions import cel_rules
from openapi import formats, regexp, structural
from openapi.structural import MISSING, Structural
from openapi.validate import Validator

Obj = dict[str, Any]
Errors = list[FieldError]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_AT_ROOT = frozenset(
    {
        *(
            "description",
            "type",
            "format",
            "title",
            "maximum",
            "exclusiveMaximum",
            "minimum",
            "exclusiveMinimum",
            "maxLength",
        ),
        *(
            "minLength",
            "pattern",
            "maxItems",
            "minItems",
            "uniqueItems",
            "multipleOf",
            "required",
            "items",
            "properties",
        ),
        *("externalDocs", "example", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
    }
)
_AT_ROOT_WORDS = (
    "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems"
    " UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]"
)
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
# With one of these a schema has no structure to look at; each is refused by itself.
_NEVER_STRUCTURAL = ("definitions", "dependencies", "id", "additionalItems", "patternProperties", "$ref")
_NESTED_FORBIDDEN = (
    ("type", "must be empty to be structural"),
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


def validate(validation: Obj | None, path: str, *, status_enabled: bool, unchanged: bool = False) -> Errors:
    """Everything wrong with a version's schema ({"openAPIV3Schema": ...}, or None). unchanged: it was stored like this."""
    schema = (validation or {}).get("openAPIV3Schema")
    if schema is None:
        return []
    where = f"{path}.openAPIV3Schema"
    errors: Errors = []
    if status_enabled:
        errors += _validate_root(schema, where)
    if schema.get("nullable"):
        errors.append(field.forbidden(f"{where}.nullable", "nullable cannot be true at the root"))
    structured = not any(node.get(name) for node in walk(schema) for name in _NEVER_STRUCTURAL)
    if structured:
        found = _validate_structural(schema, where) or _validate_defaults(Structural(schema), where)
        errors += found
        structured = not found
    own = _validate_openapi(schema, where, _Context(root=True))
    errors += own
    if structured:
        errors += cel_rules.check(schema, where, own, suppress_cost=unchanged)
    return errors


def _validate_root(schema: Obj, path: str) -> Errors:
    if schema.get("type") and schema["type"] != "object":
        text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        return [field.invalid(f"{path}.type", schema["type"], text)]
    if any(value not in (None, "", False, [], {}) and name not in _AT_ROOT for name, value in schema.items()):
        text = (
            f"only {_AT_ROOT_WORDS} fields are allowed at the root of the schema if the status subresource is enabled"
        )
        return [field.invalid(path, schema, text)]
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


def field_at(path: str, root: Structural) -> tuple[Structural | None, str]:
    """(the schema that a path like .spec.color leads to, what is wrong with the path)."""
    current: Structural = root
    if not path.startswith("."):
        return None, f"expected [ or . but got: {path}"
    if path.startswith(".metadata."):
        return Structural({"type": "string"}), ""
    for name in path[1:].split("."):
        if not name or "[" in name:
            return None, "does not refer to a valid field"
        child = current.properties.get(name)
        if child is None:
            return None, "does not refer to a valid field"
        current = child
    return current, ""


# -- structural


def _validate_structural(schema: Obj, path: str) -> Errors:
    errors = _invariants(schema, "root", path)
    errors += _completeness(schema, path)
    return sorted(errors, key=str)


_EMPTY_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}


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
    errors += _value_validation(schema, path)
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
        rest = {name: value for name, value in metadata.items() if name not in ("type", "default") and value}
        if set(rest.get("properties") or {}) <= {"name", "generateName"}:
            rest.pop("properties", None)
        if rest:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(field.forbidden(where, text))
    return errors


def _value_validation(schema: Obj, path: str) -> Errors:
    errors: Errors = []
    any_of, all_of = schema.get("anyOf") or [], schema.get("allOf") or []
    if any_of != _INT_OR_STRING:
        for position, child in enumerate(any_of):
            errors += _nested(child, f"{path}.anyOf[{position}]")
    for position, child in enumerate(all_of):
        skip = position == 0 and (child.get("anyOf") or []) == _INT_OR_STRING
        errors += _nested(child, f"{path}.allOf[{position}]", skip_any_of=skip)
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


def _nested(schema: Obj, path: str, *, skip_any_of: bool = False) -> Errors:
    """A schema inside allOf, anyOf, oneOf or not: it may restrict values, not shape them."""
    checked = {**schema, "anyOf": []} if skip_any_of else schema
    errors = _value_validation(checked, path)
    if isinstance(schema.get("items"), dict):
        errors += _nested(schema["items"], f"{path}.items")
    properties = schema.get("properties") or {}
    for name, child in properties.items():
        errors += _nested(child, f"{path}.properties[{name}]")
    if schema.get("additionalProperties") is not None:
        errors.append(field.forbidden(f"{path}.additionalProperties", "must be undefined to be structural"))
    for name, text in _NESTED_FORBIDDEN:
        if schema.get(name):
            errors.append(field.forbidden(f"{path}.{name}", text))
    if "metadata" in properties:
        text = "must not be specified in a nested context"
        errors.append(field.forbidden(f"{path}.properties[metadata]", text))
    return errors


def _completeness(schema: Obj, path: str) -> Errors:
    """What a nested schema speaks of must be there in the structure itself."""
    errors: Errors = []
    for name in ("allOf", "anyOf", "oneOf"):
        for position, child in enumerate(schema.get(name) or ()):
            errors += _nested_completeness(child, schema, f"{path}.{name}[{position}]", path)
    if schema.get("not") is not None:
        errors += _nested_completeness(schema["not"], schema, f"{path}.not", path)
    for name, child in (schema.get("properties") or {}).items():
        errors += _completeness(child, f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        errors += _completeness(schema["items"], f"{path}.items")
    if isinstance(schema.get("additionalProperties"), dict):
        errors += _completeness(schema["additionalProperties"], f"{path}.additionalProperties")
    return errors


def _nested_completeness(nested: Obj, structure: Any, path: str, at: str) -> Errors:
    if not isinstance(structure, dict):
        return [field.required(at, f"because it is defined in {path}")]
    errors: Errors = []
    for name in ("allOf", "anyOf", "oneOf"):
        for position, child in enumerate(nested.get(name) or ()):
            errors += _nested_completeness(child, structure, f"{path}.{name}[{position}]", at)
    if nested.get("not") is not None:
        errors += _nested_completeness(nested["not"], structure, f"{path}.not", at)
    if isinstance(nested.get("items"), dict):
        errors += _nested_completeness(nested["items"], structure.get("items"), f"{path}.items", f"{at}.items")
    for name, child in (nested.get("properties") or {}).items():
        found = (structure.get("properties") or {}).get(name)
        if found is None and isinstance(structure.get("additionalProperties"), dict):
            found = structure["additionalProperties"]
        errors += _nested_completeness(child, found, f"{path}.properties[{name}]", f"{at}.properties[{name}]")
    return errors


# -- defaults


def _validate_defaults(schema: Structural, path: str) -> Errors:
    errors: Errors = []
    if schema.default is not MISSING:
        errors += _validate_default(schema, f"{path}.default")
    if schema.items is not None:
        errors += _validate_defaults(schema.items, f"{path}.items")
    for name, child in schema.properties.items():
        errors += _validate_defaults(child, f"{path}.properties[{name}]")
    return errors


def _validate_default(schema: Structural, path: str) -> Errors:
    from openapi.compile import copy_json

    pruned = copy_json(schema.default)
    structural.prune(pruned, schema, root=schema.embedded)
    errors: Errors = []
    if pruned != schema.default:
        errors.append(field.invalid(path, schema.default, "must not have unknown fields"))
    found = structural.coerce(copy_json(schema.default), schema, [], path)
    if found is not None:
        where, value, problem = found
        return [*errors, field.invalid(where, value, problem)]
    return errors + Validator(schema.raw).check(schema.default, path)


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
        if schema.get(name) not in (None, "", {}):
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
            errors.append(field.invalid(f"{path}.items.x-kubernetes-list-type", inner, text))
        if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
            errors.append(field.invalid(f"{path}.items.x-kubernetes-map-type", inner, text))
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
        errors.append(field.invalid(f"{path}.items", schema["items"], text))
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
        if at and cel_rules.field_path(at, schema)[1]:
            errors.append(field.invalid(f"{where}.fieldPath", at, "must be a valid path"))
    return errors


def _has_newline(text: str) -> bool:
    return any(char in text for char in "\n\r")
