"""IPAddress of networking.k8s.io/v1: an address in use, named by itself."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import NAME_COLUMN, Column, Kind, Obj


class IPAddress(Kind):
    group = "networking.k8s.io"
    kind = "IPAddress"
    plural = "ipaddresses"
    namespaced = False
    short_names = ("ip",)
    columns = (NAME_COLUMN, Column("ParentRef", doc="spec.parentRef"))

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        # The original has no column for the age, but prints it.
        text = cells.NONE
        if (parent := (obj.get("spec") or {}).get("parentRef")) is not None:
            group = parent.get("group")
            text = (parent.get("resource", "") + (f".{group}" if group else "")).lower()
            if namespace := parent.get("namespace"):
                text += "/" + namespace
            text += "/" + parent.get("name", "")
        return [obj["metadata"]["name"], text, cells.age(obj, clock)]
