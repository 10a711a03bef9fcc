"""Secret: like a ConfigMap, for sensitive bytes; its type demands certain keys."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class SecretKind(Kind):
    kind = "Secret"
    plural = "secrets"
    columns = (NAME_COLUMN, Column("Type", doc="type"), Column("Data", doc="data"), AGE_COLUMN)

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"type": obj.get("type", "")}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        name = obj["metadata"].get("name", "")
        return [name, obj.get("type", ""), len(obj.get("data") or ()), cells.age(obj, clock)]


SECRET = SecretKind()
