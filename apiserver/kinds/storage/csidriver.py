"""CSIDriver of storage.k8s.io/v1: what a volume driver can and wants."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class CSIDriver(Kind):
    group = "storage.k8s.io"
    kind = "CSIDriver"
    plural = "csidrivers"
    returns_deleted = True
    namespaced = False
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("AttachRequired", "boolean", doc="spec.attachRequired"),
        Column("PodInfoOnMount", "boolean", doc="spec.podInfoOnMount"),
        Column("StorageCapacity", "boolean", doc="spec.storageCapacity"),
        Column("TokenRequests", doc="spec.tokenRequests"),
        Column("RequiresRepublish", "boolean", doc="spec.requiresRepublish"),
        Column("Modes", doc="spec.volumeLifecycleModes"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        requests = spec.get("tokenRequests")
        modes = spec.get("volumeLifecycleModes")
        return [
            obj["metadata"]["name"],
            spec.get("attachRequired", True),
            spec.get("podInfoOnMount", False),
            spec.get("storageCapacity", False),
            ",".join(r.get("audience", "") for r in requests) if requests else "<unset>",
            spec.get("requiresRepublish", False),
            ",".join(modes) if modes else cells.NONE,
            cells.age(obj, clock),
        ]
