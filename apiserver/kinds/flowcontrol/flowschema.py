"""FlowSchema of flowcontrol.apiserver.k8s.io/v1: which requests belong to which priority level."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, strategy
from apiserver.kinds.flowcontrol import mandatory, rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta, names

_MAX_PRECEDENCE = 10_000
_METHODS = ("ByNamespace", "ByUser")

_DRAWN = gostruct.value("flowcontrol.apiserver.k8s.io/v1/FlowSchema", "spec")


class FlowSchema(Kind):
    group = "flowcontrol.apiserver.k8s.io"
    kind = "FlowSchema"
    plural = "flowschemas"
    namespaced = False
    subresources = (STATUS,)
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("PriorityLevel", doc="spec.priorityLevelConfiguration.name"),
        Column("MatchingPrecedence", doc="spec.matchingPrecedence"),
        Column("DistinguisherMethod", doc="spec.distinguisherMethod"),
        AGE_COLUMN,
        Column("MissingPL", description="references a broken or non-existent PriorityLevelConfiguration"),
    )

    def in_table_order(self, objects: list[Obj]) -> list[Obj]:
        """As they are matched: by precedence, then by name."""
        return sorted(
            objects, key=lambda o: ((o.get("spec") or {}).get("matchingPrecedence", 0), o["metadata"]["name"])
        )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        method = spec.get("distinguisherMethod")
        dangling = "?"
        for condition in (obj.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "Dangling":
                dangling = condition.get("status", "")
                break
        return [
            obj["metadata"]["name"],
            (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
            spec.get("matchingPrecedence", 0),
            cells.NONE if method is None else method.get("type", ""),
            cells.age(obj, clock),
            dangling,
        ]

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
        errors = _validate_spec(spec, name)
        fixed = mandatory.FLOW_SCHEMAS.get(name)
        if fixed is not None and not meta.same(spec, fixed):
            errors.append(field.invalid("spec", _DRAWN(spec), f"spec of '{name}' must equal the fixed value"))
        return errors + rules.validate_conditions(obj.get("status") or {})

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return rules.validate_conditions(obj.get("status") or {})
        return self.validate(ctx, obj)


def _validate_spec(spec: Obj, name: str) -> list[FieldError]:
    errors: list[FieldError] = []
    precedence, at = spec.get("matchingPrecedence") or 0, "spec.matchingPrecedence"
    if precedence <= 0:
        errors.append(field.invalid(at, precedence, "must be a positive value"))
    if precedence > _MAX_PRECEDENCE:
        errors.append(field.invalid(at, precedence, f"must not be greater than {_MAX_PRECEDENCE}"))
    if precedence == 1 and name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(field.invalid(at, precedence, text))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        value = {"Type": method.get("type") or ""}
        errors.append(field.not_supported("spec.distinguisherMethod.type", value, _METHODS))
    level, at = (spec.get("priorityLevelConfiguration") or {}).get("name") or "", "spec.priorityLevelConfiguration.name"
    if level:
        errors += [field.invalid(at, level, text) for text in names.dns_subdomain(level)]
    else:
        errors.append(field.required(at, "must reference a priority level"))
    for position, rule in enumerate(spec.get("rules") or ()):
        errors += rules.validate_rule(rule, f"spec.rules[{position}]")
    return errors
