"""Addresses and node ports of services, handed out so that no two services share one.

An address in use is an IPAddress object of networking.k8s.io named by it: creating that object is the allocation, so it
is atomic whoever else does it. Addresses come from the configured ranges and from ServiceCIDR objects that are ready.
Node ports are kept in memory, rebuilt from the stored services when first asked for. The server registers one
ServiceAllocators under SERVICE; kinds/core/service_allocation.py decides what a service needs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import random
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from apimachinery.errors import ApiError, is_reason
from apiserver.registry.kind import Obj, Reader, Writer
from apiserver.validation import ips

SERVICE = "service-ips"
MANAGER = "ipallocator.k8s.io"
_RANDOM_TRIES = 16
_GROUP, _ADDRESSES, _RANGES = "networking.k8s.io", "ipaddresses", "servicecidrs"
_FAMILY_LABEL, _MANAGER_LABEL = "ipaddress.kubernetes.io/ip-family", "ipaddress.kubernetes.io/managed-by"

Network = IPv4Network | IPv6Network


class AllocationError(Exception):
    """Why an address or port cannot be had, as the original words it."""


_TAKEN_IP = "provided IP is already allocated"
_WRONG_NETWORK = "the provided network does not match the current range"
_FULL = "range is full"
_TAKEN_PORT = "provided port is already allocated"


def cidrs(text: str) -> tuple[str, ...]:
    """The ranges in the text of a configuration: one, or two with a comma between."""
    return tuple(part.strip() for part in text.split(","))


def family_of(network: Network) -> str:
    return f"IPv{network.version}"


class NodePorts:
    """The node ports in use. New ones come at random from the upper part of the range while it lasts, which leaves the
    lower part to those who ask for a certain one. No waiting happens between looking and taking."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._used: set[int] = set()

    def __contains__(self, port: int) -> bool:
        return port in self._used

    def allocate(self, port: int) -> None:
        if not self._first <= port <= self._last:
            text = f"The range of valid ports is {self._first}-{self._last}"
            raise AllocationError("provided port is not in the valid range. " + text)
        if port in self._used:
            raise AllocationError(_TAKEN_PORT)
        self._used.add(port)

    def allocate_next(self) -> int:
        size = self._last - self._first + 1
        start = self._first + min(max(16, size // 32), 128) * (size > 16)
        for low, high in ((start, self._last), (self._first, start - 1)):
            free = high - low + 1 - sum(1 for port in self._used if low <= port <= high)
            if free > 0:
                return self._pick(low, high)
        raise AllocationError(_FULL)

    def _pick(self, low: int, high: int) -> int:
        while True:
            port = random.randint(low, high)
            if port not in self._used:
                self._used.add(port)
                return port

    def release(self, port: int) -> None:
        self._used.discard(port)

    def restore(self, service: Obj) -> None:
        self._used.update(ports_of(service))


class RehearsedPorts(NodePorts):
    """What a dry run sees: ports in use are refused, no range is kept to, and new ports are numbers that only look like
    some, as the original's."""

    _FIRST = 32769

    def __init__(self, real: NodePorts) -> None:
        super().__init__(0, 0)
        self._real = real

    def allocate(self, port: int) -> None:
        if port in self._real or port in self._used:
            raise AllocationError(_TAKEN_PORT)
        self._used.add(port)

    def allocate_next(self) -> int:
        port = max(self._used) + 1 if self._used else self._FIRST
        self._used.add(port)
        return port


def ports_of(service: Obj) -> list[int]:
    """The node ports of a service, that for health checks included."""
    spec = service.get("spec") or {}
    ports = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    return [*ports, spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else ports


class ServiceAllocators:
    """Addresses by family and node ports. cidrs: the configured ranges, one for each family, the default one first."""

    def __init__(self, reader: Reader, writer: Writer, cidrs: Sequence[str], ports: tuple[int, int]) -> None:
        self._reader, self._writer = reader, writer
        self._configured = [ipaddress.ip_network(cidr) for cidr in cidrs]
        self._ports = NodePorts(*ports)
        self._ports_known = False
        self._rebuilding = asyncio.Lock()

    @property
    def families(self) -> list[str]:
        """The configured families, the default one first."""
        return [family_of(network) for network in self._configured]

    async def ports(self) -> NodePorts:
        if not self._ports_known:
            async with self._rebuilding:
                if not self._ports_known:
                    for service in await self._reader.list("", "services"):
                        self._ports.restore(service)
                    self._ports_known = True
        return self._ports

    # -- addresses

    async def allocate(self, address: str, service: Obj, *, dry_run: bool) -> None:
        """Take that address. AllocationError when it is taken or outside of all ranges."""
        parsed = ips.parse(address)
        if parsed is None:
            raise AllocationError(_WRONG_NETWORK)
        if dry_run:
            return await self._rehearse(parsed)
        for network in await self._networks(f"IPv{parsed.version}"):
            first, last = _bounds(network)
            if first <= int(parsed) - int(network.network_address) <= last:
                if not await self._take(str(parsed), service):
                    raise AllocationError(_TAKEN_IP)
                return
        raise AllocationError(_WRONG_NETWORK)

    async def _rehearse(self, address: IPv4Address | IPv6Address) -> None:
        """A dry run looks at one range only, and not at what is taken."""
        network = (await self._networks(f"IPv{address.version}"))[0]
        first, last = _bounds(network)
        if not first <= int(address) - int(network.network_address) <= last:
            text = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {network}"
            raise AllocationError(text)

    async def allocate_next(self, family: str, service: Obj, *, dry_run: bool) -> str:
        """Take any free address of the family. AllocationError when there is none. A dry run gets the network's own."""
        for network in await self._networks(family):
            if dry_run:
                return str(network.network_address)
            for low, high in _bands(network):
                address = await self._any_between(network, low, high, service)
                if address:
                    return address
        raise AllocationError(_FULL)

    async def _any_between(self, network: Network, low: int, high: int, service: Obj) -> str:
        """low, high: offsets in the network. Random tries, then whatever is free; "" when nothing is."""
        if high < low:
            return ""
        for _ in range(_RANDOM_TRIES):
            address = str(network[random.randint(low, high)])
            if await self._take(address, service):
                return address
        used = {obj["metadata"]["name"] for obj in await self._reader.list(_GROUP, _ADDRESSES)}
        start = random.randint(low, high)
        for offset in itertools.chain(range(start, high + 1), range(low, start)):
            address = str(network[offset])
            if address not in used and await self._take(address, service):
                return address
        return ""

    async def _take(self, address: str, service: Obj) -> bool:
        try:
            await self._writer.create(_GROUP, _ADDRESSES, _address_object(address, service))
        except ApiError as error:
            if is_reason(error, "AlreadyExists"):
                return False
            raise
        return True

    async def release(self, addresses: Sequence[str]) -> None:
        """Give addresses back; those that are gone already are no matter."""
        for address in addresses:
            try:
                await self._writer.delete(_GROUP, _ADDRESSES, None, str(ips.parse(address)))
            except ApiError as error:
                if not is_reason(error, "NotFound"):
                    raise

    async def _networks(self, family: str) -> list[Network]:
        """The configured range, then those of ready ServiceCIDR objects."""
        found = [network for network in self._configured if family_of(network) == family]
        for obj in await self._reader.list(_GROUP, _RANGES):
            if not _ready(obj):
                continue
            for cidr in (obj.get("spec") or {}).get("cidrs") or ():
                network = ipaddress.ip_network(cidr)
                if family_of(network) == family and network not in found:
                    found.append(network)
        return found

    # -- start-up

    async def repair(self) -> None:
        """Make addresses and services agree after a crash between two writes: every service's address has its object, and
        objects of services that are gone or have another address go."""
        wanted: dict[str, Obj] = {}
        for service in await self._reader.list("", "services"):
            wanted.update((str(ips.parse(address)), service) for address in addresses_of(service))
        for obj in await self._reader.list(_GROUP, _ADDRESSES):
            name, labels = obj["metadata"]["name"], obj["metadata"].get("labels") or {}
            parent = wanted.get(name)
            if parent is not None and (obj.get("spec") or {}).get("parentRef") == _parent(parent):
                del wanted[name]
            elif labels.get(_MANAGER_LABEL) == MANAGER:
                await self.release([name])
            else:
                wanted.pop(name, None)
        for address, service in wanted.items():
            await self._take(address, service)


def addresses_of(service: Obj) -> list[str]:
    """The cluster addresses of a service."""
    return [address for address in (service.get("spec") or {}).get("clusterIPs") or () if address not in ("", "None")]


def _ready(obj: Obj) -> bool:
    if obj["metadata"].get("deletionTimestamp"):
        return False
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            return bool(condition.get("status") == "True")
    return True  # nobody has looked at it yet


def _bounds(network: Network) -> tuple[int, int]:
    """Offsets of the first and last address that may be used: not the network's own, for IPv4 not the broadcast one."""
    return 1, network.num_addresses - (2 if network.version == 4 else 1)


def _bands(network: Network) -> list[tuple[int, int]]:
    """The part that addresses come from by themselves, then the lower one, kept for those who ask for a certain one."""
    first, last = _bounds(network)
    start = first + (min(max(16, last // 16), 256) if last > 16 else 0)
    return [(start, last), (first, start - 1)]


def _parent(service: Obj) -> Obj:
    meta = service["metadata"]
    return {"resource": "services", "namespace": meta.get("namespace") or "", "name": meta["name"]}


def _address_object(address: str, service: Obj) -> Obj:
    labels = {_FAMILY_LABEL: f"IPv{ipaddress.ip_address(address).version}", _MANAGER_LABEL: MANAGER}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": _parent(service)}}
