"""ReplicaSet of apps/v1: a number of equal pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Kind, Obj, Scale


class ReplicaSet(Kind):
    group = "apps"
    kind = "ReplicaSet"
    plural = "replicasets"
    short_names = ("rs",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Desired", "integer", doc="spec.replicas"),
        Column("Current", "integer", doc="status.replicas"),
        Column("Ready", "integer", doc="status.readyReplicas"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            spec.get("replicas", 0),
            status.get("replicas", 0),
            status.get("readyReplicas", 0),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.label_selector(spec.get("selector")),
        ]

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}
