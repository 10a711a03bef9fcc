"""Defaults in schemas: each must be a value that its schema accepts, with nothing in it that pruning would take away.

    validate(schema, path)     the errors of all defaults in a structural schema

Called by schema_rules. Defaults inside the metadata of a resource are judged by what the resource around them would be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.registry import crd_rules
from apiserver.validation import embedded
from openapi import structural
from openapi.compile import copy_json
from openapi.structural import MISSING, Structural
from openapi.validate import Validator

Obj = dict[str, Any]
Errors = list[FieldError]
Around = Callable[[Any], Any]  # the resource around a value


def validate(schema: Obj, path: str) -> Errors:
    """What is wrong with the defaults of a whole schema."""
    if not _has_default(schema):
        return []
    root = Structural(schema).resource()
    return _validate(root, root, path, _resource, in_meta=False)


def _has_default(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_has_default, schema))
    if not isinstance(schema, dict):
        return False
    return schema.get("default") is not None or any(map(_has_default, schema.values()))


def _resource(value: Any) -> Any:
    return {"kind": "Validation", "apiVersion": "validation/v1"} | value


def _validate(schema: Structural, root: Structural, path: str, around: Around, *, in_meta: bool) -> Errors:
    """root: the resource that the schema is in."""
    if schema.embedded:
        root, around, in_meta = schema, _resource, False
    errors: Errors = []
    if schema.default is not MISSING:
        where = f"{path}.default"
        errors += (_in_metadata if in_meta else _in_object)(schema, root, where, around)
    if schema.items is not None:
        errors += _validate(schema.items, root, f"{path}.items", lambda value: around([value]), in_meta=in_meta)
    for name, child in schema.properties.items():
        below = in_meta or (schema.embedded and name in structural.META)
        errors += _validate(child, root, f"{path}.properties[{name}]", _child(around, name), in_meta=below)
    return errors


def _child(around: Around, name: str) -> Around:
    return lambda value: around({name: value})


def _in_metadata(schema: Structural, root: Structural, path: str, around: Around) -> Errors:
    obj = around(copy_json(schema.default))
    malformed = structural.coerce(obj, root, [], root=True)
    if malformed is not None:
        text = f"must result in valid metadata: {_malformed(*malformed)}"
        return [field.invalid(path, field.as_map(schema.default), text)]
    found = list(dict.fromkeys(map(str, embedded.validate(obj, root, ""))))
    if found:
        all_of_them = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
        return [field.invalid(path, field.as_map(schema.default), f"must result in valid metadata: {all_of_them}")]
    return _value(schema, root, path)


def _malformed(path: str, value: Any, problem: str) -> FieldError:
    return field.invalid(path, field.as_map(value), problem)


def _in_object(schema: Structural, root: Structural, path: str, around: Around) -> Errors:
    errors: Errors = []
    pruned = copy_json(schema.default)
    structural.prune(pruned, schema, root=schema.embedded)
    if pruned != schema.default:
        errors.append(field.invalid(path, field.as_map(schema.default), "must not have unknown fields"))
    coerced = copy_json(schema.default)
    malformed = structural.coerce(coerced, schema, [], path)
    if malformed is not None:
        return [*errors, _malformed(*malformed)]
    return errors + (embedded.validate(coerced, schema, path) or _value(schema, root, path))


def _value(schema: Structural, root: Structural, path: str) -> Errors:
    """A default against the rules of its own schema."""
    errors = Validator(schema.raw, typed=False).check(schema.default, path)
    if errors:
        return errors
    rules = crd_rules.RuleTree.of(schema.raw, root=schema is root)
    if rules is None:
        return []
    # Once as what has always been there, once as what comes new: rules may tell these apart.
    for old in (schema.default, None):
        errors, _ = rules.check(schema.default, old, path)
        if errors:
            break
    return errors
