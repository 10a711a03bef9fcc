"""Deployment of apps/v1: rolling updates of ReplicaSets."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates, strategy
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Ctx, Kind, Obj, Scale
from apiserver.validation import numbers, podspec


class Deployment(Kind):
    group = "apps"
    kind = "Deployment"
    plural = "deployments"
    short_names = ("deploy",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    telling_empties = podspec.TELLING_EMPTIES
    columns = (
        NAME_COLUMN,
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date", doc="status.updatedReplicas"),
        Column("Available", doc="status.availableReplicas"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
            status.get("updatedReplicas", 0),
            status.get("availableReplicas", 0),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.selector_text(spec.get("selector")),
        ]

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        podtemplates.default_template(spec)
        if spec.get("replicas") is None:
            spec["replicas"] = 1
        strategy = spec.setdefault("strategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
            for name in ("maxUnavailable", "maxSurge"):
                if rolling.get(name) is None:
                    rolling[name] = "25%"
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = 10
        if spec.get("progressDeadlineSeconds") is None:
            spec["progressDeadlineSeconds"] = 600

    def generation_view(self, obj: Obj) -> Any:
        # Annotations count as desired state here, unlike elsewhere: the original bumps the generation for them.
        return obj.get("spec"), obj["metadata"].get("annotations") or {}

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        podtemplates.prepare(obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        podtemplates.prepare(obj)
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old, ("labels",))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_spec(obj["spec"], None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return _validate_status(obj.get("status") or {}, old.get("status") or {})
        new_spec, old_spec = obj["spec"], old["spec"]
        errors = _validate_spec(new_spec, old_spec)
        return errors + podtemplates.fixed_selector(new_spec, old_spec)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        advice = strategy.pod_name_advice(obj["metadata"]["name"]) if old is None else []
        return advice + podtemplates.warnings(obj, old)


def _validate_spec(spec: Obj, old: Obj | None) -> list[FieldError]:
    errors = numbers.non_negative_fields(spec, "spec", "replicas")
    errors += podtemplates.validate_selector_and_template(spec, old)
    errors += _validate_strategy(spec.get("strategy") or {})
    errors += numbers.non_negative_fields(
        spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"
    )
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        errors.append(field.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def _validate_strategy(strategy: Obj) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            return [field.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")]
        return []
    if kind != "RollingUpdate":
        value = {"Type": kind, "RollingUpdate": numbers.drawn_rolling_update(rolling)}
        return [field.not_supported("spec.strategy", value, ["Recreate", "RollingUpdate"])]
    if rolling is None:
        return [field.required(path, "this should be defaulted and never be nil")]
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = numbers.int_or_percent(unavailable, path + ".maxUnavailable")
    errors += numbers.int_or_percent(surge, path + ".maxSurge")
    if numbers.plain_value(unavailable) == 0 and numbers.plain_value(surge) == 0:
        errors.append(field.invalid(path + ".maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return errors + numbers.at_most_100_percent(unavailable, path + ".maxUnavailable")


_COUNTS = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


def _validate_status(status: Obj, old: Obj) -> list[FieldError]:
    errors = numbers.non_negative_fields(
        status, "status", *_COUNTS, "unavailableReplicas", "terminatingReplicas", "collisionCount"
    )
    total, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    errors += numbers.not_above(
        status,
        "status",
        total,
        "cannot be greater than status.replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    )
    errors += numbers.not_above(status, "status", ready, "cannot be greater than readyReplicas", "availableReplicas")
    return errors + numbers.not_decremented(status, old, "collisionCount", "status")
