"""Liveness, readiness and startup probes: one task per running container and probe, and what they have found.

    sync(pod, state)      start tasks for what runs now, end those of what is gone
    health()              what plan.py asks; started() and ready() are what status.py asks

A probe's period is measured on the injected clock; asking itself takes real time. Counting, thresholds, initial results
and texts are the original's prober's: liveness starts as a success, readiness as a failure, startup as undecided;
liveness and readiness wait for startup.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apimachinery.clock import Clock
from nodeagent import handlers, podspec, runtime
from nodeagent.handlers import FAILURE, SUCCESS, UNKNOWN, WARNING, Answer
from nodeagent.plan import Health
from nodeagent.podspec import INIT, REGULAR
from nodeagent.runtime import ContainerState, PodState, Runtime

log = logging.getLogger(__name__)

Obj = dict[str, Any]
Key = tuple[str, str]
"""(container id, kind of probe)"""

LIVENESS, READINESS, STARTUP = "livenessProbe", "readinessProbe", "startupProbe"
_WORDS = {LIVENESS: "Liveness", READINESS: "Readiness", STARTUP: "Startup"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is probed. pod_ip is asked each time, since a sandbox may get its address late."""

    pod: Obj
    container: Obj
    container_id: str
    started_at: float
    pod_ip: str


def _first_result(subject: Subject, probe: str) -> bool | None:
    """What counts before the first answer. A container that was ready before the agent restarted stays so."""
    if probe == LIVENESS:
        return True
    shown = subject.pod.get("status") or {}
    entries = [*(shown.get("containerStatuses") or ()), *(shown.get("initContainerStatuses") or ())]
    same: Obj = next((e for e in entries if (e.get("containerID") or "").endswith(f"://{subject.container_id}")), {})
    if probe == READINESS:
        return bool(same.get("ready"))
    return True if same.get("started") else None


class Probes:
    """All probes of the node. changed: called with a pod's uid when a result flipped. tell: an event about a container."""

    def __init__(
        self,
        source: Runtime,
        clock: Clock,
        *,
        changed: Callable[[str], None],
        tell: Callable[[Obj, str, str, str, str], None],
    ) -> None:
        self._runtime = source
        self._clock = clock
        self._changed = changed
        self._tell = tell
        self._tasks: dict[str, dict[Key, asyncio.Task[None]]] = {}
        self._results: dict[Key, bool | None] = {}
        self._latest: dict[str, Obj] = {}

    # ---- what was found

    def _result(self, container_id: str, kind: str) -> bool | None:
        return self._results.get((container_id, kind))

    def health(self) -> Health:
        return Health(
            liveness_failed=lambda cid: self._result(cid, LIVENESS) is False,
            startup=lambda cid: self._result(cid, STARTUP),
            has_startup=lambda cid: (cid, STARTUP) in self._results,
        )

    def started(self, container: Obj, state: ContainerState) -> bool:
        if state.state != runtime.RUNNING:
            return False
        return not container.get(STARTUP) or self._result(state.id, STARTUP) is True

    def ready(self, container: Obj, state: ContainerState) -> bool:
        if state.state != runtime.RUNNING:
            return False
        return not container.get(READINESS) or self._result(state.id, READINESS) is True

    # ---- running

    def sync(self, pod: Obj, state: PodState, group: asyncio.TaskGroup) -> None:
        """Probe what runs now and nothing else; tasks belong to the caller's group."""
        uid = pod["metadata"]["uid"]
        self._latest[uid] = pod
        wanted: dict[Key, tuple[Subject, str]] = {}
        sandbox = state.sandbox
        pod_ip = sandbox.ips[0] if sandbox and sandbox.ips else (pod.get("status") or {}).get("hostIP") or "127.0.0.1"
        for kind, container in podspec.containers(pod, INIT, REGULAR):
            newest = state.container(container["name"])
            if (
                newest is None
                or newest.state != runtime.RUNNING
                or (kind == INIT and not podspec.is_sidecar(container))
            ):
                continue
            subject = Subject(pod, container, newest.id, newest.started_at, pod_ip)
            for probe in (STARTUP, LIVENESS, READINESS):
                if container.get(probe):
                    wanted[newest.id, probe] = (subject, probe)
        tasks = self._tasks.setdefault(uid, {})
        for key in [key for key in tasks if key not in wanted]:
            tasks.pop(key).cancel()
            self._results.pop(key, None)
        for key, (subject, probe) in wanted.items():
            if key not in tasks:
                self._results[key] = _first_result(subject, probe)
                tasks[key] = group.create_task(
                    self._guarded(subject, probe), name=f"{probe} {subject.container['name']}"
                )

    def stop_restarting(self, uid: str) -> None:
        """The pod is ending: liveness and startup no longer matter, readiness still does."""
        for key, task in list(self._tasks.get(uid, {}).items()):
            if key[1] != READINESS:
                task.cancel()

    def stop(self, uid: str) -> None:
        self._latest.pop(uid, None)
        for key, task in self._tasks.pop(uid, {}).items():
            task.cancel()
            self._results.pop(key, None)

    async def _guarded(self, subject: Subject, kind: str) -> None:
        """A probe's edge: what it did not foresee is logged, and costs one probe of one container, not the agent."""
        try:
            await self._probe(subject, kind)
        except Exception:
            log.exception("%s of %s in %s failed", kind, subject.container["name"], podspec.describe(subject.pod))

    async def _probe(self, subject: Subject, kind: str) -> None:
        probe = subject.container[kind]
        period = float(probe.get("periodSeconds") or 10)
        key = (subject.container_id, kind)
        delay = float(probe.get("initialDelaySeconds") or 0) - max(0.0, self._clock.time() - subject.started_at)
        if delay > 0:
            await self._clock.sleep(delay)
        if kind == STARTUP and self._results.get(key) is True:
            return
        run, last = 0, ""
        while True:
            if kind == STARTUP or self._startup_done(subject):
                answer = await self._ask(subject, kind, probe)
                self._report(subject, kind, answer)
                if answer.result == UNKNOWN:
                    await self._clock.sleep(period)
                    continue
                good = answer.result in (SUCCESS, WARNING)
                run = run + 1 if last == str(good) else 1
                last = str(good)
                threshold = int((probe.get("successThreshold") or 1) if good else (probe.get("failureThreshold") or 3))
                if run >= threshold:
                    self._set(subject, key, good)
                    if kind == STARTUP and good:
                        return
                    if kind in (LIVENESS, STARTUP) and not good:
                        return  # the container is replaced; its successor has probes of its own
            await self._clock.sleep(period if kind == STARTUP or self._startup_done(subject) else min(1.0, period))

    def _startup_done(self, subject: Subject) -> bool:
        return not subject.container.get(STARTUP) or self._result(subject.container_id, STARTUP) is True

    def _set(self, subject: Subject, key: Key, good: bool) -> None:
        if key in self._results and self._results[key] is not good:
            self._results[key] = good
            self._changed(subject.pod["metadata"]["uid"])

    def _report(self, subject: Subject, kind: str, answer: Answer) -> None:
        word, name = _WORDS[kind], subject.container["name"]
        if answer.result == FAILURE:
            self._tell(subject.pod, name, "Warning", "Unhealthy", f"{word} probe failed: {answer.output}")
        elif answer.result == WARNING:
            self._tell(subject.pod, name, "Warning", "ProbeWarning", f"{word} probe warning: {answer.output}")
        elif answer.result == UNKNOWN:
            text = f"{word} probe errored and resulted in unknown state: {answer.output}"
            self._tell(subject.pod, name, "Warning", "Unhealthy", text)

    async def _ask(self, subject: Subject, kind: str, probe: Obj) -> Answer:
        """One attempt; what cannot be asked is tried three times, as in the original."""
        answer = Answer(UNKNOWN, "no handler")
        for _ in range(3):
            answer = await self._ask_once(subject, kind, probe)
            if answer.result != UNKNOWN:
                break
        return answer

    async def _ask_once(self, subject: Subject, kind: str, probe: Obj) -> Answer:
        pod = self._latest.get(subject.pod["metadata"]["uid"], subject.pod)
        canned = self._runtime.canned_probe(pod, subject.container_id, kind)
        if canned is not None:
            return Answer(SUCCESS if canned else FAILURE, "" if canned else "the container is simulated as failing")
        timeout = float(probe.get("timeoutSeconds") or 1)
        if probe.get("exec"):
            command = probe["exec"].get("command") or []
            answer = await handlers.run_command(self._runtime, subject.container_id, command, timeout)
            late = answer.result == FAILURE and answer.output.endswith(" timed out")
            return Answer(FAILURE, f"{answer.output} after {timeout:g}s") if late else answer
        if probe.get("httpGet"):
            return await handlers.get_http(probe["httpGet"], subject.container, subject.pod_ip, timeout)
        if probe.get("tcpSocket"):
            try:
                port = handlers.resolve_port(probe["tcpSocket"]["port"], subject.container)
            except ValueError as error:
                return Answer(UNKNOWN, str(error))
            return await handlers.open_port(probe["tcpSocket"].get("host") or subject.pod_ip, port, timeout)
        if probe.get("grpc"):
            action = probe["grpc"]
            return await handlers.ask_grpc(subject.pod_ip, int(action["port"]), action.get("service") or "", timeout)
        return Answer(UNKNOWN, f"missing probe handler for {podspec.describe(subject.pod)}:{subject.container['name']}")
