"""StatefulSet of apps/v1: pods with stable names and claims."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Kind, Obj, Scale


class StatefulSet(Kind):
    group = "apps"
    kind = "StatefulSet"
    plural = "statefulsets"
    short_names = ("sts",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Ready", description="Number of the pod with ready state"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
            cells.age(obj, clock),
            *cells.template_cells(spec),
        ]
