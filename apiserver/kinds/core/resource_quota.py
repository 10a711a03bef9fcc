"""ResourceQuota: how much of each resource a namespace may use in total."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class ResourceQuotaKind(Kind):
    kind = "ResourceQuota"
    plural = "resourcequotas"
    returns_deleted = True
    short_names = ("quota",)
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column(
            "Request",
            description="Request represents a minimum amount of cpu/memory that a container may consume.",
        ),
        Column(
            "Limit",
            description="Limits control the maximum amount of cpu/memory that a container may use independent of "
            "contention on the node.",
        ),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        status = obj.get("status") or {}
        used = status.get("used") or {}
        requests: list[str] = []
        limits: list[str] = []
        for name, hard in sorted((status.get("hard") or {}).items()):
            (limits if name.startswith("limits.") else requests).append(f"{name}: {used.get(name, '0')}/{hard}")
        return [obj["metadata"].get("name", ""), ", ".join(requests), ", ".join(limits), cells.age(obj, clock)]


RESOURCE_QUOTA = ResourceQuotaKind()
