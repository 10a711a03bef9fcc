"""VolumeAttributesClass of storage.k8s.io/v1: attributes of volumes that may change."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class VolumeAttributesClass(Kind):
    group = "storage.k8s.io"
    kind = "VolumeAttributesClass"
    plural = "volumeattributesclasses"
    returns_deleted = True
    namespaced = False
    short_names = ("vac",)
    columns = (NAME_COLUMN, Column("DriverName", doc="driverName"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        annotations = obj["metadata"].get("annotations") or {}
        default = annotations.get("volumeattributesclass.alpha.kubernetes.io/is-default-class") == "true"
        name = obj["metadata"]["name"] + (" (default)" if default else "")
        return [name, obj.get("driverName", ""), cells.age(obj, clock)]
