"""PersistentVolume: storage that outlives pods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
UNSET = "<unset>"
_MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)


class PersistentVolumeKind(Kind):
    kind = "PersistentVolume"
    plural = "persistentvolumes"
    returns_deleted = True
    namespaced = False
    short_names = ("pv",)
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("Capacity", doc="spec.capacity"),
        Column("Access Modes", doc="spec.accessModes"),
        Column("Reclaim Policy", doc="spec.persistentVolumeReclaimPolicy"),
        Column("Status", doc="status.phase"),
        Column("Claim", doc="spec.claimRef"),
        Column("StorageClass", description="StorageClass of the pv"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pv"),
        Column("Reason", doc="status.reason"),
        AGE_COLUMN,
        Column("VolumeMode", doc="spec.volumeMode", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        claim = spec.get("claimRef")
        return [
            obj["metadata"].get("name", ""),
            (spec.get("capacity") or {}).get("storage", "0"),
            access_modes(spec.get("accessModes")),
            spec.get("persistentVolumeReclaimPolicy", ""),
            "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
            f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
            storage_class(obj),
            spec.get("volumeAttributesClassName", UNSET),
            status.get("reason", ""),
            cells.age(obj, clock),
            spec.get("volumeMode", UNSET),
        ]


def access_modes(modes: Iterable[str] | None) -> str:
    """Access modes in their short forms, in the original's order."""
    present = set(modes or ())
    return ",".join(short for mode, short in _MODES if mode in present)


def storage_class(obj: Obj) -> str:
    """The class of a volume or claim; the old annotation wins over the field."""
    annotations = obj["metadata"].get("annotations") or {}
    if CLASS_ANNOTATION in annotations:
        return str(annotations[CLASS_ANNOTATION])
    return str((obj.get("spec") or {}).get("storageClassName") or "")


PERSISTENT_VOLUME = PersistentVolumeKind()
