"""The places of a custom object that a rule of its schema is about: what embedded.py and repetitions.py look through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apimachinery import field
from openapi.structural import Structural


def places(
    obj: Any, schema: Structural | bool | None, path: str, holds: Callable[[Structural], bool]
) -> Iterator[tuple[Any, Structural, str]]:
    """(value, its schema, its path), outer ones first. holds: whether there may be anything to see in a node or below it."""
    if not isinstance(schema, Structural) or not holds(schema):
        return
    yield obj, schema, path
    if isinstance(obj, dict):
        for key, value in obj.items():
            child = schema.properties.get(key)
            if child is not None:
                if holds(child):
                    yield from places(value, child, field.child(path, key), holds)
            elif schema.additional is not None:
                yield from places(value, schema.additional, field.key(path, key), holds)
    elif isinstance(obj, list):
        for position, item in enumerate(obj):
            yield from places(item, schema.items, field.index(path, position), holds)
