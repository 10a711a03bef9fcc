"""Which names and addresses a node's serving certificate may carry without anybody having looked at it.

The cluster's CA also vouches for the API server, and nodes write their own status: so a node may be certified as what its status
says, but not as another node, nor as anything that clients look for the API server under. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from apimachinery import meta
from controllers.certificates.requests import Request

Obj = dict[str, Any]

_API_SERVER = {"localhost", "kubernetes", "kubernetes.default"}


def only_its_own(request: Request, nodes: Iterable[Obj], servers: Iterable[str]) -> bool:
    """Whether every name and address in a node's request is in that node's status, and in no other's.

    servers: addresses of the API server, which are nobody's.
    """
    mine: set[str] = set()
    others = {_folded(server) for server in servers}
    for node in nodes:
        told = {address["address"] for address in (node.get("status") or {}).get("addresses") or ()}
        names = {_folded(name) for name in (*told, meta.name(node))}
        if f"system:node:{meta.name(node)}" == request.common_name:
            mine = names
        else:
            others |= names
    asked = {_folded(name) for name in (*request.dns_names, *request.addresses)}
    return bool(asked) and asked <= mine and not asked & others and not any(map(_reserved, asked))


def api_server_addresses(objects: Iterable[Obj]) -> set[str]:
    """Where clients find it, by the Service `kubernetes` and its EndpointSlices."""
    found: set[str] = set()
    for obj in objects:
        spec = obj.get("spec") or {}
        found.update(spec.get("clusterIPs") or ())
        for endpoint in obj.get("endpoints") or ():
            found.update(endpoint.get("addresses") or ())
    return found - {"None"}


def _folded(name: str) -> str:
    """A name or an address as those see it who compare certificates with it."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.rstrip(".").lower()
    return str(getattr(address, "ipv4_mapped", None) or address)


def _reserved(name: str) -> bool:
    """Whether it is a name of the API server or of some Service, or means whatever machine one is on."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in _API_SERVER or "*" in name or name.endswith((".svc", ".localhost")) or ".svc." in name
    return address.is_loopback or address.is_unspecified or address.is_multicast
