"""CSIStorageCapacity of storage.k8s.io/v1: how much a storage class has left in a topology segment."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.registry.kind import NAME_COLUMN, Column, Kind, Obj


class CSIStorageCapacity(Kind):
    group = "storage.k8s.io"
    kind = "CSIStorageCapacity"
    plural = "csistoragecapacities"
    unconditional_update = False
    columns = (NAME_COLUMN, Column("StorageClassName", doc="storageClassName"), Column("Capacity", doc="capacity"))

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        capacity = obj.get("capacity")
        return [
            obj["metadata"]["name"],
            obj.get("storageClassName", ""),
            "<unset>" if capacity is None else str(capacity),
        ]
