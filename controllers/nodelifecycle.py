"""Nodes that stop reporting: their conditions become Unknown, they are tainted, and their pods are marked not ready.

Taints that evict (NoExecute) are put on slowly, per zone, and not at all when everything seems down at once: then the
fault is more likely ours. tainteviction.py does the evicting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from apimachinery import meta, times
from apimachinery.clock import wait_for
from apimachinery.errors import ApiError
from apimachinery.tokenbucket import TokenBucket
from client.api import Unreachable
from client.resources import LEASES, NODES, PODS
from controllers.base import EVENTS_RULE, Controller, Rule, copy, gather_all, ignoring_absence

log = logging.getLogger(__name__)

Obj = dict[str, Any]

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
LEASE_NAMESPACE = "kube-node-lease"
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
# (condition, status) -> key of the NoSchedule taint it calls for.
_TAINTS = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS = {*_TAINTS.values(), UNSCHEDULABLE}
NORMAL, PARTIAL, FULL = "Normal", "PartialDisruption", "FullDisruption"


# -- deciding


@dataclass(slots=True)
class Health:
    """What was last seen of a node, and when by our own clock. Clocks of nodes need not agree with ours."""

    heartbeat: tuple[Any, ...]
    seen: float
    ready: str = "Unknown"


def unknown_conditions(node: Obj, now: str) -> list[Obj]:
    """The conditions of a node that has not reported in time."""
    result = []
    present = {entry["type"]: entry for entry in meta.conditions(node)}
    for type_ in _WATCHED:
        old = present.get(type_)
        if old is None:
            result.append(
                {
                    "type": type_,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
                    "lastTransitionTime": now,
                }
            )
        elif old.get("status") != "Unknown":
            result.append(
                {
                    **old,
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting node status.",
                    "lastTransitionTime": now,
                }
            )
        else:
            result.append(old)
    return [*(entry for entry in meta.conditions(node) if entry["type"] not in _WATCHED), *result]


def schedule_taints(node: Obj) -> set[str]:
    """Keys of the NoSchedule taints that the node's conditions call for."""
    found = {
        key
        for entry in meta.conditions(node)
        if (key := _TAINTS.get((entry["type"], entry.get("status", "")))) is not None
    }
    if (node.get("spec") or {}).get("unschedulable"):
        found.add(UNSCHEDULABLE)
    return found


def with_schedule_taints(taints: Sequence[Obj], wanted: set[str], now: str) -> list[Obj]:
    """The taints with NoSchedule ones of ours exactly as wanted; others untouched."""
    kept = [
        taint
        for taint in taints
        if not (taint["effect"] == "NoSchedule" and taint["key"] in _OURS and taint["key"] not in wanted)
    ]
    present = {taint["key"] for taint in kept if taint["effect"] == "NoSchedule"}
    added = [{"key": key, "effect": "NoSchedule", "timeAdded": now} for key in sorted(wanted - present)]
    return [*kept, *added]


def with_execute_taint(taints: Sequence[Obj], key: str | None, now: str) -> list[Obj]:
    """The taints with that NoExecute taint of the two of ours, or with none of them."""
    ours = (NOT_READY, UNREACHABLE)
    kept = [
        taint
        for taint in taints
        if not (taint["effect"] == "NoExecute" and taint["key"] in ours and taint["key"] != key)
    ]
    if key is not None and not any(taint["effect"] == "NoExecute" and taint["key"] == key for taint in kept):
        kept.append({"key": key, "effect": "NoExecute", "timeAdded": now})
    return kept


def zone_state(statuses: Iterable[str], threshold: float) -> str:
    """How a zone does, by its nodes' Ready statuses."""
    listed = list(statuses)
    ready = sum(status == "True" for status in listed)
    unready = len(listed) - ready
    if unready and not ready:
        return FULL
    if unready > 2 and unready / len(listed) >= threshold:
        return PARTIAL
    return NORMAL


def zone_of(node: Obj) -> str:
    labels = meta.labels(node)
    return f"{labels.get('topology.kubernetes.io/region', '')}:{labels.get('topology.kubernetes.io/zone', '')}"


# -- doing


class NodeLifecycleController(Controller):
    name = "node-lifecycle-controller"
    aliases = ("nodelifecycle",)
    source = "node-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("nodes",), ("delete", "get", "list", "patch", "update")),
        Rule(("",), ("nodes/status",), ("patch", "update")),
        Rule(("",), ("pods",), ("delete", "get", "list")),
        Rule(("",), ("pods/status",), ("patch", "update")),
        EVENTS_RULE,
    )
    workers = 0

    def setup(self) -> None:
        self._nodes = self.watch(NODES)
        self._leases = self.watch(LEASES, namespace=LEASE_NAMESPACE)
        self._pods = self.watch(PODS, indexers={"node": pod_node})
        self._health: dict[str, Health] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._states: dict[str, str] = {}
        self._mistainted = asyncio.Event()
        self._nodes.add_handler(added=self._node_changed, updated=lambda _, node: self._node_changed(node))

    def _node_changed(self, node: Obj) -> None:
        """A node that became ready gets rid of its taints at once, as the original does, not at the next period."""
        present = list((node.get("spec") or {}).get("taints") or ())
        if with_schedule_taints(present, schedule_taints(node), "") != present:
            self._mistainted.set()

    async def background(self) -> None:
        while True:
            self._mistainted.clear()
            try:
                await self.look()
            except (ApiError, Unreachable, TimeoutError) as error:
                log.warning("node lifecycle: %s", error)
            try:
                await wait_for(self.clock, self._mistainted.wait(), self.config.node_monitor_period)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """One look at all nodes."""
        nodes = self._nodes.list()
        self._greet(nodes)
        await gather_all(self._check(node) for node in nodes)
        await self._taint_all([node for node in self._nodes.list() if meta.name(node) in self._health])

    def _greet(self, nodes: list[Obj]) -> None:
        names = {meta.name(node) for node in nodes}
        for node in nodes:
            name = meta.name(node)
            if name not in self._health:
                text = f"Node {name} event: Registered Node {name} in Controller"
                self.recorder.event(node, "Normal", "RegisteredNode", text)
        for name in [name for name in self._health if name not in names]:
            del self._health[name]
            reference = {"kind": "Node", "apiVersion": "v1", "name": name, "uid": name}
            text = f"Node {name} event: Removing Node {name} from Controller"
            self.recorder.event(reference, "Normal", "RemovingNode", text)

    async def _check(self, node: Obj) -> None:
        """Note signs of life; mark the node if there are none."""
        name = meta.name(node)
        ready = meta.condition(node, "Ready")
        lease = self._leases.find(LEASE_NAMESPACE, name)
        beat = ((ready or {}).get("lastHeartbeatTime"), ((lease or {}).get("spec") or {}).get("renewTime"))
        now = self.clock.monotonic()
        health = self._health.get(name)
        if health is None:
            # A node never seen before counts from its creation, so that one that never reports is found out in time.
            age = max(0.0, self.clock.time() - meta.created(node)) if ready is None else 0.0
            health = self._health[name] = Health(beat, now - age, (ready or {}).get("status", "Unknown"))
        elif beat != health.heartbeat:
            health.heartbeat, health.seen = beat, now
        before = health.ready
        grace = self.config.node_startup_grace_period if ready is None else self.config.node_monitor_grace_period
        status = (ready or {}).get("status", "Unknown")
        if now - health.seen > grace:
            status = "Unknown"
            await self._mark_unknown(node)
        health.ready = status
        if status != "True" and before == "True":
            self.recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        if status != "True":
            await self._mark_pods(name)

    async def _mark_unknown(self, node: Obj) -> None:
        conditions = unknown_conditions(node, times.now(self.clock))
        if conditions == meta.conditions(node):
            return
        changed = copy(node)
        changed.setdefault("status", {})["conditions"] = conditions
        try:
            await ignoring_absence(self.client.update(NODES, changed, subresource="status"))
        except ApiError as error:
            if error.reason != "Conflict":  # it reported just now
                raise

    async def _mark_pods(self, node: str) -> None:
        """Say of the node's pods that they are not ready, so that Services stop sending to them."""
        ready = [pod for pod in self._pods.by_index("node", node) if meta.is_condition_true(pod, "Ready")]

        async def mark(pod: Obj) -> None:
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": times.now(self.clock)}
            patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
            self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            await ignoring_absence(
                self.client.patch(
                    PODS, meta.name(pod), patch, meta.namespace(pod), content_type="strategic", subresource="status"
                )
            )

        await gather_all(mark(pod) for pod in ready)

    # -- taints

    async def _taint_all(self, nodes: list[Obj]) -> None:
        zones: dict[str, list[Obj]] = {}
        for node in nodes:
            zones.setdefault(zone_of(node), []).append(node)
        for zone, members in zones.items():
            self._judge(zone, members)
        all_down = bool(zones) and all(self._states[zone] == FULL for zone in zones)
        for zone, members in zones.items():
            for node in members:
                await self._taint(node, zone, evict=not all_down)

    def _judge(self, zone: str, members: list[Obj]) -> None:
        """Set the zone's eviction rate when its state changes."""
        config = self.config
        state = zone_state((self._health[meta.name(node)].ready for node in members), config.unhealthy_zone_threshold)
        if self._states.get(zone) == state:
            return
        if zone in self._states:
            log.info("zone %s is now in state %s", zone, state)
        self._states[zone] = state
        rate = config.node_eviction_rate
        if state == PARTIAL:
            large = len(members) > config.large_cluster_size_threshold
            rate = config.secondary_node_eviction_rate if large else 0.0
        self._buckets[zone] = TokenBucket(self.clock, rate, 1 if rate else 0)

    async def _taint(self, node: Obj, zone: str, *, evict: bool) -> None:
        name = meta.name(node)
        status = self._health[name].ready
        wanted = {"True": None, "False": NOT_READY}.get(status, UNREACHABLE)
        now = times.now(self.clock)
        present = list((node.get("spec") or {}).get("taints") or ())
        latest = self._nodes.get(name) or node
        taints = with_schedule_taints(present, schedule_taints(latest), now)
        has_execute = any(
            taint["effect"] == "NoExecute" and taint["key"] in (NOT_READY, UNREACHABLE) for taint in present
        )
        if not evict:
            taints = with_execute_taint(taints, None, now)
        elif wanted is None or has_execute or self._buckets[zone].take():
            # Exchanging one for the other is not an eviction, and so is not limited.
            taints = with_execute_taint(taints, wanted, now)
        if taints == present:
            return
        patch = {
            "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
            "spec": {"taints": taints or None},
        }
        try:
            await ignoring_absence(self.client.patch(NODES, name, patch))
        except ApiError as error:
            if error.reason != "Conflict":  # the next look sees the change
                raise


def pod_node(pod: Obj) -> list[str]:
    """Index: pods by the node they run on."""
    name = (pod.get("spec") or {}).get("nodeName")
    return [name] if name else []
