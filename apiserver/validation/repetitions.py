"""Items that occur twice in the sets of custom resources, and keys that occur twice in their list maps.

Called by registry/crd_kind for what is written, and for what is stored, whose repetitions are not held against an update.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation.places import places
from openapi.structural import Structural


def validate(obj: Any, schema: Structural | bool | None, path: str) -> list[FieldError]:
    """What occurs twice in a value of that schema."""
    found: list[FieldError] = []
    for value, node, where in places(obj, schema, path, lambda node: node.holds_unique):
        if not isinstance(value, list):
            continue
        if node.list_type == "map":
            found += _repeated_keys(value, node, where)
        elif node.list_type == "set" and len(value) > 1:
            found += [
                field.duplicate(field.index(where, position), field.as_map(value[position]))
                for position in _repeated(value)
            ]
    return found


def _repeated_keys(obj: list[Any], schema: Structural, path: str) -> list[FieldError]:
    for position, item in enumerate(obj):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            return [field.invalid(field.index(path, position), field.as_map(item), text)]
    keys = [{key: item[key] for key in schema.keys if key in item} if item else {} for item in obj]
    return [field.duplicate(field.index(path, position), field.as_map(keys[position])) for position in _repeated(keys)]


def _repeated(items: list[Any]) -> Iterator[int]:
    """Positions of second occurrences."""
    seen: dict[bytes, int] = {}
    for position, item in enumerate(items):
        drawn = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        seen[drawn] = seen.get(drawn, 0) + 1
        if seen[drawn] == 2:
            yield position
