"""ReplicaSet of apps/v1: a number of equal pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates, strategy
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Ctx, Kind, Obj, Scale
from apiserver.validation import numbers, podspec


class ReplicaSet(Kind):
    group = "apps"
    kind = "ReplicaSet"
    plural = "replicasets"
    short_names = ("rs",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    telling_empties = podspec.TELLING_EMPTIES
    columns = (
        NAME_COLUMN,
        Column("Desired", "integer", doc="spec.replicas"),
        Column("Current", "integer", doc="status.replicas"),
        Column("Ready", "integer", doc="status.readyReplicas"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            spec.get("replicas", 0),
            status.get("replicas", 0),
            status.get("readyReplicas", 0),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.label_selector(spec.get("selector")),
        ]

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        podtemplates.default_template(spec)
        if spec.get("replicas") is None:
            spec["replicas"] = 1

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        podtemplates.prepare(obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        podtemplates.prepare(obj)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_spec(obj["spec"], None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return _validate_status(obj.get("status") or {})
        new_spec, old_spec = obj["spec"], old["spec"]
        errors = _validate_spec(new_spec, old_spec)
        return errors + podtemplates.fixed_selector(new_spec, old_spec)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        advice = strategy.pod_name_advice(obj["metadata"]["name"]) if old is None else []
        return advice + podtemplates.warnings(obj, old)


def _validate_spec(spec: Obj, old: Obj | None) -> list[FieldError]:
    errors = numbers.non_negative_fields(spec, "spec", "replicas", "minReadySeconds")
    errors += podtemplates.validate_selector_and_template(spec, old)
    return errors


def _validate_status(status: Obj) -> list[FieldError]:
    counts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    errors = numbers.non_negative_fields(
        status, "status", "replicas", *counts, "observedGeneration", "terminatingReplicas"
    )
    total, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    errors += numbers.not_above(status, "status", total, "cannot be greater than status.replicas", *counts)
    errors += numbers.not_above(status, "status", ready, "cannot be greater than readyReplicas", "availableReplicas")
    return errors
