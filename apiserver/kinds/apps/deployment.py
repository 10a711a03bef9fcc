"""Deployment of apps/v1: rolling updates of ReplicaSets."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Kind, Obj, Scale


class Deployment(Kind):
    group = "apps"
    kind = "Deployment"
    plural = "deployments"
    short_names = ("deploy",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date", doc="status.updatedReplicas"),
        Column("Available", doc="status.availableReplicas"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
            status.get("updatedReplicas", 0),
            status.get("availableReplicas", 0),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.selector_text(spec.get("selector")),
        ]
