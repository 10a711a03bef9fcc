"""The scheduler's process and its one loop: pop a pod, filter, score, assume, and bind in the background.

run() is started by `steersman scheduler` and by `steersman up`. A cycle itself does no I/O; bindings, status patches and
events run as tasks beside the next cycles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from apimachinery import meta, times
from apimachinery.errors import ApiError, is_reason
from client import resources
from client.api import Client, Unreachable
from client.events import EventRecorder
from client.informer import Informers
from client.leaderelection import LeaderElector
from scheduler import preemption
from scheduler.cluster import Cluster
from scheduler.config import Config
from scheduler.framework import Cycle, Diagnosis, Framework, Unschedulable
from scheduler.lookups import WAKING, InformerListers
from scheduler.metrics import Metrics
from scheduler.plugins import DEFAULT_PROFILE
from scheduler.podinfo import PodInfo
from scheduler.queue import Queue, Waiting
from serving.component import ComponentEndpoint

log = logging.getLogger(__name__)

USER_AGENT = "kube-scheduler/v1.36.0 (linux) steersman"
STRATEGIC = "application/strategic-merge-patch+json"
_MESSAGE_LIMIT = 1024  # bytes of an event's note


async def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Schedule until cancelled. KubeconfigError, OSError (port), LeadershipLost.

    ready: called once the informers are synced, or once another replica is found leading.
    """
    async with Client.from_kubeconfig(config.kubeconfig, clock=config.clock, user_agent=USER_AGENT) as client:
        metrics = Metrics()
        endpoint = ComponentEndpoint(
            bind_address=config.bind_address,
            port=config.secure_port,
            certificate=config.tls_cert_file,
            key=config.tls_private_key_file,
            client_ca=config.client_ca_file,
            render_metrics=metrics.render,
            clock=config.clock,
        )
        await endpoint.start()
        try:
            scheduler = Scheduler(config, client, metrics)
            if not config.election.leader_elect:
                await scheduler.run(ready)
                return
            async with EventRecorder(client, config.scheduler_name, config.clock) as recorder:
                elector = LeaderElector(client, config.election.config(), clock=config.clock, recorder=recorder)
                endpoint.add_check("leaderElection", elector.check)
                await elector.run(lambda: scheduler.run(ready))
        finally:
            await endpoint.stop()


class Scheduler:
    """One profile's scheduling loop."""

    def __init__(self, config: Config, client: Client, metrics: Metrics) -> None:
        self._config = config
        self._client = client
        self._clock = config.clock
        self._metrics = metrics
        self._framework = Framework([plugin() for plugin in DEFAULT_PROFILE])
        self.queue = Queue(
            self._clock,
            self._framework.events,
            initial_backoff=config.pod_initial_backoff,
            max_backoff=config.pod_max_backoff,
            max_unschedulable=config.pod_max_in_unschedulable_pods_duration,
        )
        self.cluster = Cluster(config.scheduler_name, self.queue)
        self._rng = np.random.default_rng()
        self._slots = asyncio.Semaphore(config.concurrent_binds)

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until cancelled."""
        informers = Informers(self._client)
        pod_informer = informers.get(resources.PODS, field_selector="status.phase!=Succeeded,status.phase!=Failed")
        node_informer = informers.get(resources.NODES)
        listers = InformerListers(informers)
        self.cluster.listen(pod_informer, node_informer)
        for kind, event in WAKING.items():
            self._wake_on(listers, kind, event)
        async with (
            EventRecorder(self._client, self._config.scheduler_name, self._clock, series=True) as recorder,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(informers.run(), name="informers")
            await informers.wait_synced()
            group.create_task(self.queue.run(), name="queue timers")
            ready()
            while True:
                entry = await self.queue.pop()
                self._metrics.pending(self.queue.counts())
                self._schedule(entry, listers, recorder, group)
                await asyncio.sleep(0)  # let informers and bindings have their turn between pods

    def _wake_on(self, listers: InformerListers, kind: str, event: str) -> None:
        def told(*_: Any) -> None:
            self.queue.moved(event)

        listers.informers[kind].add_handler(added=told, updated=told, deleted=told)

    # -- one cycle

    def _schedule(
        self, entry: Waiting, listers: InformerListers, recorder: EventRecorder, group: asyncio.TaskGroup
    ) -> None:
        pod, begun = entry.pod, self._clock.monotonic()
        cycle = Cycle(pod, self.cluster.nodes, listers)
        blockers = self._nominated_before(pod)
        try:
            for other in blockers:
                self.cluster.nodes.add_pod(other)
            rows = self._framework.feasible(cycle)
            row = self._framework.best(cycle, rows, self._rng)
        except Unschedulable as error:
            for other in blockers:
                self.cluster.nodes.remove_pod(other)
            blockers = []
            self._refused(entry, cycle, error.diagnosis, listers, recorder, group)
            self._metrics.attempt("unschedulable", self._clock.monotonic() - begun)
            return
        finally:
            for other in blockers:
                self.cluster.nodes.remove_pod(other)
        node = self.cluster.nodes.names[row]
        placed = self.cluster.assume(pod, node)
        group.create_task(self._bind(entry, placed, recorder, begun), name=f"bind {pod.key}")

    def _nominated_before(self, pod: PodInfo) -> list[PodInfo]:
        """Pods that wait for a node they have cleared, and come before this one: their room is taken."""
        return [
            other
            for other in self.cluster.nominated.values()
            if other.uid != pod.uid and other.priority >= pod.priority and other.node in self.cluster.nodes.index
        ]

    def _refused(
        self,
        entry: Waiting,
        cycle: Cycle,
        diagnosis: Diagnosis,
        listers: InformerListers,
        recorder: EventRecorder,
        group: asyncio.TaskGroup,
    ) -> None:
        """No node takes the pod: try to make room, tell why, and put it back."""
        candidate: preemption.Candidate | None = None
        if diagnosis.nodes:
            found = preemption.select(self._framework, cycle, diagnosis, listers.list("poddisruptionbudgets", ""))
            if isinstance(found, str):
                diagnosis.post_filter = f"{preemption.NO_CLAIMS}, {found}"
            else:
                candidate = found
        self.queue.failed(entry, diagnosis.plugins or {"NodeName"})
        node = self.cluster.nodes.names[candidate.row] if candidate is not None else ""
        if candidate is not None:
            self.cluster.nominate(entry.pod, node)
        group.create_task(self._report(entry.pod, diagnosis, node, candidate, recorder), name=f"report {entry.pod.key}")

    # -- what follows a cycle, beside the next ones

    async def _bind(self, entry: Waiting, placed: PodInfo, recorder: EventRecorder, begun: float) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": placed.name, "namespace": placed.namespace, "uid": placed.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": placed.node},
        }
        try:
            async with self._slots:
                await self._client.create(
                    resources.PODS, binding, placed.namespace, name=placed.name, subresource="binding"
                )
        except (ApiError, Unreachable, TimeoutError) as error:
            self.cluster.forget(placed)
            self._metrics.attempt("error", self._clock.monotonic() - begun)
            if is_reason(error, "NotFound"):
                self.queue.done(entry)
                return
            log.warning("binding %s to %s: %s", placed.key, placed.node, error)
            self.queue.failed(entry)
            recorder.event(
                entry.pod.obj, "Warning", "FailedScheduling", f"binding rejected: {error}"[:_MESSAGE_LIMIT],
                action="Scheduling",
            )  # fmt: skip
            return
        self.queue.done(entry)
        self._metrics.attempt("scheduled", self._clock.monotonic() - begun)
        text = f"Successfully assigned {placed.key} to {placed.node}"
        recorder.event(entry.pod.obj, "Normal", "Scheduled", text, action="Binding")

    async def _report(
        self,
        pod: PodInfo,
        diagnosis: Diagnosis,
        nominated: str,
        candidate: preemption.Candidate | None,
        recorder: EventRecorder,
    ) -> None:
        """Say why on the pod and in an event; carry out the preemption."""
        message = diagnosis.message()
        recorder.event(pod.obj, "Warning", "FailedScheduling", message[:_MESSAGE_LIMIT], action="Scheduling")
        try:
            if candidate is not None:
                await self._preempt(pod, nominated, candidate, recorder)
            await self._patch_condition(pod, message, nominated)
        except (ApiError, Unreachable, TimeoutError) as error:
            if not is_reason(error, "NotFound"):
                log.warning("updating the status of %s: %s", pod.key, error)

    async def _patch_condition(self, pod: PodInfo, message: str, nominated: str) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        old = meta.condition(pod.obj, "PodScheduled") or {}
        status: dict[str, Any] = {}
        if any(old.get(name) != value for name, value in condition.items()):
            since = old.get("lastTransitionTime") if old.get("status") == "False" else None
            generation = {"observedGeneration": meta.generation(pod.obj)} if meta.generation(pod.obj) else {}
            moved = {"lastProbeTime": None, "lastTransitionTime": since or times.now(self._clock)}
            status["conditions"] = [{**condition, **moved, **generation}]
        if nominated and (pod.obj.get("status") or {}).get("nominatedNodeName") != nominated:
            status["nominatedNodeName"] = nominated
        if status:
            patch = {"metadata": {"uid": pod.uid}, "status": status}
            await self._client.patch(
                resources.PODS, pod.name, patch, pod.namespace, content_type=STRATEGIC, subresource="status"
            )

    async def _preempt(self, pod: PodInfo, node: str, candidate: preemption.Candidate, recorder: EventRecorder) -> None:
        """Delete the victims, each with a condition that says why."""
        who = pod.spec.get("schedulerName") or self._config.scheduler_name
        for victim in candidate.victims:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": f"{who}: preempting to accommodate a higher priority pod",
                "lastProbeTime": None,
                "lastTransitionTime": times.now(self._clock),
            }
            patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}
            try:
                await self._client.patch(
                    resources.PODS, victim.name, patch, victim.namespace, content_type=STRATEGIC, subresource="status"
                )
                await self._client.delete(resources.PODS, victim.name, victim.namespace, uid=victim.uid)
            except ApiError as error:
                if not is_reason(error, "NotFound", "Conflict"):
                    raise
                continue
            text = f"Preempted by pod {pod.uid} on node {node}"
            recorder.event(victim.obj, "Normal", "Preempted", text, action="Preempting", related=pod.obj)
