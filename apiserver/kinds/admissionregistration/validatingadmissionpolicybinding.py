"""ValidatingAdmissionPolicyBinding of admissionregistration.k8s.io/v1: where a policy holds, and with which parameters."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.admissionregistration import policies
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj


class ValidatingAdmissionPolicyBinding(Kind):
    group = "admissionregistration.k8s.io"
    kind = "ValidatingAdmissionPolicyBinding"
    plural = "validatingadmissionpolicybindings"
    core_metadata = False
    namespaced = False
    categories = ("api-extensions",)
    has_generation = True
    unconditional_update = False
    has_actions = True  # it says what a failure leads to
    columns = (
        NAME_COLUMN,
        Column(
            "PolicyName",
            description="PolicyName indicates the policy definition which the policy binding binded to",
        ),
        Column("ParamRef", description="ParamRef indicates the param resource which sets the configuration param"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        text, ref = "<unset>", spec.get("paramRef") or {}
        if ref.get("name"):
            text = f"{ref.get('namespace') or '*'}/{ref['name']}"
        elif ref.get("selector") is not None:
            text = cells.go_label_selector(ref["selector"])
        return [obj["metadata"]["name"], spec.get("policyName", ""), text, cells.age(obj, clock)]

    def default(self, obj: Obj, version: str) -> None:
        policies.default_binding(obj.setdefault("spec", {}))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return policies.validate_binding(obj.get("spec") or {}, actions=self.has_actions)
