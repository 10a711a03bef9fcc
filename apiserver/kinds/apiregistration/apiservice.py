"""APIService of apiregistration.k8s.io/v1: a group version, and the server that answers for it."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class APIService(Kind):
    group = "apiregistration.k8s.io"
    kind = "APIService"
    plural = "apiservices"
    namespaced = False
    categories = ("api-extensions",)
    subresources = (STATUS,)
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("Service", description="The reference to the service that hosts this API endpoint."),
        Column("Available", description="Whether this service is available."),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        service = (obj.get("spec") or {}).get("service")
        return [
            obj["metadata"]["name"],
            f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local",
            _available(obj),
            cells.age(obj, clock),
        ]


def _available(obj: Obj) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            status: str = condition.get("status", "")
            return status if status == "True" else f"{status} ({condition.get('reason', '')})"
    return "Unknown"
