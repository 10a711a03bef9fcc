"""HorizontalPodAutoscaler of autoscaling/v2 and v1: one kind in two shapes (conversion.py), stored as v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.autoscaling import conversion, rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import numbers

_UNKNOWN = "<unknown>"
_V2 = "autoscaling/v2/HorizontalPodAutoscaler:"  # tables of v1 are v2's


class HorizontalPodAutoscaler(Kind):
    group = "autoscaling"
    kind = "HorizontalPodAutoscaler"
    plural = "horizontalpodautoscalers"
    short_names = ("hpa",)
    categories = ("all",)
    versions = ("v2", "v1")
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("Reference", doc=_V2 + "spec.scaleTargetRef"),
        Column("Targets", doc=_V2 + "spec.metrics"),
        Column("MinPods", doc=_V2 + "spec.minReplicas"),
        Column("MaxPods", doc=_V2 + "spec.maxReplicas"),
        Column("Replicas", doc=_V2 + "status.currentReplicas"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        if obj["apiVersion"] == "autoscaling/v1":
            obj = conversion.to_v2(obj)
        spec, status = obj["spec"], obj.get("status") or {}
        target = spec.get("scaleTargetRef") or {}
        minimum = spec.get("minReplicas")
        return [
            obj["metadata"]["name"],
            f"{target.get('kind', '')}/{target.get('name', '')}",
            _metrics(spec.get("metrics") or (), status.get("currentMetrics") or ()),
            "<unset>" if minimum is None else str(minimum),
            spec.get("maxReplicas", 0),
            status.get("currentReplicas", 0),
            cells.age(obj, clock),
        ]

    def convert(self, obj: Obj, source: str, target: str) -> Obj:
        if source == target:
            return obj
        if target == "v1":
            return conversion.to_v1(obj)
        converted = conversion.to_v2(obj)
        self.default(converted, "v2")
        return converted

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1
        if version == "v1":  # converted at once, which fills in the target and forgets annotations that say nothing
            whole = conversion.to_v1(self.convert(obj, "v1", "v2"))
            obj["spec"], obj["metadata"] = whole["spec"], whole["metadata"]
            return
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        if (behavior := spec.get("behavior")) is not None:
            behavior["scaleUp"] = {**_scale_up(), **_given(behavior.get("scaleUp"))}
            behavior["scaleDown"] = {**_scale_down(), **_given(behavior.get("scaleDown"))}

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return rules.validate_spec(obj.get("spec") or {}, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            status = obj.get("status") or {}
            return numbers.non_negative_fields(status, "status", "currentReplicas", "desiredReplicas")
        return rules.validate_spec(obj.get("spec") or {}, old.get("spec") or {})


def _given(rule: Obj | None) -> Obj:
    """What a user has set of scaling rules."""
    return {name: value for name, value in (rule or {}).items() if value is not None}


def _scale_up() -> Obj:
    return {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    }


def _scale_down() -> Obj:
    return {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def _metrics(specs: Sequence[Obj], statuses: Sequence[Obj]) -> str:
    """Each metric as current/target; two at most."""
    if not specs:
        return cells.NONE
    shown = [_metric(spec, statuses[i] if i < len(statuses) else {}) for i, spec in enumerate(specs)]
    text = ", ".join(shown[:2])
    return f"{text} + {len(shown) - 2} more..." if len(shown) > 2 else text


def _metric(spec: Obj, status: Obj) -> str:
    kind = spec.get("type", "")
    field = {"External": "external", "Pods": "pods", "Object": "object", "Resource": "resource"}.get(kind, "")
    if kind == "ContainerResource":
        field = "containerResource"
    if not field:
        return "<unknown type>"
    source = spec.get(field) or {}
    target = source.get("target") or {}
    current = (status.get(field) or {}).get("current") or {}
    if kind == "Pods":
        return f"{current.get('averageValue', _UNKNOWN)}/{target.get('averageValue', '0')}"
    if kind in ("Resource", "ContainerResource"):
        if "averageValue" in target:
            return f"{source.get('name', '')}: {current.get('averageValue', _UNKNOWN)}/{target['averageValue']}"
        used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        return (
            f"{source.get('name', '')}: {_UNKNOWN if used is None else f'{used}%'}/"
            f"{'<auto>' if wanted is None else f'{wanted}%'}"
        )
    if "averageValue" in target:
        return f"{current.get('averageValue', _UNKNOWN)}/{target['averageValue']} (avg)"
    return f"{current.get('value', _UNKNOWN)}/{target.get('value', '0')}"
