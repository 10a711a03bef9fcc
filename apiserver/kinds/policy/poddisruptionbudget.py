"""PodDisruptionBudget of policy/v1: how many pods an eviction may take away."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, labels, meta, numbers

_DRAWN = gostruct.value("policy/v1/PodDisruptionBudget", "spec")


class PodDisruptionBudget(Kind):
    group = "policy"
    kind = "PodDisruptionBudget"
    plural = "poddisruptionbudgets"
    own_metadata = False
    short_names = ("pdb",)
    subresources = (STATUS,)
    has_generation = True
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("Min Available", description="The minimum number of pods that must be available."),
        Column("Max Unavailable", description="The maximum number of pods that may be unavailable."),
        Column(
            "Allowed Disruptions",
            "integer",
            description="Calculated number of pods that may be disrupted at this time.",
        ),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        return [
            obj["metadata"]["name"],
            str(spec.get("minAvailable", "N/A")),
            str(spec.get("maxUnavailable", "N/A")),
            (obj.get("status") or {}).get("disruptionsAllowed", 0),
            cells.age(obj, clock),
        ]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_spec(obj.get("spec") or {}, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return _validate_status(obj.get("status") or {})
        return _validate_spec(obj.get("spec") or {}, old.get("spec") or {})


def _validate_spec(spec: Obj, old: Obj | None) -> list[FieldError]:
    errors: list[FieldError] = []
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        errors.append(field.invalid("spec", _DRAWN(spec), "minAvailable and maxUnavailable cannot be both set"))
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            errors += numbers.int_or_percent(value, f"spec.{name}")
            errors += numbers.at_most_100_percent(value, f"spec.{name}")
    allow = old is not None and labels.has_invalid_values(old.get("selector"))
    errors += labels.validate_label_selector(spec.get("selector"), "spec.selector", allow_invalid_values=allow)
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
        path = "spec.unhealthyPodEvictionPolicy"
        errors.append(field.not_supported(path, policy, ["AlwaysAllow", "IfHealthyBudget"]))
    return errors


def _validate_status(status: Obj) -> list[FieldError]:
    errors = meta.validate_conditions(status.get("conditions"), "status.conditions")
    return errors + numbers.non_negative_fields(
        status, "status", "disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"
    )
