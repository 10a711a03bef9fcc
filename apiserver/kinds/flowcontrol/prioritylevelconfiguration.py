"""PriorityLevelConfiguration of flowcontrol.apiserver.k8s.io/v1: a share of the server, and its queues."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class PriorityLevelConfiguration(Kind):
    group = "flowcontrol.apiserver.k8s.io"
    kind = "PriorityLevelConfiguration"
    plural = "prioritylevelconfigurations"
    namespaced = False
    subresources = (STATUS,)
    has_generation = True
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("Type", doc="spec.type"),
        Column("NominalConcurrencyShares", doc="spec.limited.nominalConcurrencyShares"),
        Column("Queues", doc="spec.limited.limitResponse.queuing.queues"),
        Column("HandSize", doc="spec.limited.limitResponse.queuing.handSize"),
        Column("QueueLengthLimit", doc="spec.limited.limitResponse.queuing.queueLengthLimit"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        shares: Any = cells.NONE
        queues: list[Any] = [cells.NONE] * 3
        if (limited := spec.get("limited")) is not None:
            shares = limited.get("nominalConcurrencyShares", 0)
            if (queuing := (limited.get("limitResponse") or {}).get("queuing")) is not None:
                queues = [queuing.get(name, 0) for name in ("queues", "handSize", "queueLengthLimit")]
        return [obj["metadata"]["name"], spec.get("type", ""), shares, *queues, cells.age(obj, clock)]
