"""ResourceClaim of resource.k8s.io/v1: devices wanted by pods, and what was allocated."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class ResourceClaim(Kind):
    group = "resource.k8s.io"
    kind = "ResourceClaim"
    plural = "resourceclaims"
    returns_deleted = True
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("State", description="A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], _state(obj), cells.age(obj, clock)]


def _state(obj: Obj) -> str:
    status = obj.get("status") or {}
    states = ["deleted"] if obj["metadata"].get("deletionTimestamp") else []
    if status.get("allocation") is not None:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    elif not states:
        states.append("pending")
    return ",".join(states)
