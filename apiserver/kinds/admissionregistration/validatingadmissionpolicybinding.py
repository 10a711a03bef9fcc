"""ValidatingAdmissionPolicyBinding of admissionregistration.k8s.io/v1: where a policy holds, and with which parameters."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class ValidatingAdmissionPolicyBinding(Kind):
    group = "admissionregistration.k8s.io"
    kind = "ValidatingAdmissionPolicyBinding"
    plural = "validatingadmissionpolicybindings"
    namespaced = False
    categories = ("api-extensions",)
    has_generation = True
    unconditional_update = False
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
        text = "<unset>"
        if (ref := spec.get("paramRef")) is not None:
            text = ref.get("name", "")
            if namespace := ref.get("namespace"):
                text = f"{namespace}/{text}"
            if not ref.get("name") and ref.get("selector") is not None:
                text = cells.label_selector(ref["selector"])
        return [obj["metadata"]["name"], spec.get("policyName", ""), text, cells.age(obj, clock)]
