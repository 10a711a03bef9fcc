"""EndpointSlices for Endpoints that people write themselves, for Services without a selector."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from apimachinery import meta
from client.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from controllers import endpointplan
from controllers.base import EVENTS_RULE, Controller, Result, Rule, ignoring_absence
from controllers.endpointslice import BATCH, MANAGED_BY, SERVICE_NAME, Written, service_of_slice

Obj = dict[str, Any]

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MOST = 1000  # addresses mirrored per subset


# -- deciding


def is_mirrored(endpoints: Obj) -> bool:
    """Whether its writer wants slices of it."""
    return meta.labels(endpoints).get(SKIP) != "true" and _LEADER not in meta.annotations(endpoints)


def mirror(endpoints: Obj, kind: str) -> tuple[list[tuple[list[Obj], Obj]], int, int]:
    """(ports and endpoint of each address of that family, invalid addresses, addresses beyond the limit)."""
    wanted: list[tuple[list[Obj], Obj]] = []
    invalid = skipped = 0
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()]
        taken = 0
        for ready, name in ((True, "addresses"), (False, "notReadyAddresses")):
            for address in subset.get(name) or ():
                if taken >= MOST:
                    skipped += 1
                    continue
                try:
                    family = f"IPv{ipaddress.ip_address(address['ip']).version}"
                except ValueError:
                    invalid += 1
                    continue
                taken += 1
                if family == kind:
                    wanted.append((ports, _endpoint(address, ready)))
    return wanted, invalid, skipped


def _endpoint(address: Obj, ready: bool) -> Obj:
    result: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if address.get(name):
            result[name] = address[name]
    return result


def template_of(endpoints: Obj, kind: str) -> Obj:
    """A slice of these Endpoints, without endpoints and ports."""
    labels = {name: value for name, value in meta.labels(endpoints).items() if name not in (SERVICE_NAME, MANAGED_BY)}
    skipped = (_APPLIED, endpointplan.TRIGGER_TIME)
    annotations = {name: text for name, text in meta.annotations(endpoints).items() if name not in skipped}
    metadata: Obj = {
        "generateName": f"{meta.name(endpoints)}-",
        "namespace": meta.namespace(endpoints),
        "labels": {**labels, SERVICE_NAME: meta.name(endpoints), MANAGED_BY: MANAGER},
        "ownerReferences": [meta.controller_ref(endpoints, ENDPOINTS)],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "addressType": kind}


# -- doing


class EndpointSliceMirroringController(Controller):
    name = "endpointslice-mirroring-controller"
    aliases = ("endpointslicemirroring",)
    source = "endpoint-slice-mirroring-controller"
    account = "endpointslicemirroring-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("endpoints", "services"), ("get", "list", "watch")),
        Rule(("",), ("services/finalizers",), ("update",)),
        Rule(("",), ("endpoints/finalizers",), ("update",)),
        Rule(("discovery.k8s.io",), ("endpointslices",), ("create", "delete", "get", "list", "update")),
        EVENTS_RULE,
    )
    workers = 5

    def setup(self) -> None:
        self._written = Written()
        self._services = self.watch_own(SERVICES)
        self._endpoints = self.watch_own(ENDPOINTS)
        self._slices = self.watch(
            ENDPOINT_SLICES,
            updated=lambda old, new: self._slice_changed(new),
            deleted=self._slice_changed,
            indexers={"service": service_of_slice},
        )

    def _slice_changed(self, slice_: Obj) -> None:
        if meta.labels(slice_).get(MANAGED_BY) == MANAGER:
            for key in service_of_slice(slice_):
                self.enqueue_after(key, BATCH)

    async def reconcile(self, key: str) -> Result | None:
        own = [
            slice_
            for slice_ in self._slices.by_index("service", key)
            if meta.labels(slice_).get(MANAGED_BY) == MANAGER and not meta.deleting(slice_)
        ]
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        wanted = endpoints is not None and is_mirrored(endpoints)
        if endpoints is None or not wanted or service is None or service["spec"].get("selector"):
            self._written.forget(key)
            await self._delete(own)
            return None
        self._written.check(key, own)
        invalid = skipped = 0
        for kind in ("IPv4", "IPv6"):
            entries, invalid, skipped = mirror(endpoints, kind)
            mine = [slice_ for slice_ in own if slice_.get("addressType") == kind]
            template = template_of(endpoints, kind)
            await self._written.apply(
                self.client, key, endpointplan.plan_slices(entries, mine, template, MOST, keep_one=False)
            )
        if invalid:
            text = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
            self.recorder.event(endpoints, "Warning", "InvalidIPAddress", text)
        if skipped:
            text = (
                f"A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{skipped} addresses were skipped"
            )
            self.recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
        return None

    async def _delete(self, slices: Iterable[Obj]) -> None:
        for slice_ in slices:
            await ignoring_absence(self.client.delete(ENDPOINT_SLICES, meta.name(slice_), meta.namespace(slice_)))
