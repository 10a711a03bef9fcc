"""Column definitions of Tables as clients see them; descriptions that a column only points at come from its kind's schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from apiserver.registry.kind import NAME_COLUMN, Column, Kind, Obj
from openapi import schemas
from openapi.schemas import DATA, TypeInfo

_DOCUMENTS = DATA / "documents.json"


class ColumnDefinitions:
    """Made once per kind and version.

    The documentation of all types is large and needed for little: it is read when the first Table is drawn, the columns'
    texts of every built-in kind are taken out, and it is let go.
    """

    def __init__(self, kinds: Callable[[], Iterable[tuple[TypeInfo, Sequence[Column]]]]) -> None:
        self._kinds = kinds
        self._texts: Mapping[tuple[str, str], str] | None = None
        self._made: dict[tuple[Any, str], list[Obj]] = {}

    def of(self, kind: Kind, version: str, info: TypeInfo) -> list[Obj]:
        if kind.custom:
            return self.draw(kind.columns, info)  # kept, it would outlive the kind
        key = (kind, version)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self.draw(kind.columns, info)
        return made

    def draw(self, columns: Sequence[Column], info: TypeInfo) -> list[Obj]:
        """Definitions of these columns; info: the type that their `doc` paths are in."""
        if self._texts is None:
            self._texts = _collect(self._kinds())
        texts = self._texts
        drawn = []
        for column in columns:
            place = _place(info, column.doc) if column.doc and not column.description else None
            drawn.append(
                {
                    "name": column.name,
                    "type": column.type,
                    "format": column.format,
                    "description": texts.get(place, "") if place else column.description,
                    "priority": column.priority,
                }
            )
        return drawn


def _place(info: TypeInfo, path: str) -> tuple[str, str] | None:
    """(definition, field) that a path leads to: within the type, or within that of another kind ("v1/Event:lastTimestamp")."""
    other, _, path = path.rpartition(":")
    if other:
        info = schemas.load().type(other)
    *parents, last = path.split(".")
    at: TypeInfo | None = info
    for name in parents:
        at = at.field(name) if at is not None else None
        while at is not None and at.kind in ("list", "map"):
            at = at.elem
    return (at.name, last) if at is not None and at.name else None


def _collect(kinds: Iterable[tuple[TypeInfo, Sequence[Column]]]) -> Mapping[tuple[str, str], str]:
    places = {
        place for info, columns in kinds for column in columns if column.doc and (place := _place(info, column.doc))
    }
    documents = orjson.loads(_DOCUMENTS.read_bytes())
    texts = {}
    for definition, name in places:
        field = documents.get(definition, {}).get("properties", {}).get(name, {})
        texts[definition, name] = field.get("description", "")
    return texts


@cache
def scale_columns(custom: bool = False) -> tuple[Column, ...]:
    """What a Scale shows; doc paths are those of autoscaling/v1 Scale. custom: that of a custom resource."""
    if custom:
        return (
            NAME_COLUMN,
            Column("Desired", type="integer", description="Number of desired replicas"),
            Column("Available", type="integer", description="Number of actual replicas"),
            Column("Age", type="date", doc="metadata.creationTimestamp"),
        )
    return (
        Column("Name", doc="metadata.name"),
        Column("Desired", type="integer", doc="spec.replicas"),
        Column("Available", type="integer", doc="status.replicas"),
        Column("Age", doc="metadata.creationTimestamp"),
    )
