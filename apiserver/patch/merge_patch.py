"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from openapi import codec, compile, explain
from openapi.codec import Parsed
from openapi.schemas import TypeInfo

Touched = dict[int, bool]
_OBJECT = TypeInfo("any", code="J")


def check(patch: Parsed) -> list[str]:
    """What strict reading of the patch itself complains of (duplicate fields); ApiError 400 when it is no object."""
    if patch.obj is None:
        return []
    if not isinstance(patch.obj, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(patch.obj), "number")
        raise errors.bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    return duplicate_fields(codec.pairs(patch)) if patch.duplicates else []


def apply(doc: Any, patch: Parsed, touched: Touched | None = None) -> Any:
    """The document with the patch merged in; `doc` is changed. ApiError 400. touched: takes the ids of objects
    that were opened (True).
    """
    if not isinstance(patch.obj, dict):
        if isinstance(patch.obj, list):
            return patch.obj
        raise errors.bad_request("Invalid JSON Patch")
    merge(doc, patch.obj, {} if touched is None else touched)
    return doc


def merge(doc: dict[str, Any], patch: dict[str, Any], touched: Touched) -> None:
    touched[id(doc)] = True
    for key, value in patch.items():
        if value is None:
            doc.pop(key, None)
            continue
        current = doc.get(key)
        if current is None:
            doc[key] = without_nulls(value, touched)
        elif isinstance(current, dict) and isinstance(value, dict):
            merge(current, value, touched)
        else:
            doc[key] = without_nulls(value, touched) if not isinstance(current, dict) else compile.copy_json(value)


def without_nulls(value: Any, touched: Touched) -> Any:
    """A copy of the value without members that are null; null items of lists stay. All of it counts as opened."""
    if isinstance(value, dict):
        copied = {key: without_nulls(item, touched) for key, item in value.items() if item is not None}
        touched[id(copied)] = True
        return copied
    if isinstance(value, list):
        return [without_nulls(item, touched) for item in value]
    return value


def duplicate_fields(value: Any, path: str = "") -> list[str]:
    """'duplicate field "a.b"' for each key that occurs twice, in document order. The value holds explain.Pairs."""
    found: list[str] = []
    if isinstance(value, explain.Pairs):
        seen: dict[str, int] = {}
        for key, item in value:
            where = f"{path}.{key}" if path else key
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == 2:
                found.append(f'duplicate field "{where}"')
            found.extend(duplicate_fields(item, where))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            found.extend(duplicate_fields(item, f"{path}[{position}]"))
    return found
