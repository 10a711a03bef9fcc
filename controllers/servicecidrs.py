"""ServiceCIDRs: ready once they are there, and not gone before no Service has an address that only they cover."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from apimachinery import meta, times
from client.resources import IP_ADDRESSES, SERVICE_CIDRS
from controllers.base import EVENTS_RULE, Controller, Result, Rule, copy, ignoring_absence

Obj = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
GRACE = 10.0  # seconds in which API servers notice that a range is going and allocate from it no more
_MANAGED = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io")
_HELD = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


def networks(service_cidr: Obj) -> list[Network]:
    return [ipaddress.ip_network(text) for text in service_cidr["spec"].get("cidrs") or ()]


def may_go(service_cidr: Obj, everyone: Iterable[Obj], addresses: Iterable[Obj]) -> bool:
    """Whether every allocated address within it is covered by another range that stays."""
    mine = networks(service_cidr)
    others = [
        network
        for other in everyone
        if meta.uid(other) != meta.uid(service_cidr) and not meta.deleting(other)
        for network in networks(other)
    ]
    for entry in addresses:
        if meta.labels(entry).get(_MANAGED[0]) != _MANAGED[1]:
            continue
        address = ipaddress.ip_address(meta.name(entry))
        if any(address in network for network in mine) and not any(address in network for network in others):
            return False
    return True


class ServiceCidrsController(Controller):
    name = "service-cidr-controller"
    source = "service-cidrs-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("networking.k8s.io",), ("servicecidrs",), ("get", "list", "patch", "update", "watch")),
        Rule(("networking.k8s.io",), ("servicecidrs/finalizers", "servicecidrs/status"), ("patch", "update")),
        Rule(("networking.k8s.io",), ("ipaddresses",), ("get", "list", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._cidrs = self.watch(SERVICE_CIDRS)
        self._cidrs.add_handler(
            added=self._changed,
            updated=lambda old, new: self._changed(new),
            deleted=lambda obj: self._look_at_leaving(),
        )
        self._addresses = self.watch(IP_ADDRESSES, deleted=lambda obj: self._look_at_leaving())

    def _changed(self, service_cidr: Obj) -> None:
        self.enqueue_object(service_cidr)
        self._look_at_leaving()

    def _look_at_leaving(self) -> None:
        """A range that was waited for may have come, or the last address have gone."""
        for service_cidr in self._cidrs.list():
            if meta.deleting(service_cidr):
                self.enqueue_object(service_cidr)

    async def reconcile(self, key: str) -> Result | None:
        service_cidr = self._cidrs.get(key)
        if service_cidr is None:
            return None
        if not meta.deleting(service_cidr):
            if not meta.has_finalizer(service_cidr, FINALIZER):
                await self._write_finalizers(service_cidr, [*meta.finalizers(service_cidr), FINALIZER])
            if not meta.is_condition_true(service_cidr, "Ready"):
                await self._tell(key, "True", "", "Kubernetes Service CIDR is ready")
            return None
        if not meta.has_finalizer(service_cidr, FINALIZER):
            return None
        if not may_go(service_cidr, self._cidrs.list(), self._addresses.list()):
            if (meta.condition(service_cidr, "Ready") or {}).get("reason") != "Terminating":
                await self._tell(key, "False", "Terminating", _HELD)
            return None
        left = times.parse_time(service_cidr["metadata"]["deletionTimestamp"]) + GRACE - self.clock.time()
        if left > 0:
            return Result(after=left)
        await self._write_finalizers(service_cidr, meta.without_finalizer(service_cidr, FINALIZER))
        return None

    async def _write_finalizers(self, service_cidr: Obj, finalizers: list[str]) -> None:
        changed = copy(service_cidr)
        changed["metadata"]["finalizers"] = finalizers
        await ignoring_absence(self.client.update(SERVICE_CIDRS, changed))

    async def _tell(self, name: str, status: str, reason: str, message: str) -> None:
        now = times.now(self.clock)
        ready = {"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": now}
        applied = {
            "apiVersion": SERVICE_CIDRS.api_version,
            "kind": SERVICE_CIDRS.kind,
            "metadata": {"name": name},
            "status": {"conditions": [ready]},
        }
        await ignoring_absence(
            self.client.patch(
                SERVICE_CIDRS,
                name,
                applied,
                content_type="apply",
                subresource="status",
                field_manager=self.source,
                force=True,
            )
        )
