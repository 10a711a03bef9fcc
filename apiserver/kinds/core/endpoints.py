"""Endpoints: the addresses behind a service, as one object; EndpointSlice's predecessor."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj

_SHOWN = 3


class EndpointsKind(Kind):
    kind = "Endpoints"
    plural = "endpoints"
    short_names = ("ep",)
    create_on_update = True
    columns = (NAME_COLUMN, Column("Endpoints", doc="subsets"), AGE_COLUMN)

    def deprecation(self, version: str) -> str:
        return "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"].get("name", ""), format_endpoints(obj), cells.age(obj, clock)]


def format_endpoints(endpoints: Obj) -> str:
    """The first three addresses, each with each port, and how many more there are."""
    found: list[str] = []
    for subset in endpoints.get("subsets") or ():
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports")
        if not ports:
            found += addresses
        for port in ports or ():
            found += [f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}" for ip in addresses]
    if not endpoints.get("subsets"):
        return cells.NONE
    shown = ",".join(found[:_SHOWN])
    return f"{shown} + {len(found) - _SHOWN} more..." if len(found) > _SHOWN else shown


ENDPOINTS = EndpointsKind()
