"""PersistentVolumeClaim: a pod's demand for storage."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.kinds.core.persistent_volume import UNSET, access_modes, storage_class
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class PersistentVolumeClaimKind(Kind):
    kind = "PersistentVolumeClaim"
    plural = "persistentvolumeclaims"
    revalidates_metadata = True
    returns_deleted = True
    short_names = ("pvc",)
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("Status", doc="status.phase"),
        Column("Volume", doc="spec.volumeName"),
        Column("Capacity", doc="status.capacity"),
        Column("Access Modes", doc="status.accessModes"),
        Column("StorageClass", description="StorageClass of the pvc"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pvc"),
        AGE_COLUMN,
        Column("VolumeMode", doc="spec.volumeMode", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        volume = spec.get("volumeName", "")
        return [
            obj["metadata"].get("name", ""),
            "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
            volume,
            (status.get("capacity") or {}).get("storage", "0") if volume else "",
            access_modes(status.get("accessModes")) if volume else "",
            storage_class(obj),
            spec.get("volumeAttributesClassName", UNSET),
            cells.age(obj, clock),
            spec.get("volumeMode", UNSET),
        ]


PERSISTENT_VOLUME_CLAIM = PersistentVolumeClaimKind()
