"""What a Service needs of the allocators: families, cluster addresses, node ports; on updates also what it gives back.

The store's hooks come here before validation, as in the original, so that values handed out are validated like given
ones. What was taken returns when the write fails; what is no longer needed returns when it succeeds (Ctx.endings).
"""

from __future__ import annotations

from typing import Any

from apimachinery import errors, field
from apimachinery.errors import ApiError
from apimachinery.field import FieldError
from apiserver.kinds.core import service_families
from apiserver.registry import metadata
from apiserver.registry.kind import Ctx, Obj
from apiserver.registry.service_ips import (
    SERVICE,
    AllocationError,
    NodePorts,
    RehearsedPorts,
    ServiceAllocators,
    addresses_of,
    ports_of,
)
from apiserver.validation.services import EXTERNAL_NAME, LOAD_BALANCER, NODE_PORT, needs_health_check

_SOME_PORT = 30000
_PORT_TYPES = (NODE_PORT, LOAD_BALANCER)


async def begin_create(ctx: Ctx, service: Obj) -> None:
    """Fill in families, addresses and ports of a new service. ApiError when that cannot be."""
    allocators: ServiceAllocators | None = ctx.services.get(SERVICE)
    service_families.normalize(service["spec"], None)
    if allocators is None:
        return
    _refuse(service, service_families.fill(service["spec"], None, allocators.families))
    if not service["metadata"].get("name"):
        if needs_health_check(service["spec"]) and not service["spec"].get("healthCheckNodePort"):
            service["spec"]["healthCheckNodePort"] = _SOME_PORT
        return  # nothing can be taken in its name; validation refuses that alone
    taking = _Taking(ctx, allocators, await allocators.ports(), service)
    await taking.addresses()
    if service["spec"].get("type") in _PORT_TYPES:
        taking.new_ports()
    if needs_health_check(service["spec"]):
        taking.health_check_port()


async def begin_update(ctx: Ctx, service: Obj, old: Obj) -> None:
    """As begin_create, for a service that has something already."""
    allocators: ServiceAllocators | None = ctx.services.get(SERVICE)
    spec, before = service["spec"], old["spec"]
    service_families.patch_allocated(spec, before)
    service_families.normalize(spec, before)
    if allocators is None:
        return
    _refuse(service, service_families.fill(spec, before, allocators.families))
    taking = _Taking(ctx, allocators, await allocators.ports(), service)
    if not service_families.keeps_preference(spec, before):
        await taking.changed_addresses(before)
    if before.get("type") in _PORT_TYPES and spec.get("type") not in _PORT_TYPES:
        taking.give_back(port["nodePort"] for port in before.get("ports") or () if port.get("nodePort"))
    if spec.get("type") in _PORT_TYPES:
        taking.changed_ports(before)
    if needs_health_check(spec) and not needs_health_check(before):
        taking.health_check_port()
    elif needs_health_check(before) and not needs_health_check(spec) and before.get("healthCheckNodePort"):
        taking.give_back([before["healthCheckNodePort"]])


async def after_delete(ctx: Ctx, service: Obj) -> None:
    """Everything goes back."""
    allocators: ServiceAllocators | None = ctx.services.get(SERVICE)
    if allocators is None:
        return
    ports = await allocators.ports()
    for port in ports_of(service):
        ports.release(port)
    await allocators.release(addresses_of(service))


def _refuse(service: Obj, found: list[FieldError]) -> None:
    if found:
        raise errors.invalid("", "Service", service["metadata"].get("name") or "", found)


class _Taking:
    """What one write takes and gives back; settled when the write is over."""

    def __init__(self, ctx: Ctx, allocators: ServiceAllocators, ports: NodePorts, service: Obj) -> None:
        self._allocators, self._ports = allocators, RehearsedPorts(ports) if ctx.dry_run else ports
        self._service, self._spec = service, service["spec"]
        self._dry_run = ctx.dry_run
        self._taken: list[str] = []
        self._taken_ports: list[int] = []
        self._returned: list[str] = []
        self._returned_ports: list[int] = []
        ctx.endings.append(self._settle)

    async def _settle(self, stored: bool) -> None:
        for port in self._returned_ports if stored else self._taken_ports:
            self._ports.release(port)
        if not self._dry_run:
            await self._allocators.release(self._returned if stored else self._taken)

    def give_back(self, ports: Any) -> None:
        self._returned_ports += ports

    # -- addresses

    async def addresses(self) -> None:
        spec = self._spec
        given = spec.get("clusterIPs") or []
        if spec.get("type") == EXTERNAL_NAME or given[:1] == ["None"]:
            return
        families = spec.get("ipFamilies") or []
        wanted = [*given, *[""] * (len(families) - len(given))]
        for position, family in enumerate(families):
            wanted[position] = await self._address(family, wanted[position], wanted)
        spec["clusterIPs"] = wanted
        if wanted:
            spec["clusterIP"] = wanted[0]

    async def _address(self, family: str, address: str, shown: list[str]) -> str:
        allocators, service, name = self._allocators, self._service, self._service["metadata"]["name"]
        if not address:
            try:
                address = await allocators.allocate_next(family, service, dry_run=self._dry_run)
            except AllocationError as error:
                raise errors.internal_error(
                    f"failed to allocate a serviceIP for Service {field.go_quote(name)}: {error}"
                ) from None
        else:
            try:
                await allocators.allocate(address, service, dry_run=self._dry_run)
            except AllocationError as error:
                text = f"failed to allocate IP {address}: {error}"
                raise self._invalid("spec.clusterIPs", shown, text) from None
        self._taken.append(address)
        return address

    async def changed_addresses(self, before: Obj) -> None:
        """From and to ExternalName; a second family more or less."""
        spec = self._spec
        if before.get("type") == EXTERNAL_NAME:
            await self.addresses()
            return
        had = before.get("clusterIPs") or []
        if had[:1] == ["None"]:
            return
        if spec.get("type") == EXTERNAL_NAME:
            self._returned += had
            return
        families, then = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
        if len(then) == 1 and len(families) == 2:
            wanted = [*(spec.get("clusterIPs") or []), ""][:2]
            wanted[1] = await self._address(families[1], wanted[1], wanted)
            spec["clusterIPs"] = wanted
        elif len(then) == 2 and len(families) == 1:
            self._returned += had[1:2]

    # -- ports

    def _take_port(self, port: int, path: str) -> None:
        try:
            self._ports.allocate(port)
        except AllocationError as error:
            raise self._invalid(path, port, str(error)) from None
        self._taken_ports.append(port)

    def _next_port(self) -> int:
        try:
            port = self._ports.allocate_next()
        except AllocationError as error:
            raise errors.internal_error(f"failed to allocate a nodePort: {error}") from None
        self._taken_ports.append(port)
        return port

    def _allocates(self) -> bool:
        kind = self._spec.get("type")
        return kind == NODE_PORT or (kind == LOAD_BALANCER and bool(self._spec.get("allocateLoadBalancerNodePorts")))

    def new_ports(self) -> None:
        """Ports with the same number (of several protocols) share one node port, unless they say otherwise."""
        ports = self._spec.get("ports") or []
        shared: dict[int, int] = {}
        for position, port in enumerate(ports):
            wanted, number, path = port.get("nodePort") or 0, port.get("port") or 0, f"spec.ports[{position}].nodePort"
            if not wanted and not self._allocates():
                continue
            if number not in shared:
                asked = next((p["nodePort"] for p in ports if p.get("port") == number and p.get("nodePort")), 0)
                if asked:
                    self._take_port(asked, path)
                port["nodePort"] = shared[number] = asked or self._next_port()
            elif not wanted:
                port["nodePort"] = shared[number]
            elif wanted != shared[number]:
                self._take_port(wanted, path)

    def changed_ports(self, before: Obj) -> None:
        had = [port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")]
        seen: set[tuple[str, int]] = set()
        for position, port in enumerate(self._spec.get("ports") or ()):
            wanted = port.get("nodePort") or 0
            if not wanted:
                if not self._allocates():
                    continue
                wanted = port["nodePort"] = self._next_port()
            elif wanted not in had and wanted not in self._taken_ports:
                self._take_port(wanted, f"spec.ports[{position}].nodePort")
            key = (port.get("protocol") or "", wanted)
            if key in seen:
                raise metadata.plain_failure(f"duplicate nodePort: {{{key[0]} {key[1]}}}")
            seen.add(key)
        kept = {number for _, number in seen}
        self._returned_ports += [number for number in had if number not in kept]

    def health_check_port(self) -> None:
        wanted = self._spec.get("healthCheckNodePort") or 0
        try:
            if wanted:
                self._ports.allocate(wanted)
            else:
                wanted = self._ports.allocate_next()
        except AllocationError as error:
            what = f"requested HealthCheck NodePort {wanted}" if wanted else "a HealthCheck NodePort 0"
            raise errors.internal_error(f"failed to allocate {what}: {error}") from None
        self._taken_ports.append(wanted)
        self._spec["healthCheckNodePort"] = wanted

    def _invalid(self, path: str, value: Any, text: str) -> ApiError:
        found = [field.invalid(path, value, text)]
        return errors.invalid("", "Service", self._service["metadata"].get("name") or "", found)
