"""ResourceSlice of resource.k8s.io/v1: devices that a driver offers on a node."""

from __future__ import annotations

from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.resource import slices
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj


class ResourceSlice(Kind):
    group = "resource.k8s.io"
    kind = "ResourceSlice"
    plural = "resourceslices"
    returns_deleted = True
    namespaced = False
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Node", doc="spec.nodeName"),
        Column("Driver", doc="spec.driver"),
        Column("Pool", doc="spec.pool.name"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        return [
            obj["metadata"]["name"],
            spec.get("nodeName", ""),
            spec.get("driver", ""),
            (spec.get("pool") or {}).get("name", ""),
            cells.age(obj, clock),
        ]

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.nodeName": spec.get("nodeName") or "", "spec.driver": spec.get("driver", "")}

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        slices.default_slice(obj.get("spec") or {}, times.now(ctx.clock))

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        slices.default_slice(obj.get("spec") or {}, times.now(ctx.clock))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return slices.validate_spec(obj.get("spec") or {}, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return slices.validate_spec(obj.get("spec") or {}, old.get("spec") or {})
