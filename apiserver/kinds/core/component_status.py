"""ComponentStatus: the deprecated health of control plane components; read-only and computed, never stored."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.registry.kind import NAME_COLUMN, Column, Kind, Obj


class ComponentStatusKind(Kind):
    kind = "ComponentStatus"
    plural = "componentstatuses"
    namespaced = False
    short_names = ("cs",)
    verbs = ("get", "list")
    stored = False
    columns = (
        NAME_COLUMN,
        Column("Status", description="Status of the component conditions"),
        Column("Message", description="Message of the component conditions"),
        Column("Error", description="Error of the component conditions"),
    )

    def deprecation(self, version: str) -> str:
        return "v1 ComponentStatus is deprecated in v1.19+"

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        status, message, error = "Unknown", "", ""
        for condition in obj.get("conditions") or ():
            if condition.get("type") == "Healthy":
                status = "Healthy" if condition.get("status") == "True" else "Unhealthy"
                message, error = condition.get("message", ""), condition.get("error", "")
                break
        return [obj["metadata"].get("name", ""), status, message, error]


COMPONENT_STATUS = ComponentStatusKind()
