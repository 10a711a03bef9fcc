"""Lease of coordination.k8s.io/v1: leader election and node heartbeats."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class Lease(Kind):
    group = "coordination.k8s.io"
    kind = "Lease"
    plural = "leases"
    create_on_update = True
    unconditional_update = False
    columns = (NAME_COLUMN, Column("Holder", doc="spec.holderIdentity"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [
            obj["metadata"]["name"],
            (obj.get("spec") or {}).get("holderIdentity", ""),
            cells.age(obj, clock),
        ]
