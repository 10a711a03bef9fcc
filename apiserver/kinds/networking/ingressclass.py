"""IngressClass of networking.k8s.io/v1: which controller serves an Ingress."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class IngressClass(Kind):
    group = "networking.k8s.io"
    kind = "IngressClass"
    plural = "ingressclasses"
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
