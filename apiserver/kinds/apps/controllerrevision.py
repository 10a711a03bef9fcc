"""ControllerRevision of apps/v1: a frozen state of a StatefulSet or DaemonSet."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class ControllerRevision(Kind):
    group = "apps"
    kind = "ControllerRevision"
    plural = "controllerrevisions"
    columns = (
        NAME_COLUMN,
        Column("Controller", description="Controller of the object"),
        Column("Revision", doc="revision"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [
            obj["metadata"]["name"],
            cells.controller(obj),
            obj.get("revision", 0),
            cells.age(obj, clock),
        ]
