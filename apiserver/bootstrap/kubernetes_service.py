"""The Service `kubernetes` in namespace default, through which pods reach this server, and the endpoints behind it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any, Protocol, cast

from apimachinery import times
from apiserver.bootstrap.ensure import Access, ensure
from apiserver.registry.kind import Obj

_META = {"name": "kubernetes", "namespace": "default"}
_DISCOVERY = "discovery.k8s.io"
_NETWORKING = "networking.k8s.io"
_RANGE_MANAGER = "kubernetes-service-cidr-controller"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is: its address ("" when others cannot reach it) and port, and the range whose first address the
    Service has."""

    address: str
    port: int
    service_ranges: tuple[str, ...]


class _Applier(Protocol):
    """What a writer has that can apply a part of an object."""

    async def apply(self, group: str, plural: str, obj: Obj, *, manager: str, subresource: str = "") -> Obj: ...


async def reconcile(access: Access, place: Place) -> None:
    await _service_range(access, place)
    await _service(access, place)
    if place.address:
        await _endpoints(access, place)
        await _slice(access, place)


def reachable_address(*wanted: str) -> str:
    """The first of these that others can reach; else this host's on the interface with the default route; "" without one."""
    for text in wanted:
        if text and not _is_local(text):
            return text
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a UDP connect sends nothing; it only picks the route
        except OSError:
            return ""
        found = str(probe.getsockname()[0])
    return "" if _is_local(found) else found


def _is_local(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return True  # a host name: Endpoints hold addresses
    return address.is_loopback or address.is_unspecified


async def _service_range(access: Access, place: Place) -> None:
    wanted = {
        "apiVersion": f"{_NETWORKING}/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": list(place.service_ranges)},
    }
    await ensure(access, _NETWORKING, "servicecidrs", wanted)
    existing = await access.reader.get(_NETWORKING, "servicecidrs", None, "kubernetes")
    if existing is None or (existing.get("status") or {}).get("conditions"):
        return
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": times.now(access.clock),
        "message": "Kubernetes default Service CIDR is ready",
    }
    applied = {"metadata": {"name": "kubernetes"}, "status": {"conditions": [ready]}}
    writer = cast("_Applier", access.writer)  # the registry's own
    await writer.apply(_NETWORKING, "servicecidrs", applied, manager=_RANGE_MANAGER, subresource="status")


async def _service(access: Access, place: Place) -> None:
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": place.port}]
    wanted: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_META, "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": str(ipaddress.ip_network(place.service_ranges[0])[1]),
            "ipFamilyPolicy": "SingleStack",
            "ports": ports,
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }

    def change(existing: Obj) -> bool:
        spec: dict[str, Any] = existing["spec"]
        if [(port.get("port"), port.get("targetPort")) for port in spec.get("ports") or ()] == [(443, place.port)]:
            return False
        spec["ports"] = ports
        return True

    await ensure(access, "", "services", wanted, change)


async def _endpoints(access: Access, place: Place) -> None:
    subsets = [
        {"addresses": [{"ip": place.address}], "ports": [{"name": "https", "port": place.port, "protocol": "TCP"}]}
    ]
    wanted: Obj = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {**_META, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": subsets,
    }

    def change(existing: Obj) -> bool:
        if existing.get("subsets") == subsets:
            return False
        existing["subsets"] = subsets
        return True

    await ensure(access, "", "endpoints", wanted, change)


async def _slice(access: Access, place: Place) -> None:
    family = "IPv6" if ":" in place.address else "IPv4"
    endpoints = [{"addresses": [place.address], "conditions": {"ready": True}}]
    ports = [{"name": "https", "port": place.port, "protocol": "TCP"}]
    wanted: Obj = {
        "apiVersion": f"{_DISCOVERY}/v1",
        "kind": "EndpointSlice",
        "metadata": {**_META, "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    }

    def change(existing: Obj) -> bool:
        if existing.get("endpoints") == endpoints and existing.get("ports") == ports:
            return False
        existing["endpoints"], existing["ports"] = endpoints, ports
        return True

    await ensure(access, _DISCOVERY, "endpointslices", wanted, change)
