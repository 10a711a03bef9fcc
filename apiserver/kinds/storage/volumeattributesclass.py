"""VolumeAttributesClass of storage.k8s.io/v1: attributes of volumes that may change."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.storage import rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta


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

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = rules.provisioner(obj.get("driverName") or "", "driverName")
        return errors + rules.parameters(obj.get("parameters"), "parameters", allow_empty=False)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors: list[FieldError] = []
        for name in ("driverName", "parameters"):
            errors += meta.validate_immutable(obj.get(name), old.get(name), name)
        return errors
