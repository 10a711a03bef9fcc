"""PriorityClass of scheduling.k8s.io/v1: a name for a pod priority."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class PriorityClass(Kind):
    group = "scheduling.k8s.io"
    kind = "PriorityClass"
    plural = "priorityclasses"
    namespaced = False
    short_names = ("pc",)
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Value", "integer", doc="value"),
        Column("Global-Default", "boolean", doc="globalDefault"),
        AGE_COLUMN,
        Column("PreemptionPolicy", doc="preemptionPolicy"),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [
            obj["metadata"]["name"],
            obj.get("value", 0),
            obj.get("globalDefault", False),
            cells.age(obj, clock),
            obj.get("preemptionPolicy", ""),
        ]
