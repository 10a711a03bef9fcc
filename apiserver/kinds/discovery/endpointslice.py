"""EndpointSlice of discovery.k8s.io/v1: some of the endpoints behind a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class EndpointSlice(Kind):
    group = "discovery.k8s.io"
    kind = "EndpointSlice"
    plural = "endpointslices"
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("AddressType", doc="addressType"),
        Column("Ports", doc="ports"),
        Column("Endpoints", doc="endpoints"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        ports = [str(p["port"] if "port" in p else p.get("name", "*")) for p in obj.get("ports") or ()]
        addresses = [a for endpoint in obj.get("endpoints") or () for a in endpoint.get("addresses") or ()]
        return [
            obj["metadata"]["name"],
            obj.get("addressType", ""),
            _first_three(ports),
            _first_three(addresses),
            cells.age(obj, clock),
        ]


def _first_three(items: Sequence[str]) -> str:
    text = ",".join(items[:3])
    return f"{text} + {len(items) - 3} more..." if len(items) > 3 else text or "<unset>"
