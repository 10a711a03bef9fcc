"""MutatingAdmissionPolicy of admissionregistration.k8s.io/v1: CEL rules for writes."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.admissionregistration import policies
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj


class MutatingAdmissionPolicy(Kind):
    group = "admissionregistration.k8s.io"
    kind = "MutatingAdmissionPolicy"
    plural = "mutatingadmissionpolicies"
    core_metadata = False
    namespaced = False
    categories = ("api-extensions",)
    has_generation = True
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column(
            "Mutations",
            "integer",
            description="Mutation indicates the number of mutations rules defined in this configuration",
        ),
        Column("ParamKind", description="ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        param = spec.get("paramKind")
        return [
            obj["metadata"]["name"],
            len(spec.get("mutations") or ()),
            "<unset>" if param is None else f"{param.get('apiVersion', '')}/{param.get('kind', '')}",
            cells.age(obj, clock),
        ]

    def default(self, obj: Obj, version: str) -> None:
        policies.default_policy(obj.setdefault("spec", {}))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        scope = policies.scope_of(spec, mutation=True)
        return policies.validate_policy(spec, scope) + policies.validate_mutations(spec, scope)
