"""DaemonSet of apps/v1: one pod on each node."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj

_COUNTS = (
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
)


class DaemonSet(Kind):
    group = "apps"
    kind = "DaemonSet"
    plural = "daemonsets"
    short_names = ("ds",)
    categories = ("all",)
    subresources = (STATUS,)
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Desired", "integer", doc="status.desiredNumberScheduled"),
        Column("Current", "integer", doc="status.currentNumberScheduled"),
        Column("Ready", "integer", doc="status.numberReady"),
        Column("Up-to-date", "integer", doc="status.updatedNumberScheduled"),
        Column("Available", "integer", doc="status.numberAvailable"),
        Column("Node Selector", doc="spec.template.spec.nodeSelector"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            *(status.get(name, 0) for name in _COUNTS),
            cells.labels(spec["template"].get("spec", {}).get("nodeSelector")),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.label_selector(spec.get("selector")),
        ]
