"""Empty lists on their way through the store: the original's protobuf cannot tell them from none, so null is read back.

Asked by registry/store.py, once per kind. Only lists and maps that Go writes even when empty are concerned; the others
are gone once an object is decoded. Until it is stored an object keeps its empty lists, for managedFields and webhooks see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

from openapi import schemas
from openapi.schemas import TypeInfo

Place = tuple[dict[str, Any], str, Any]  # an object, the name of the field that was emptied, and what was there
Settle = Callable[[dict[str, Any]], list[Place]]
_STORED_AS_JSON = ("apiextensions.k8s.io/", "apiregistration.k8s.io/")  # whose servers do not store protobuf


class _Step(NamedTuple):
    """A field to look at. emptied: it is such a list; below: what to look at in it, through those containers."""

    name: str
    emptied: bool
    containers: tuple[str, ...]
    below: list[_Step]


@cache
def settler(name: str) -> Settle | None:
    """A function that puts null for such lists, in place, and tells where; None when the kind ("v1/Pod") has none."""
    types = schemas.load()
    if name.startswith(_STORED_AS_JSON) or not types.has(name):
        return None
    steps = _steps(types.type(name))
    if not steps:
        return None

    def settle(obj: dict[str, Any]) -> list[Place]:
        places: list[Place] = []
        _settle(obj, steps, places)
        return places

    return settle


def undo(places: Iterable[Place]) -> None:
    """Put back what a settler took away."""
    for holder, name, value in places:
        holder[name] = value


def _steps(info: TypeInfo) -> list[_Step]:
    found = []
    for name, field in info.fields.items():
        inner, containers = field.type, []
        while inner.kind in ("list", "map") and inner.elem is not None:
            containers.append(inner.kind)
            inner = inner.elem
        emptied = bool(containers) and not field.omitempty and not field.pointer
        below = _steps(inner) if inner.kind == "struct" else []
        if emptied or below:
            found.append(_Step(name, emptied, tuple(containers), below))
    return found


def _settle(obj: dict[str, Any], steps: list[_Step], places: list[Place]) -> None:
    for name, emptied, containers, below in steps:
        value = obj.get(name)
        if value:
            if below:
                _settle_within(value, containers, below, places)
        elif emptied and value is not None:
            obj[name] = None
            places.append((obj, name, value))


def _settle_within(value: Any, containers: tuple[str, ...], steps: list[_Step], places: list[Place]) -> None:
    if value is None:
        return
    if not containers:
        _settle(value, steps, places)
        return
    for item in value if containers[0] == "list" else value.values():
        _settle_within(item, containers[1:], steps, places)
