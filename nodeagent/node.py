"""This machine's Node object: registered, kept current, and its lease renewed. What else knows of the node reads facts.

    Node.register()      make or adopt the Node; waits for the API as long as it takes
    Node.run()           status, lease and pod range, until cancelled

The pod range (spec.podCIDR) is given by a controller; when it comes, the network is prepared and the node becomes ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from apimachinery import meta, times
from apimachinery.clock import wait_for
from apimachinery.errors import ApiError
from client.api import STRATEGIC, Client, Unreachable
from client.events import EventRecorder
from client.informer import Informer
from client.resources import LEASES, NODES
from nodeagent import machine, nodestatus
from nodeagent.config import Config
from nodeagent.context import NodeFacts
from nodeagent.observer import Observer
from nodeagent.runtime import ImageInfo, Runtime, RuntimeFailure, RuntimeInfo

log = logging.getLogger(__name__)

Obj = dict[str, Any]

_LEASE_NAMESPACE = "kube-node-lease"
_RETRY = 0.5
_HURRY = 10.0  # seconds after the start in which a network that is not there yet is asked for often
_TRANSITIONS = {
    "MemoryPressure": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
    "DiskPressure": ("NodeHasDiskPressure", "NodeHasNoDiskPressure"),
    "PIDPressure": ("NodeHasInsufficientPID", "NodeHasSufficientPID"),
    "Ready": ("NodeReady", "NodeNotReady"),
}


class Node:
    """One node of the cluster. set_up_network: called with the pod ranges once they are known; returns why it failed."""

    def __init__(
        self,
        config: Config,
        client: Client,
        runtime: Runtime,
        observer: Observer,
        recorder: EventRecorder,
        facts: NodeFacts,
        *,
        informer: Informer,
        set_up_network: Callable[[list[str]], Awaitable[str | None]],
        port: Callable[[], int],
    ) -> None:
        self._config = config
        self._clock = config.clock
        self._client = client
        self._runtime = runtime
        self._observer = observer
        self._recorder = recorder
        self.facts = facts
        self._informer = informer
        self._set_up_network = set_up_network
        self._port = port
        self._machine = machine.inspect()
        self._info: RuntimeInfo | None = None
        self._images: list[ImageInfo] = []
        self._conditions: list[Obj] = []
        self._reported: Obj = {}
        self._reported_at = 0.0
        self._ranges: list[str] = []
        self._network_problem: str | None = "the node has no pod range yet"
        self._nudge = asyncio.Event()

    # ---- facts

    async def look(self) -> Obj:
        """Ask machine and runtime; the status that the Node is to have."""
        config = self._config
        used = await asyncio.to_thread(machine.usage, _existing(config.root_dir))
        problem = None
        try:
            self._info = await self._runtime.info()
            self._images = await self._runtime.list_images()
        except RuntimeFailure as error:
            problem = f"container runtime is down: {error}"
        ready = problem or self._not_ready()
        pressure = nodestatus.pressure(self._machine, used, config)
        info = self._info or RuntimeInfo("unknown", "", {}, None, {}, False)
        status = nodestatus.status(
            self.facts.name,
            self._machine,
            used,
            config,
            runtime=info,
            images=self._images,
            addresses=self.facts.host_ips,
            port=self._port(),
            health=nodestatus.Health(ready, pressure),
            old=self._conditions,
            now=self._clock.time(),
        )
        self.facts.allocatable = status["allocatable"]
        self.facts.memory_capacity = self._machine.memory
        self.facts.under_pressure = [kind for kind, holds in pressure.items() if holds]
        self.facts.handlers = info.handlers
        if info.systemd_cgroups is not None:
            self.facts.systemd_cgroups = info.systemd_cgroups
        return status

    def _not_ready(self) -> str | None:
        """Why the node is not ready, or None. Sets what workers ask before they make a sandbox."""
        assert self._info is not None
        unhealthy = self._observer.healthy
        for kind in ("RuntimeReady", "NetworkReady"):
            holds, reason, message = self._info.conditions.get(kind, (True, "", ""))
            word = "container runtime status check may not have completed yet" if kind == "RuntimeReady" else ""
            text = f"{kind}={str(holds).lower()} reason:{reason} message:{message}"
            if kind == "NetworkReady":
                problem = self._network_problem or (None if holds else message)
                self.facts.network = f"container runtime network not ready: {text}" if problem else None
                if self._network_problem and holds:
                    text = f"NetworkReady=false reason:NetworkPluginNotReady message:{self._network_problem}"
                    self.facts.network = f"container runtime network not ready: {text}"
                if problem:
                    return self.facts.network
            elif not holds:
                return f"container runtime not ready: {text}" if reason else word
        return unhealthy

    # ---- registration

    async def register(self) -> None:
        """Make the Node, or adopt one that is there. Retried until the API answers."""
        told = ""
        while True:
            status = await self.look()
            try:
                await self._register(status)
                return
            except (ApiError, Unreachable, TimeoutError) as error:
                if str(error) != told:
                    log.warning("unable to register node %s with API server: %s", self.facts.name, error)
                told = str(error)
            await self._clock.sleep(_RETRY)

    async def _register(self, status: Obj) -> None:
        fresh = nodestatus.new_node(self.facts.name, self._machine, self._config, status)
        try:
            known = await self._client.get(NODES, self.facts.name)
        except ApiError as error:
            if error.code != 404 or not self._config.register_node:
                raise
            created = await self._client.create(NODES, fresh)
            self._took(created, created.get("status") or {})
            for entry in self._conditions:
                if entry["type"] != "Ready":  # that one is told when it changes
                    self._tell_transition(entry)
            log.info("registered node %s", self.facts.name)
            return
        self._conditions = (known.get("status") or {}).get("conditions") or []
        labels = {
            key: value
            for key, value in fresh["metadata"]["labels"].items()
            if (known["metadata"].get("labels") or {}).get(key) != value
        }
        if labels:
            known = await self._client.patch(
                NODES, self.facts.name, {"metadata": {"labels": labels}}, content_type=STRATEGIC
            )
        self._took(known, None)
        if self._ranges:
            self._network_problem = await self._set_up_network(self._ranges)
        status = await self.look()
        await self._write(status)

    def _took(self, node: Obj, status: Obj | None) -> None:
        self.facts.labels = node["metadata"].get("labels") or {}
        self._note_ranges(node)
        if status is not None:
            self._reported, self._reported_at = status, self._clock.monotonic()
            self._conditions = status.get("conditions") or []

    def _note_ranges(self, node: Obj) -> None:
        spec = node.get("spec") or {}
        ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
        if ranges and ranges != self._ranges:
            self._ranges = ranges
            self._nudge.set()

    # ---- status

    def _remember(self, status: Obj) -> None:
        for entry in status["conditions"]:
            before = meta.find_condition(self._conditions, entry["type"])
            if before is None or before.get("status") != entry["status"]:
                self._tell_transition(entry)
        self._conditions = status["conditions"]
        self._reported = status
        self._reported_at = self._clock.monotonic()

    def _tell_transition(self, entry: Obj) -> None:
        yes, no = _TRANSITIONS[entry["type"]]
        reason = yes if entry["status"] == "True" else no
        reference = {"kind": "Node", "apiVersion": "v1", "name": self.facts.name, "uid": self.facts.name}
        self._recorder.event(reference, "Normal", reason, f"Node {self.facts.name} status is now: {reason}")

    async def _write(self, status: Obj) -> None:
        """Patch what differs; the addresses are replaced whole, since their merge key is not their identity."""
        patch = {key: value for key, value in status.items() if self._reported.get(key) != value}
        if "addresses" in patch:
            patch["addresses"] = [{"$patch": "replace"}, *patch["addresses"]]
        await self._client.patch(
            NODES, self.facts.name, {"status": patch}, content_type=STRATEGIC, subresource="status"
        )
        self._remember(status)

    def _differs(self, status: Obj) -> bool:
        def essence(value: Obj) -> object:
            conditions = [{**c, "lastHeartbeatTime": ""} for c in value.get("conditions") or ()]
            return {**value, "conditions": conditions}

        return essence(status) != essence(self._reported)

    async def run(self) -> None:
        self._informer.add_handler(added=self._node_changed, updated=lambda _, new: self._node_changed(new))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._status_forever(), name="node status")
            group.create_task(self._lease_forever(), name="node lease")

    def _node_changed(self, node: Obj) -> None:
        self.facts.labels = node["metadata"].get("labels") or {}
        self._note_ranges(node)
        told = {entry["type"]: entry["status"] for entry in self._reported.get("conditions") or ()}
        present = meta.conditions(node)
        if any(entry["status"] == "Unknown" != told.get(entry["type"], "Unknown") for entry in present):
            # The node was given up while it could not report: what was reported last is not what the server has.
            self._reported = {**self._reported, "conditions": present}
            self._conditions = present
            self._nudge.set()

    async def _status_forever(self) -> None:
        config, begun = self._config, self._clock.monotonic()
        while True:
            self._nudge.clear()
            if self._ranges and self._network_problem is not None:
                self._network_problem = await self._set_up_network(self._ranges)
            status = await self.look()
            late = self._clock.monotonic() - self._reported_at >= config.node_status_report_frequency
            if late or self._differs(status):
                try:
                    await self._write(status)
                except ApiError as error:
                    log.warning("error updating node status: %s", error)
                    if error.code == 404:
                        await self.register()
                except (Unreachable, TimeoutError) as error:
                    log.debug("error updating node status: %s", error)
            # Not ready yet at the start: look often, so that the first pod does not wait for the next round.
            hurried = self.facts.network is not None and self._clock.monotonic() - begun < _HURRY
            period = 0.1 if hurried else min(config.node_status_update_frequency, 2.0 if self.facts.network else 1e9)
            try:
                await wait_for(self._clock, self._nudge.wait(), period)
            except TimeoutError:
                continue

    # ---- lease

    async def _lease_forever(self) -> None:
        seconds = self._config.node_lease_duration_seconds
        lease: Obj | None = None
        while True:
            try:
                lease = await self._renew(lease)
                await self._clock.sleep(seconds / 4)
            except ApiError as error:
                log.debug("node lease: %s", error)
                lease = None
                await self._clock.sleep(_RETRY)
            except (Unreachable, TimeoutError) as error:
                log.debug("node lease: %s", error)
                await self._clock.sleep(_RETRY)

    async def _renew(self, lease: Obj | None) -> Obj:
        name = self.facts.name
        if lease is None:
            try:
                lease = await self._client.get(LEASES, name, _LEASE_NAMESPACE)
            except ApiError as error:
                if error.code != 404:
                    raise
                return await self._client.create(LEASES, await self._new_lease())
        spec = {**(lease.get("spec") or {}), "renewTime": times.micro_now(self._clock), "holderIdentity": name}
        spec["leaseDurationSeconds"] = self._config.node_lease_duration_seconds
        return await self._client.update(LEASES, {**lease, "spec": spec})

    async def _new_lease(self) -> Obj:
        node = await self._client.get(NODES, self.facts.name)
        owner = {"apiVersion": "v1", "kind": "Node", "name": self.facts.name, "uid": node["metadata"]["uid"]}
        return {
            "metadata": {"name": self.facts.name, "namespace": _LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {
                "holderIdentity": self.facts.name,
                "leaseDurationSeconds": self._config.node_lease_duration_seconds,
                "renewTime": times.micro_now(self._clock),
            },
        }


def _existing(folder: Path) -> Path:
    """The folder, or the nearest of its parents that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
