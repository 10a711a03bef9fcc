"""Namespace: a scope for names. Deleting one leaves it Terminating until spec.finalizers is empty."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj, Subresource


class NamespaceKind(Kind):
    kind = "Namespace"
    plural = "namespaces"
    namespaced = False
    short_names = ("ns",)
    verbs = ("create", "delete", "get", "list", "patch", "update", "watch")
    subresources = (Subresource("finalize", ("update",)), STATUS)
    columns = (NAME_COLUMN, Column("Status", description="The status of the namespace"), AGE_COLUMN)

    def mark_deleting(self, obj: Obj) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"

    def held(self, obj: Obj) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase", "")}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"].get("name", ""), (obj.get("status") or {}).get("phase", ""), cells.age(obj, clock)]


NAMESPACE = NamespaceKind()
