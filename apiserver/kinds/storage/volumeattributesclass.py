"""VolumeAttributesClass of storage.k8s.io/v1: attributes of volumes that may change."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.storage import rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj


class VolumeAttributesClass(Kind):
    group = "storage.k8s.io"
    kind = "VolumeAttributesClass"
    plural = "volumeattributesclasses"
    revalidates_metadata = 1
    returns_deleted = True
    namespaced = False
    short_names = ("vac",)
    columns = (NAME_COLUMN, Column("DriverName", doc="driverName"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        annotations = obj["metadata"].get("annotations") or {}
        default = annotations.get("volumeattributesclass.alpha.kubernetes.io/is-default-class") == "true"
        name = obj["metadata"]["name"] + (" (default)" if default else "")
        return [name, obj.get("driverName", ""), cells.age(obj, clock)]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = rules.provisioner(obj.get("driverName") or "", "driverName")
        return errors + rules.parameters(obj.get("parameters"), "parameters", allow_empty=False)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = [
            field.forbidden(name, f"updates to {name} are forbidden.")
            for name in ("driverName", "parameters")
            if (obj.get(name) or None) != (old.get(name) or None)
        ]
        return errors + self.validate(ctx, obj)
