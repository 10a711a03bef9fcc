"""ValidatingAdmissionPolicy of admissionregistration.k8s.io/v1: CEL rules for writes."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, strategy
from apiserver.kinds.admissionregistration import policies
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import meta


class ValidatingAdmissionPolicy(Kind):
    group = "admissionregistration.k8s.io"
    kind = "ValidatingAdmissionPolicy"
    plural = "validatingadmissionpolicies"
    core_metadata = False
    namespaced = False
    categories = ("api-extensions",)
    subresources = (STATUS,)
    has_generation = True
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column(
            "Validations",
            "integer",
            description="Validations indicates the number of validation rules defined in this configuration",
        ),
        Column("ParamKind", description="ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        param = spec.get("paramKind")
        return [
            obj["metadata"]["name"],
            len(spec.get("validations") or ()),
            "<unset>" if param is None else f"{param.get('apiVersion', '')}/{param.get('kind', '')}",
            cells.age(obj, clock),
        ]

    def default(self, obj: Obj, version: str) -> None:
        policies.default_policy(obj.setdefault("spec", {}))

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        scope = policies.scope_of(spec)
        name = obj["metadata"].get("name") or ""
        return policies.validate_policy(spec, scope) + policies.validate_validations(spec, name, scope)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource != "status":
            return self.validate(ctx, obj)
        status = obj.get("status") or {}
        errors: list[FieldError] = []
        for i, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
            path = f"status.typeChecking.expressionWarnings[{i}]"
            errors += [field.required(f"{path}.{name}") for name in ("warning", "fieldRef") if not warning.get(name)]
        return errors + meta.validate_conditions(status.get("conditions"), "status.conditions")
