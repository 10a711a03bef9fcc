"""Lease of coordination.k8s.io/v1: leader election and node heartbeats."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj

_DISABLED = ("strategy", "preferredHolder")  # of coordinated leader election, which is off by default


class Lease(Kind):
    group = "coordination.k8s.io"
    kind = "Lease"
    plural = "leases"
    core_metadata = False
    create_on_update = True
    unconditional_update = False
    columns = (NAME_COLUMN, Column("Holder", doc="spec.holderIdentity"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [
            obj["metadata"]["name"],
            (obj.get("spec") or {}).get("holderIdentity", ""),
            cells.age(obj, clock),
        ]

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        _drop_disabled(obj, {})

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        _drop_disabled(obj, old.get("spec") or {})

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if seconds is not None and seconds <= 0:
            errors.append(field.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            text = "must be greater than or equal to 0"
            errors.append(field.invalid("spec.leaseTransitions", transitions, text))
        return errors


def _drop_disabled(obj: Obj, old: Obj) -> None:
    spec = obj.get("spec") or {}
    for name in _DISABLED:
        if name not in old:
            spec.pop(name, None)
