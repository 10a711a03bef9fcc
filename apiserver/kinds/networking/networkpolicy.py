"""NetworkPolicy of networking.k8s.io/v1: which traffic pods accept and send."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class NetworkPolicy(Kind):
    group = "networking.k8s.io"
    kind = "NetworkPolicy"
    plural = "networkpolicies"
    short_names = ("netpol",)
    has_generation = True
    columns = (NAME_COLUMN, Column("Pod-Selector", doc="spec.podSelector"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        selector = (obj.get("spec") or {}).get("podSelector")
        return [obj["metadata"]["name"], cells.label_selector(selector), cells.age(obj, clock)]
