"""Removes pods that nobody else will: those of nodes that are gone, those that never got a node, old finished ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods, times
from apimachinery.errors import ApiError
from client.resources import NODES, PODS
from controllers.base import Controller, Rule, gather_all, ignoring_absence

log = logging.getLogger(__name__)

Obj = dict[str, Any]

PERIOD = 20.0  # seconds between sweeps
QUARANTINE = 40.0  # seconds a node must be missing before its pods count as orphaned
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
ORPHANED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByPodGC",
    "message": "PodGC: node no longer exists",
}


def surplus_finished(everyone: Iterable[Obj], threshold: int) -> list[Obj]:
    """The finished pods beyond the threshold, evicted ones first, then the oldest; none if it is 0."""
    if threshold <= 0:
        return []
    finished = [pod for pod in everyone if pods.phase(pod) not in ("Pending", "Running", "Unknown", "")]
    finished.sort(key=lambda pod: (not pods.is_evicted(pod), meta.created(pod), meta.name(pod)))
    return finished[: max(0, len(finished) - threshold)]


def stuck_on_dead_nodes(everyone: Iterable[Obj], nodes: Mapping[str, Obj]) -> list[Obj]:
    """Terminating pods on nodes that are not ready and marked out of service: nobody there will finish them."""
    dead = {
        name
        for name, node in nodes.items()
        if not meta.is_condition_true(node, "Ready")
        and any(taint.get("key") == OUT_OF_SERVICE for taint in (node.get("spec") or {}).get("taints") or ())
    }
    return [pod for pod in everyone if meta.deleting(pod) and pod["spec"].get("nodeName") in dead]


def never_scheduled(everyone: Iterable[Obj]) -> list[Obj]:
    """Terminating pods without a node: no node agent will see them."""
    return [pod for pod in everyone if meta.deleting(pod) and not pod["spec"].get("nodeName")]


class PodGcController(Controller):
    name = "pod-garbage-collector-controller"
    aliases = ("podgc",)
    source = "pod-garbage-collector"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("pods",), ("delete", "list", "watch")),
        Rule(("",), ("nodes",), ("get", "list")),
        Rule(("",), ("pods/status",), ("patch",)),
    )
    workers = 0

    def setup(self) -> None:
        self._pods = self.watch(PODS)
        self._nodes = self.watch(NODES)
        self._missing: dict[str, float] = {}

    async def background(self) -> None:
        while True:
            await self.clock.sleep(PERIOD)
            try:
                await self.sweep()
            except ApiError as error:
                log.warning("sweeping pods: %s", error)

    async def sweep(self) -> None:
        """One look at all pods."""
        everyone = self._pods.list()
        nodes = {meta.name(node): node for node in self._nodes.list()}
        for pod in surplus_finished(everyone, self.config.terminated_pod_gc_threshold):
            await self._remove(pod, None)
        for pod in stuck_on_dead_nodes(everyone, nodes):
            await self._remove(pod, None)
        gone = await self._gone_nodes(everyone, nodes)
        await gather_all(self._remove(pod, ORPHANED) for pod in everyone if pod["spec"].get("nodeName") in gone)
        await gather_all(self._remove(pod, None) for pod in never_scheduled(everyone))

    async def _gone_nodes(self, everyone: Iterable[Obj], nodes: Mapping[str, Obj]) -> set[str]:
        """Nodes that pods name and that have been missing for a while, also by a fresh look."""
        now = self.clock.monotonic()
        named = {pod["spec"].get("nodeName") for pod in everyone} - {None, ""} - set(nodes)
        self._missing = {name: self._missing.get(name, now) for name in named}
        gone = set()
        for name, since in self._missing.items():
            if now - since >= QUARANTINE and await ignoring_absence(self.client.get(NODES, name)) is None:
                gone.add(name)
        return gone

    async def _remove(self, pod: Obj, condition: Obj | None) -> None:
        """Mark it failed, so that its owner counts it right, and delete it at once."""
        log.info("deleting pod %s", meta.key(pod))
        if not pods.is_terminal(pod):
            status: Obj = {"phase": "Failed"}
            if condition is not None:
                now = times.now(self.clock)
                status["conditions"] = [{**condition, "lastTransitionTime": now}]
            patch = {"metadata": {"uid": meta.uid(pod)}, "status": status}
            await ignoring_absence(
                self.client.patch(
                    PODS, meta.name(pod), patch, meta.namespace(pod), content_type="strategic", subresource="status"
                )
            )
        await ignoring_absence(self.client.delete(PODS, meta.name(pod), meta.namespace(pod), grace_period_seconds=0))
