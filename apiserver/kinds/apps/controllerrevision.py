"""ControllerRevision of apps/v1: a frozen state of a StatefulSet or DaemonSet."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta, numbers


class ControllerRevision(Kind):
    group = "apps"
    kind = "ControllerRevision"
    plural = "controllerrevisions"
    columns = (
        NAME_COLUMN,
        Column("Controller", description="Controller of the object"),
        Column("Revision", doc="revision"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [
            obj["metadata"]["name"],
            cells.controller(obj),
            obj.get("revision", 0),
            cells.age(obj, clock),
        ]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors: list[FieldError] = []
        if obj.get("data") is None:
            errors.append(field.required("data", "data is mandatory"))
        return errors + numbers.non_negative(obj.get("revision"), "revision")

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return self.validate(ctx, obj) + meta.validate_immutable(obj.get("data"), old.get("data"), "data")
