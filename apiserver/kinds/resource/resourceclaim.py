"""ResourceClaim of resource.k8s.io/v1: devices wanted by pods, and what was allocated."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, strategy
from apiserver.kinds.resource import admin, claims
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta

_DRAWN = gostruct.value("resource.k8s.io/v1/ResourceClaim", "spec")


class ResourceClaim(Kind):
    group = "resource.k8s.io"
    kind = "ResourceClaim"
    plural = "resourceclaims"
    returns_deleted = True
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("State", description="A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], _state(obj), cells.age(obj, clock)]

    def default(self, obj: Obj, version: str) -> None:
        claims.default_claim(obj.get("spec") or {})

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        await admin.check_requests(ctx, self, obj, obj.get("spec") or {})

    async def begin_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            await admin.check_allocation(ctx, self, obj, old)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return claims.validate_spec(obj.get("spec") or {}, "spec")

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return claims.validate_status(obj, old)
        return meta.validate_immutable(obj.get("spec"), old.get("spec"), "spec", _DRAWN)


def _state(obj: Obj) -> str:
    status = obj.get("status") or {}
    states = ["deleted"] if obj["metadata"].get("deletionTimestamp") else []
    if status.get("allocation") is not None:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    elif not states:
        states.append("pending")
    return ",".join(states)
