"""One pod's worker, from its arrival on the node to the last trace of it: observe, plan, act.

    live      make it as its specification says, and keep it so, until it is to end
    end       stop its containers within the grace period, then its sandbox; give back volumes and cgroup; last status
    linger    a finished pod stays until the API object goes; a deleted one is taken out of the API
    erase     remove what the runtime still holds, and the logs

A worker is woken by the API (update), the runtime (observer), probes and timers, looks at everything again and decides
from that alone: a wake-up lost costs a delay, never a wrong state. The look under way is cancelled when the pod is to end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import shutil
from dataclasses import dataclass
from typing import Any

from apimachinery import clock as clocks
from apimachinery import meta, pods, times
from apimachinery.errors import ApiError
from client.api import Unreachable
from client.resources import PODS
from nodeagent import admission, cgroups, plan, podspec, resize, sandboxspec, status, stopping
from nodeagent.context import NodeContext
from nodeagent.plan import Plan
from nodeagent.podspec import EPHEMERAL, INIT, REGULAR
from nodeagent.runtime import ContainerState, PodState, RuntimeFailure
from nodeagent.starting import Starter
from nodeagent.volumes import content

log = logging.getLogger(__name__)

Obj = dict[str, Any]

_RETRY = 1.0  # seconds after the runtime failed to answer
_NETWORK_RETRY = 0.1
_RESIZE_RETRY = 30.0  # seconds between attempts at a resize for which there was no room


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a pod ends. phase, reason, message: forced upon its status, "" for what its containers say. grace: seconds."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    grace: int | None = None


class PodWorker:
    """Owned by the agent, which runs run() in its task group and passes on what the API says."""

    def __init__(self, node: NodeContext, pod: Obj | None, uid: str) -> None:
        self._node = node
        self.uid = uid
        self.pod = pod or stopping.orphan(node.observer.state(uid))
        self.gone = pod is None
        self.finished = False
        self.rejected = False
        self._wake = asyncio.Event()
        self._ending: Ending | None = None
        self._end_asked = asyncio.Event()
        self._admitted = False
        self._looked = False
        self._over = False
        self._told: set[str] = set()
        self._allocated: dict[str, resize.Resources] = {}
        self._applied: dict[str, resize.Resources] = {}
        self._pending: resize.Verdict | None = None
        self._starter = Starter(node, uid)
        self._seen: object = None
        if pod is None:
            self.end(Ending())
        else:
            self.update(pod)

    # ---- what others say

    def wake(self) -> None:
        self._wake.set()

    def room_was_made(self) -> None:
        """Another pod has left the node: a resize that had to wait may fit now."""
        if self._pending is not None:
            self.wake()

    def update(self, pod: Obj) -> None:
        """The API has a newer version of the pod."""
        self.pod = pod
        if not self._over:
            self._node.objects.hold(self.uid, pod["metadata"]["namespace"], content.references(pod))
        self._node.statuses.seen(pod)
        seen = (
            pod["metadata"].get("generation"),
            pod.get("spec"),
            pod["metadata"].get("labels"),
            pod["metadata"].get("annotations"),
        )
        if meta.deleting(pod):
            self.end(Ending(grace=podspec.grace_period(pod)))
        if seen != self._seen or meta.deleting(pod):
            # A change of the status alone is nearly always our own.
            self._seen = seen
            self.wake()

    def removed(self, pod: Obj) -> None:
        """The API has the pod no longer. pod: its last state, which says how long its containers may take to end."""
        self.pod = pod
        self.gone = True
        self.end(Ending(grace=podspec.grace_period(self.pod)))
        self.wake()

    def end(self, ending: Ending) -> None:
        """The pod is to end. A second call can only shorten the grace period."""
        known = self._ending
        if known is None:
            self._ending = ending
        elif ending.grace is not None and (known.grace is None or ending.grace < known.grace):
            self._ending = Ending(known.phase, known.reason, known.message, ending.grace)
        else:
            return
        self._end_asked.set()

    @property
    def active(self) -> bool:
        """Whether the pod counts against what the node can hold."""
        return not self._over and not self.rejected

    # ---- life

    async def run(self) -> None:
        await self._live()
        await self._end()
        await self._linger()
        await self._erase()

    async def _live(self) -> None:
        while self._ending is None:
            self._wake.clear()
            self._starter.retry_at = None
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(self._guarded_look(), name=f"look at {self.pod['metadata']['name']}")
                asked = group.create_task(self._end_asked.wait(), name="end asked")
                await asyncio.wait({looking, asked}, return_when=asyncio.FIRST_COMPLETED)
                looking.cancel()
                asked.cancel()
            if self._ending is None:
                await self._sleep()

    async def _sleep(self) -> None:
        """Until woken, or until something is due."""
        node = self._node
        seconds = node.config.sync_frequency
        if self._starter.retry_at is not None:
            seconds = min(seconds, max(0.0, self._starter.retry_at - node.clock.monotonic()))
        deadline = self._deadline()
        if deadline is not None:
            seconds = min(seconds, max(0.01, deadline - node.clock.time()))
        try:
            await clocks.wait_for(node.clock, self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def _guarded_look(self) -> None:
        try:
            await self._look()
        except RuntimeFailure as error:
            log.warning("pod %s: the runtime failed: %s", podspec.describe(self.pod), error)
            self._starter.retry_in(_RETRY)
        except (ApiError, Unreachable, TimeoutError, OSError) as error:
            log.warning("pod %s: %s", podspec.describe(self.pod), error)
            self._node.tell(self.pod, "", "Warning", "FailedSync", f"Error syncing pod, skipping: {error}")
            self._starter.retry_in(_RETRY)

    async def _look(self) -> None:
        """Observe, plan, act, once."""
        node, pod = self._node, self.pod
        state = node.observer.state(self.uid) if self._looked else await node.observer.refresh(self.uid)
        self._looked = True
        if not self._admit(pod, state) or self._past_deadline(pod):
            return
        pod = self._allocate(pod, state)
        if self._report(state)["phase"] in ("Succeeded", "Failed"):
            self.end(Ending())
            return
        health = dataclasses.replace(node.probes.health(), resources=self._given)
        chosen = plan.compute(pod, state, health)
        if chosen.create_sandbox and not podspec.host_network(pod) and node.facts.network:
            node.tell(pod, "", "Warning", "NetworkNotReady", f"network is not ready: {node.facts.network}")
            self._starter.retry_in(_NETWORK_RETRY)
            return
        state = await self._act(pod, state, chosen)
        node.probes.sync(pod, state, node.group)
        if self._report(state)["phase"] in ("Succeeded", "Failed"):
            self.end(Ending())
        elif not chosen.idle:
            await stopping.collect_garbage(node, state)

    def _admit(self, pod: Obj, state: PodState) -> bool:
        if self._admitted:
            return True
        node = self._node
        if not state.sandboxes and not pods.is_terminal(pod):
            view = admission.NodeView(
                node.facts.allocatable, node.facts.labels, node.config.allowed_unsafe_sysctls, node.facts.under_pressure
            )
            others = [other for other in node.active_pods() if other["metadata"]["uid"] != self.uid]
            refusal = admission.check(pod, others, view)
            if refusal is not None:
                self.rejected = True
                node.tell(pod, "", "Warning", refusal.reason, refusal.message)
                self.end(Ending("Failed", refusal.reason, f"Pod was rejected: {refusal.message}"))
                return False
        self._admitted = True
        return True

    def _allocate(self, pod: Obj, state: PodState) -> Obj:
        """The pod with the resources it is to have now: a change of them may have to wait, or be too much for the node."""
        wanted = resize.resources_of(pod)
        if not self._allocated:
            self._allocated = resize.remembered(pod, state) if state.containers else wanted
        self._pending = None
        if wanted != self._allocated:
            others = [other for other in self._node.active_pods() if other["metadata"]["uid"] != self.uid]
            self._pending = resize.feasible(pod, others, self._node.facts.allocatable)
            if self._pending is None:
                self._allocated = wanted
            elif self._pending.reason == "Deferred":
                self._starter.retry_in(_RESIZE_RETRY)
        return resize.with_resources(pod, self._allocated)

    def _given(self, container: ContainerState) -> resize.Resources | None:
        """The resources that a container has: as it was made, or as it was changed since."""
        return self._applied.get(container.id) or resize.applied(container)

    async def _resize(self, pod: Obj, chosen: Plan) -> None:
        """Change what running containers may use; the pod's own group before, to make room, and after, to take it."""
        await self._starter.resize_cgroup(pod)
        for item in chosen.resizes:
            await self._starter.resize(pod, item)
            self._applied[item.container.id] = item.spec.get("resources") or {}
        await self._starter.resize_cgroup(pod)
        self._node.tell(pod, "", "Normal", "ResizeCompleted", "Pod resize completed")

    def _deadline(self) -> float | None:
        """When the pod's activeDeadlineSeconds are over, seconds since the epoch."""
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        started = self._node.statuses.latest(self.pod).get("startTime")
        return times.parse_time(started) + seconds if seconds is not None and started else None

    def _past_deadline(self, pod: Obj) -> bool:
        deadline = self._deadline()
        if deadline is None or self._node.clock.time() < deadline:
            return False
        text = "Pod was active on the node longer than the specified deadline"
        self._node.tell(pod, "", "Normal", "DeadlineExceeded", text)
        self.end(Ending("Failed", "DeadlineExceeded", text))
        return True

    # ---- acting

    async def _act(self, pod: Obj, state: PodState, chosen: Plan) -> PodState:
        node, starter = self._node, self._starter
        if chosen.kill_pod and (state.sandboxes or state.containers):
            if chosen.create_sandbox and chosen.sandbox_id:
                node.tell(pod, "", "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            await stopping.stop_all(node, pod, state, podspec.grace_period(pod), set())
            await stopping.stop_sandboxes(node, state)
            state = await node.observer.refresh(self.uid)
        pod_ip = state.sandbox.ips[0] if state.sandbox and state.sandbox.ips else ""
        if chosen.kills:
            await asyncio.gather(
                *(
                    stopping.stop_container(node, pod, kill.container, pod_ip, message=kill.message, reason=kill.reason)
                    for kill in chosen.kills
                )
            )
            state = await node.observer.refresh(self.uid)
        if chosen.kill_pod and not chosen.create_sandbox:
            return state
        if chosen.resizes:
            await self._resize(pod, chosen)
        if not chosen.create_sandbox:
            volumes = await starter.set_up_volumes(pod, state)
            if not starter.cgroup_parent:
                await starter.make_cgroup(pod)
        else:
            volumes, made = await asyncio.gather(
                starter.set_up_volumes(pod, state), starter.create_sandbox(pod, chosen.attempt)
            )
            if not made:
                return await node.observer.refresh(self.uid)
            state = await node.observer.refresh(self.uid)
        if chosen.start_init or chosen.start or chosen.start_ephemeral:
            if not volumes and not starter.volumes_ready:
                return state
            self._report(state)
            state = await self._start(pod, state, chosen)
        return state

    async def _start(self, pod: Obj, state: PodState, chosen: Plan) -> PodState:
        starter = self._starter
        for kind, indexes in ((EPHEMERAL, chosen.start_ephemeral), (INIT, chosen.start_init), (REGULAR, chosen.start)):
            for index in indexes:
                container = pod["spec"][kind][index]
                ok = await starter.start(pod, kind, container, state)
                if not ok and kind == INIT and not podspec.is_sidecar(container):
                    break
        return await self._node.observer.refresh(self.uid)

    # ---- status

    def _report(self, state: PodState, *, terminal: bool = False) -> Obj:
        """Draw the pod's status and have it written; the status."""
        node = self._node
        if self.gone:
            return {"phase": ""}
        ending = self._ending
        forced = (ending.phase, ending.reason, ending.message) if ending and ending.phase else None
        facts = status.Facts(
            scheme=node.runtime.scheme,
            now=node.clock.time(),
            host_ips=node.facts.host_ips,
            old=node.statuses.latest(self.pod),
            waiting=self._starter.waiting,
            started=node.probes.started,
            ready=node.probes.ready,
            terminal=terminal,
            forced=forced,
            resize=(self._pending.reason, self._pending.message) if self._pending else None,
            resources=self._allocated,
            recursive_read_only=node.facts.feature("", 0),
        )
        drawn = status.generate(self.pod, state, facts)
        if terminal:
            drawn = status.finish(self.pod, drawn)
        node.statuses.set(self.pod, drawn)
        return drawn

    # ---- the end

    async def _end(self) -> None:
        node = self._node
        node.probes.stop_restarting(self.uid)
        while True:
            self._end_asked.clear()
            try:
                state = await node.observer.refresh(self.uid)
                self._report(state)
                if not state.running:
                    break
                await self._stop(state)
            except RuntimeFailure as error:
                log.warning("stopping pod %s: %s", podspec.describe(self.pod), error)
                await node.clock.sleep(_RETRY)
        node.probes.stop(self.uid)
        await self._give_back(state)

    async def _stop(self, state: PodState) -> None:
        """Stop all containers; start over when the grace period is shortened meanwhile."""
        ending = self._ending or Ending()
        grace = podspec.grace_period(self.pod) if ending.grace is None else ending.grace
        failures: list[RuntimeFailure] = []

        async def stop() -> None:
            try:
                await stopping.stop_all(self._node, self.pod, state, grace, self._told)
            except RuntimeFailure as error:
                failures.append(error)

        async with asyncio.TaskGroup() as group:
            stopped = group.create_task(stop(), name="stop containers")
            asked = group.create_task(self._end_asked.wait(), name="end asked")
            await asyncio.wait({stopped, asked}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            asked.cancel()
        if failures:
            raise failures[0]

    async def _give_back(self, state: PodState) -> None:
        """Stop the sandbox, write the last status, give back volumes and cgroup."""
        node = self._node
        while True:
            try:
                await stopping.stop_sandboxes(node, state)
                state = await node.observer.refresh(self.uid)
                break
            except RuntimeFailure as error:
                log.warning("stopping the sandbox of pod %s: %s", podspec.describe(self.pod), error)
                await node.clock.sleep(_RETRY)
        self._over = True
        for other in node.workers.values():
            other.room_was_made()
        self._report(state, terminal=True)
        node.objects.release(self.uid)
        node.tokens.forget(self.uid)
        while True:
            try:
                await asyncio.to_thread(node.volumes.teardown, self.uid)
                break
            except OSError as error:
                log.warning("the volumes of pod %s are still in use: %s", podspec.describe(self.pod), error)
                await node.clock.sleep(_RETRY)
        await self._remove_cgroup()
        await node.statuses.flush(self.uid)

    async def _remove_cgroup(self) -> None:
        node = self._node
        if node.facts.systemd_cgroups or not (node.config.cgroups_per_qos and node.facts.pod_cgroups):
            return
        path = self._starter.cgroup_parent or cgroups.pod_path(
            node.config.cgroup_root, pods.compute_qos_class(self.pod), self.uid, systemd=False
        )
        for _ in range(20):
            if await asyncio.to_thread(cgroups.remove, path):
                return
            await node.real.sleep(0.05)

    async def _linger(self) -> None:
        """A finished pod stays visible until somebody deletes it; then it is taken out of the API."""
        node = self._node
        while not self.gone:
            self._wake.clear()
            if not meta.deleting(self.pod):
                await self._wake.wait()
                continue
            metadata = self.pod["metadata"]
            try:
                await node.statuses.flush(self.uid)
                await node.client.delete(
                    PODS, metadata["name"], metadata["namespace"], grace_period_seconds=0, uid=self.uid
                )
            except (Unreachable, TimeoutError) as error:
                log.debug("deleting pod %s: %s", podspec.describe(self.pod), error)
                await node.clock.sleep(_RETRY)
                continue
            except ApiError as error:
                if error.code in (404, 409):
                    return
                log.warning("deleting pod %s: %s", podspec.describe(self.pod), error)
                await node.clock.sleep(_RETRY)
                continue
            if not (metadata.get("finalizers") or ()):
                return
            # Others hold it with finalizers; the API tells when it is really gone.
            if not self.gone:
                await self._wake.wait()

    async def _erase(self) -> None:
        node = self._node
        while True:
            try:
                state = await node.observer.refresh(self.uid)
                await stopping.remove_everything(node, state)
                await node.observer.refresh(self.uid)
                break
            except RuntimeFailure as error:
                log.warning("removing pod %s from the runtime: %s", podspec.describe(self.pod), error)
                await node.clock.sleep(_RETRY)
        node.statuses.forget(self.uid)
        node.images.forget(self.uid)
        folder = sandboxspec.log_directory(node.config.logs_dir, self.pod)
        await asyncio.to_thread(shutil.rmtree, folder, True)
        self.finished = True
