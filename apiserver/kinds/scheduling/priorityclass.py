"""PriorityClass of scheduling.k8s.io/v1: a name for a pod priority."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta, podspec

_HIGHEST = 1_000_000_000
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


class PriorityClass(Kind):
    group = "scheduling.k8s.io"
    kind = "PriorityClass"
    plural = "priorityclasses"
    namespaced = False
    short_names = ("pc",)
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Value", "integer", doc="value"),
        Column("Global-Default", "boolean", doc="globalDefault"),
        AGE_COLUMN,
        Column("PreemptionPolicy", doc="preemptionPolicy"),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [
            obj["metadata"]["name"],
            obj.get("value", 0),
            obj.get("globalDefault", False),
            cells.age(obj, clock),
            obj.get("preemptionPolicy", ""),
        ]

    def default(self, obj: Obj, version: str) -> None:
        if obj.get("preemptionPolicy") is None:
            obj["preemptionPolicy"] = "PreemptLowerPriority"

    def generation_view(self, obj: Obj) -> Any:
        return None  # the first generation lasts

    def undeletable(self, name: str) -> str:
        return "this is a system priority class and cannot be deleted" if name in SYSTEM_CLASSES else ""

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors: list[FieldError] = []
        name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
        if name.startswith("system-"):
            if text := _system_fault(name, value, bool(obj.get("globalDefault"))):
                words = "priority class names with 'system-' prefix are reserved for system use only. error: "
                errors.append(field.forbidden("metadata.name", words + text))
        elif value > _HIGHEST:
            text = f"maximum allowed value of a user defined priority is {_HIGHEST}"
            errors.append(field.forbidden("value", text))
        if (policy := obj.get("preemptionPolicy")) is not None:
            errors += podspec.validate_preemption_policy(policy, "preemptionPolicy")
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors: list[FieldError] = []
        if (obj.get("value") or 0) != (old.get("value") or 0):
            errors.append(field.forbidden("value", "may not be changed in an update."))
        policies = obj.get("preemptionPolicy"), old.get("preemptionPolicy")
        return errors + meta.validate_immutable(*policies, "preemptionPolicy")


def _system_fault(name: str, value: int, default: bool) -> str:
    """Why this is none of the system's own classes, or ""."""
    expected = SYSTEM_CLASSES.get(name)
    if expected is None:
        return f"{name} is not a known system priority class"
    if value != expected:
        return f"value of {name} PriorityClass must be {expected}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""
