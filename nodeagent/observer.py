"""What the runtime holds of each pod, kept current: the relist loop (PLEG), helped by the runtime's events.

    run()           relists, listens, and calls `changed(uid)` for every pod whose containers or sandboxes changed
    refresh(uid)    look at one pod now: what a worker calls after it has acted
    state(uid)      the last view

Time here is real: containers live in it. Events make the loop quick, the relist makes it right: a lost event costs a
second. Details of a container that has ended never change, so they are asked for once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from apimachinery.clock import RealClock
from nodeagent import runtime, terminationlog
from nodeagent.cri.containerd_api import ContainerdApi
from nodeagent.runtime import ContainerState, PodState, Runtime, RuntimeFailure, SandboxState

log = logging.getLogger(__name__)

# Seconds after an exit event at which the runtime is asked again: its own bookkeeping follows a moment later.
_AFTER_EXIT = (0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4)
_STALE = 30.0
Source = Callable[[], AsyncIterator[tuple[str, str]]]


class Observer:
    """Views of all pods on one runtime. changed: called with a pod's uid; must not block."""

    def __init__(self, source: Runtime, changed: Callable[[str], None], *, period: float = 1.0) -> None:
        self._runtime = source
        self._changed = changed
        self._period = period
        self._clock = RealClock()
        self._pods: dict[str, PodState] = {}
        self._signatures: dict[str, object] = {}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._owner: dict[str, str] = {}
        self._ended: dict[str, ContainerState] = {}
        self._hint = asyncio.Event()
        self._exits: asyncio.Queue[str] = asyncio.Queue(maxsize=10_000)
        self._listening = False
        self._fallback: ContainerdApi | None = None
        self.last_relist = 0.0
        self.failure: RuntimeFailure | None = None

    def state(self, uid: str) -> PodState:
        """The last view; empty when the runtime holds nothing of the pod."""
        return self._pods.get(uid) or PodState(uid)

    def known(self) -> list[str]:
        """Pods of which the runtime holds anything."""
        return list(self._pods)

    @property
    def healthy(self) -> str | None:
        """None, or why the view cannot be trusted (the text of the node's condition)."""
        if self.last_relist == 0.0:
            return "PLEG is not healthy: pleg has yet to be successful"
        age = self._clock.monotonic() - self.last_relist
        if age > 6 * _STALE:
            return f"PLEG is not healthy: pleg was last seen active {age:.0f}s ago; threshold is 3m0s"
        return None

    # ---- looking

    async def relist(self) -> None:
        """Look at everything; tell of what changed. RuntimeFailure."""
        sandboxes, containers = await asyncio.gather(self._runtime.list_sandboxes(), self._runtime.list_containers())
        by_pod: dict[str, tuple[list[SandboxState], list[ContainerState]]] = {}
        for sandbox in sandboxes:
            by_pod.setdefault(sandbox.pod_uid, ([], []))[0].append(sandbox)
        for container in containers:
            by_pod.setdefault(container.pod_uid, ([], []))[1].append(container)
        seen = {uid: _signature(*own) for uid, own in by_pod.items()}
        for uid in {*self._pods, *seen}:
            if seen.get(uid) != self._signatures.get(uid):
                # Looked at again rather than taken from this list, which may be older than what a worker saw meanwhile.
                await self.refresh(uid)
                self._changed(uid)
        present = {container.id for container in containers}
        for known in [known for known in self._ended if known not in present]:
            del self._ended[known]
        self.last_relist = self._clock.monotonic()

    async def refresh(self, uid: str) -> PodState:
        """Look at one pod now. RuntimeFailure."""
        lock = self._locks.setdefault(uid, asyncio.Lock())
        async with lock:  # a view that was taken later must not be overwritten by an earlier one
            sandboxes, containers = await asyncio.gather(
                self._runtime.list_sandboxes(uid), self._runtime.list_containers(uid)
            )
            if sandboxes or containers:
                return await self._detail(uid, sandboxes, containers)
            self._forget(uid)
            return self.state(uid)

    async def _detail(self, uid: str, sandboxes: list[SandboxState], containers: list[ContainerState]) -> PodState:
        signature = _signature(sandboxes, containers)
        full_sandboxes, full_containers = await asyncio.gather(
            asyncio.gather(*(self._sandbox(sandbox) for sandbox in sandboxes)),
            asyncio.gather(*(self._container(container) for container in containers)),
        )
        newest_first = sorted((s for s in full_sandboxes if s), key=lambda s: (s.created_at, s.attempt), reverse=True)
        by_age = sorted((c for c in full_containers if c), key=lambda c: (c.created_at, c.attempt), reverse=True)
        any_one = newest_first[0] if newest_first else None
        state = PodState(
            uid,
            any_one.namespace if any_one else _label(by_age, runtime.POD_NAMESPACE),
            any_one.name if any_one else _label(by_age, runtime.POD_NAME),
            tuple(newest_first),
            tuple(by_age),
        )
        self._pods[uid] = state
        self._signatures[uid] = signature
        self._owner |= dict.fromkeys([*(s.id for s in sandboxes), *(c.id for c in containers)], uid)
        return state

    async def _sandbox(self, listed: SandboxState) -> SandboxState | None:
        if not listed.ready:
            return listed
        try:
            return await self._runtime.sandbox_status(listed.id)
        except RuntimeFailure as error:
            if error.code == "NotFound":
                return None
            raise

    async def _container(self, listed: ContainerState) -> ContainerState | None:
        if listed.id in self._ended:
            return self._ended[listed.id]
        try:
            status = await self._runtime.container_status(listed.id)
        except RuntimeFailure as error:
            if error.code == "NotFound":
                return None
            raise
        status = dataclasses.replace(
            status, sandbox_id=listed.sandbox_id, image_ref=status.image_ref or listed.image_ref
        )
        if status.state == runtime.EXITED:
            status = await asyncio.to_thread(terminationlog.with_message, status)
            self._ended[listed.id] = status
        return status

    def _forget(self, uid: str) -> None:
        self._pods.pop(uid, None)
        self._signatures.pop(uid, None)
        for known in [known for known, owner in self._owner.items() if owner == uid]:
            del self._owner[known]

    # ---- the loop

    async def run(self, containerd_socket: str = "") -> None:
        """Relist and listen until cancelled. containerd_socket: where to listen when the CRI itself sends no events."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relist_forever(), name="pleg relist")
            group.create_task(self._listen_forever(containerd_socket), name="pleg events")
            group.create_task(self._follow_exits(), name="pleg exits")

    async def _relist_forever(self) -> None:
        while True:
            try:
                await self.relist()
                if self.failure is not None:
                    log.info("the container runtime answers again")
                self.failure = None
            except RuntimeFailure as error:
                if self.failure is None:
                    log.warning("cannot list what the container runtime holds: %s", error)
                self.failure = error
            period = self._period * (10 if self._listening and self.failure is None else 1)
            try:
                async with asyncio.timeout(period):
                    await self._hint.wait()
                self._hint.clear()
            except TimeoutError:
                continue

    async def _listen_forever(self, containerd_socket: str) -> None:
        source: Source = self._runtime.events
        while True:
            try:
                async for container_id, what in source():
                    self._listening = True
                    self._heard(container_id, what)
            except RuntimeFailure as error:
                if error.code == "Unimplemented":
                    if self._fallback is not None or not containerd_socket:
                        log.info("the runtime sends no events; it is asked every %.1f s", self._period)
                        self._listening = False
                        return
                    self._fallback = ContainerdApi(containerd_socket)
                    source = self._fallback.task_events
                    self._listening = True
                    continue
                log.debug("events: %s", error)
            # Whatever happened while nobody listened is found by the next relist.
            self._listening = False
            self._hint.set()
            await self._clock.sleep(1.0)
            self._listening = self._fallback is not None

    def _heard(self, container_id: str, what: str) -> None:
        if what == "exited" and not self._exits.full():
            self._exits.put_nowait(container_id)
        elif container_id not in self._owner:
            self._hint.set()
        else:
            self._changed(self._owner[container_id])

    async def _follow_exits(self) -> None:
        """After an exit event: ask until the runtime says so too, then tell the worker."""
        async with asyncio.TaskGroup() as group:
            while True:
                container_id = await self._exits.get()
                group.create_task(self._follow_exit(container_id), name=f"exit of {container_id[:13]}")

    async def _follow_exit(self, container_id: str) -> None:
        for wait in _AFTER_EXIT:
            await self._clock.sleep(wait)
            uid = self._owner.get(container_id)
            if uid is None:
                continue  # so short a life that nobody has looked yet; or none of ours
            try:
                state = await self.refresh(uid)
            except RuntimeFailure:
                break
            one = next((c for c in state.containers if c.id == container_id), None)
            sandbox = next((s for s in state.sandboxes if s.id == container_id), None)
            if (one is None or one.state == runtime.EXITED) and (sandbox is None or not sandbox.ready):
                self._changed(uid)
                return
        self._hint.set()

    async def close(self) -> None:
        if self._fallback is not None:
            await self._fallback.close()


def _signature(sandboxes: list[SandboxState], containers: list[ContainerState]) -> object:
    return (
        tuple(sorted((s.id, s.ready) for s in sandboxes)),
        tuple(sorted((c.id, c.state) for c in containers)),
    )


def _label(containers: list[ContainerState], name: str) -> str:
    return containers[0].labels.get(name, "") if containers else ""


def log_file(directory: Path, container: ContainerState) -> Path:
    """Where a container's log lies, as the runtime tells or as it must be."""
    return Path(container.log_path) if container.log_path else directory / container.name / f"{container.attempt}.log"
