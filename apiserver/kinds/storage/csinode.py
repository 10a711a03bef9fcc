"""CSINode of storage.k8s.io/v1: the volume drivers of a node."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class CSINode(Kind):
    group = "storage.k8s.io"
    kind = "CSINode"
    plural = "csinodes"
    returns_deleted = True
    namespaced = False
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column(
            "Drivers",
            "integer",
            description="Drivers indicates the number of CSI drivers registered on the node",
        ),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        drivers = (obj.get("spec") or {}).get("drivers") or ()
        return [obj["metadata"]["name"], len(drivers), cells.age(obj, clock)]
