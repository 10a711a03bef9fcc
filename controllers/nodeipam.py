"""A part of the pod range for every node (spec.podCIDR), so that nodes give pods addresses without asking anyone."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from client.resources import NODES
from controllers.base import EVENTS_RULE, Controller, Result, Rule

Obj = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RangeFull(Exception):
    """No part is left for another node."""


class CidrSet:
    """The parts of one range, each of prefix length `bits`: who has which."""

    def __init__(self, whole: Network, bits: int) -> None:
        if bits < whole.prefixlen:
            raise ValueError(f"node mask /{bits} is larger than the cluster range {whole}")
        self._whole = whole
        self._bits = bits
        self._count = 1 << (bits - whole.prefixlen)
        self._size = 1 << (whole.max_prefixlen - bits)
        self._used: set[int] = set()
        self._next = 0

    def __len__(self) -> int:
        """Parts in use."""
        return len(self._used)

    def _part(self, number: int) -> Network:
        base = self._whole.network_address + number * self._size
        return ipaddress.ip_network(f"{base}/{self._bits}")

    def _numbers(self, network: Network) -> range:
        """The parts that a network overlaps; none if it is outside."""
        if network.version != self._whole.version or not network.overlaps(self._whole):
            return range(0)
        first = max(0, int(network.network_address) - int(self._whole.network_address))
        last = min(self._count * self._size - 1, int(network.broadcast_address) - int(self._whole.network_address))
        return range(first // self._size, last // self._size + 1)

    def occupy(self, network: Network) -> None:
        self._used.update(self._numbers(network))

    def release(self, network: Network) -> None:
        self._used.difference_update(self._numbers(network))

    def allocate(self) -> Network:
        """The next free part, going round so that one just released is not given out at once. RangeFull."""
        if len(self._used) >= self._count:
            raise RangeFull
        for offset in range(self._count):
            number = (self._next + offset) % self._count
            if number not in self._used:
                self._used.add(number)
                self._next = (number + 1) % self._count
                return self._part(number)
        raise RangeFull


def networks_of(node: Obj) -> list[Network]:
    """The parts that a node has, unreadable ones left out."""
    spec = node.get("spec") or {}
    texts: Iterable[str] = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            continue
    return found


class NodeIpamController(Controller):
    name = "node-ipam-controller"
    aliases = ("nodeipam",)
    source = "cidrAllocator"
    account = "node-controller"
    rules: ClassVar[Sequence[Rule]] = (Rule(("",), ("nodes",), ("get", "list", "patch", "watch")), EVENTS_RULE)

    def setup(self) -> None:
        self._sets: list[CidrSet] = []
        if not self.config.allocate_node_cidrs:
            return
        for text in filter(None, self.config.cluster_cidr.split(",")):
            whole = ipaddress.ip_network(text.strip())
            bits = self.config.node_cidr_mask_size if whole.version == 4 else self.config.node_cidr_mask_size_ipv6
            self._sets.append(CidrSet(whole, bits))
        for text in filter(None, self.config.service_cluster_ip_range.split(",")):
            for cidrs in self._sets:
                cidrs.occupy(ipaddress.ip_network(text.strip()))
        self._nodes = self.watch(
            NODES, added=self._seen, updated=lambda old, new: self._seen(new), deleted=self._deleted
        )

    def _seen(self, node: Obj) -> None:
        networks = networks_of(node)
        for network in networks:
            for cidrs in self._sets:
                cidrs.occupy(network)
        if not networks:
            self.enqueue_object(node)

    def _deleted(self, node: Obj) -> None:
        for network in networks_of(node):
            for cidrs in self._sets:
                cidrs.release(network)

    async def reconcile(self, key: str) -> Result | None:
        # All nodes are in the cache before the first allocation (base waits), so nothing in use is given out again.
        node = self._nodes.get(key)
        if node is None or networks_of(node) or not self._sets:
            return None
        taken: list[tuple[CidrSet, Network]] = []
        try:
            for cidrs in self._sets:
                taken.append((cidrs, cidrs.allocate()))
            texts = [str(network) for _, network in taken]
            await self.client.patch(NODES, key, {"spec": {"podCIDR": texts[0], "podCIDRs": texts}})
        except RangeFull:
            self._give_back(taken)
            self.recorder.event(node, "Normal", "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable")
            return Result(after=30)
        except BaseException:
            self._give_back(taken)
            raise
        return None

    @staticmethod
    def _give_back(taken: list[tuple[CidrSet, Network]]) -> None:
        for cidrs, network in taken:
            cidrs.release(network)
