"""ServiceCIDR of networking.k8s.io/v1: a range for the addresses of services."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class ServiceCIDR(Kind):
    group = "networking.k8s.io"
    kind = "ServiceCIDR"
    plural = "servicecidrs"
    namespaced = False
    subresources = (STATUS,)
    columns = (NAME_COLUMN, Column("CIDRs", doc="spec.cidrs"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        cidrs = (obj.get("spec") or {}).get("cidrs") or ()
        return [obj["metadata"]["name"], ",".join(cidrs), cells.age(obj, clock)]
