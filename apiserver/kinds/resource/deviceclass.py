"""DeviceClass of resource.k8s.io/v1: a name for devices that a driver offers."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Kind, Obj


class DeviceClass(Kind):
    group = "resource.k8s.io"
    kind = "DeviceClass"
    plural = "deviceclasses"
    returns_deleted = True
    namespaced = False
    has_generation = True
    columns = (NAME_COLUMN, AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], cells.age(obj, clock)]
