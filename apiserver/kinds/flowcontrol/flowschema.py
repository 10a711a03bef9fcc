"""FlowSchema of flowcontrol.apiserver.k8s.io/v1: which requests belong to which priority level."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class FlowSchema(Kind):
    group = "flowcontrol.apiserver.k8s.io"
    kind = "FlowSchema"
    plural = "flowschemas"
    namespaced = False
    subresources = (STATUS,)
    has_generation = True
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("PriorityLevel", doc="spec.priorityLevelConfiguration.name"),
        Column("MatchingPrecedence", doc="spec.matchingPrecedence"),
        Column("DistinguisherMethod", doc="spec.distinguisherMethod"),
        AGE_COLUMN,
        Column("MissingPL", description="references a broken or non-existent PriorityLevelConfiguration"),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        method = spec.get("distinguisherMethod")
        dangling = "?"
        for condition in (obj.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "Dangling":
                dangling = condition.get("status", "")
                break
        return [
            obj["metadata"]["name"],
            (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
            spec.get("matchingPrecedence", 0),
            cells.NONE if method is None else method.get("type", ""),
            cells.age(obj, clock),
            dangling,
        ]
