"""StorageClass of storage.k8s.io/v1: how volumes are provisioned."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj

_DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


class StorageClass(Kind):
    group = "storage.k8s.io"
    kind = "StorageClass"
    plural = "storageclasses"
    returns_deleted = True
    namespaced = False
    short_names = ("sc",)
    columns = (
        NAME_COLUMN,
        Column("Provisioner", doc="provisioner"),
        Column("ReclaimPolicy", doc="reclaimPolicy"),
        Column("VolumeBindingMode", doc="volumeBindingMode"),
        Column("AllowVolumeExpansion", doc="allowVolumeExpansion"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        annotations = obj["metadata"].get("annotations") or {}
        default = any(annotations.get(name) == "true" for name in _DEFAULT_ANNOTATIONS)
        return [
            obj["metadata"]["name"] + (" (default)" if default else ""),
            obj.get("provisioner", ""),
            obj.get("reclaimPolicy", "Delete"),
            obj.get("volumeBindingMode", "Immediate"),
            obj.get("allowVolumeExpansion", False),
            cells.age(obj, clock),
        ]
