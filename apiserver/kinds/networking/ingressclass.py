"""IngressClass of networking.k8s.io/v1: which controller serves an Ingress."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.networking import references
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta, names

_CONTROLLER_LIMIT = 250


class IngressClass(Kind):
    group = "networking.k8s.io"
    kind = "IngressClass"
    plural = "ingressclasses"
    revalidates_metadata = 1
    namespaced = False
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Controller", description="Controller that is responsible for handling this class"),
        Column("Parameters", description="A reference to a resource with additional parameters"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        text = cells.NONE
        if (parameters := spec.get("parameters")) is not None:
            text = parameters.get("kind", "")
            if group := parameters.get("apiGroup"):
                text += "." + group
            text += "/" + parameters.get("name", "")
        return [obj["metadata"]["name"], spec.get("controller", ""), text, cells.age(obj, clock)]

    def default(self, obj: Obj, version: str) -> None:
        parameters = (obj.get("spec") or {}).get("parameters")
        if parameters is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        controller, path = spec.get("controller") or "", "spec.controller"
        errors: list[FieldError] = []
        if len(controller.encode()) > _CONTROLLER_LIMIT:
            errors.append(field.too_long(path, _CONTROLLER_LIMIT))
        errors += names.domain_prefixed_path(controller, path)
        if (parameters := spec.get("parameters")) is not None:
            errors += _parameters(parameters, "spec.parameters")
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        new_value, old_value = ((each.get("spec") or {}).get("controller") or "" for each in (obj, old))
        return meta.validate_immutable(new_value, old_value, "spec.controller") + self.validate(ctx, obj)


def _parameters(parameters: Obj, path: str) -> list[FieldError]:
    errors = references.validate_typed_reference(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    at = path + ".namespace"
    if scope is None:
        errors.append(field.required(path + ".scope"))
    elif scope not in ("Cluster", "Namespace"):
        errors.append(field.not_supported(path + ".scope", scope, ["Cluster", "Namespace"]))
    elif scope == "Namespace":
        if namespace is None:
            errors.append(field.required(at, "`parameters.scope` is set to 'Namespace'"))
        else:
            errors += [field.invalid(at, namespace, text) for text in names.dns_label(namespace)]
    elif namespace is not None:
        errors.append(field.forbidden(at, "`parameters.scope` is set to 'Cluster'"))
    return errors
