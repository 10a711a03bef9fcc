"""ConfigMap: configuration as text and bytes; may be made immutable."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class ConfigMapKind(Kind):
    kind = "ConfigMap"
    plural = "configmaps"
    short_names = ("cm",)
    columns = (NAME_COLUMN, Column("Data", doc="data"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        count = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
        return [obj["metadata"].get("name", ""), count, cells.age(obj, clock)]


CONFIG_MAP = ConfigMapKind()
