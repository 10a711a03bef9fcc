"""Ending containers: the preStop hook, then the signal, within the grace period; sidecars last, in reverse order.

Called by the worker when a pod ends or its sandbox has to go, and for single containers that are replaced.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson

from apimachinery import clock as clocks
from nodeagent import hooks, plan, podspec, runtime
from nodeagent.context import NodeContext
from nodeagent.podspec import INIT
from nodeagent.runtime import ContainerState, PodState, RuntimeFailure

log = logging.getLogger(__name__)

Obj = dict[str, Any]

MIN_GRACE = 2  # seconds that every container gets, to save it from a needless SIGKILL
_PROBES = {plan.LIVENESS: "livenessProbe", plan.STARTUP: "startupProbe"}


def orphan(state: PodState) -> Obj:
    """As much of a pod as its containers remember: enough to end it when the API no longer has it."""
    containers: list[Obj] = []
    grace = podspec.DEFAULT_GRACE
    for container in state.containers:
        one: Obj = {"name": container.name, "image": container.image}
        if container.annotations.get(runtime.PRE_STOP):
            one["lifecycle"] = {"preStop": orjson.loads(container.annotations[runtime.PRE_STOP])}
        if container.annotations.get(runtime.PORTS):
            one["ports"] = orjson.loads(container.annotations[runtime.PORTS])
        if container.annotations.get(runtime.GRACE_PERIOD, "").isdigit():
            grace = int(container.annotations[runtime.GRACE_PERIOD])
        if all(known["name"] != container.name for known in containers):
            containers.append(one)
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"uid": state.uid, "namespace": state.namespace, "name": state.name},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": grace},
    }


async def stop_container(
    node: NodeContext,
    pod: Obj,
    container: ContainerState,
    pod_ip: str,
    *,
    grace: float | None = None,
    message: str = "",
    reason: str = "",
    told: set[str] | None = None,
) -> None:
    """End one container. grace: seconds, None for the pod's (or the failed probe's) own. RuntimeFailure.

    told: ids of which a Killing event was sent; a shortened grace period stops a container again, but tells it once.
    """
    found = podspec.find(pod, container.name)
    spec: Obj = found[1] if found else {"name": container.name}
    seconds = float(podspec.grace_period(pod)) if grace is None else grace
    if grace is None and reason in _PROBES:
        own = (spec.get(_PROBES[reason]) or {}).get("terminationGracePeriodSeconds")
        seconds = seconds if own is None else float(own)
    first = told is None or container.id not in told
    if first:
        if told is not None:
            told.add(container.id)
        node.tell(pod, container.name, "Normal", "Killing", message or f"Stopping container {container.name}")
    begun = node.clock.monotonic()
    hook = (spec.get("lifecycle") or {}).get("preStop")
    if hook and first and seconds > 0:
        await _pre_stop(node, pod, spec, container, hook, pod_ip, seconds)
        seconds -= node.clock.monotonic() - begun
    try:
        await node.runtime.stop_container(container.id, max(MIN_GRACE, seconds))
    except RuntimeFailure as error:
        if error.code != "NotFound":
            raise


async def _pre_stop(
    node: NodeContext, pod: Obj, spec: Obj, container: ContainerState, hook: Obj, pod_ip: str, seconds: float
) -> None:
    try:
        running = hooks.run(node.runtime, node.clock, pod, spec, container.id, hook, pod_ip)
        await clocks.wait_for(node.clock, running, seconds)
    except TimeoutError:
        log.warning(
            "preStop hook of %s in %s took longer than its %.0f s", spec["name"], podspec.describe(pod), seconds
        )
    except hooks.HookFailed as error:
        log.warning("%s", error)
        node.tell(pod, container.name, "Warning", "FailedPreStopHook", "PreStopHook failed")


async def stop_all(node: NodeContext, pod: Obj, state: PodState, grace: float, told: set[str]) -> None:
    """End every container of the pod: all but sidecars at once, then sidecars from the last to the first."""
    deadline = node.clock.monotonic() + grace
    alive = [c for c in state.containers if c.state in (runtime.RUNNING, runtime.UNKNOWN)]
    order = [container["name"] for _, container in podspec.containers(pod, INIT) if podspec.is_sidecar(container)]
    pod_ip = state.sandbox.ips[0] if state.sandbox and state.sandbox.ips else ""
    failures: list[RuntimeFailure] = []

    async def stop(container: ContainerState) -> None:
        left = max(0.0, deadline - node.clock.monotonic())
        try:
            await stop_container(node, pod, container, pod_ip, grace=left, told=told)
        except RuntimeFailure as error:
            failures.append(error)

    await asyncio.gather(*(stop(container) for container in alive if container.name not in order))
    for name in reversed(order):
        for container in alive:
            if container.name == name:
                await stop(container)
    if failures:
        raise failures[0]


async def stop_sandboxes(node: NodeContext, state: PodState) -> None:
    """Stop every sandbox: its network is given back, its processes end. RuntimeFailure."""
    for sandbox in state.sandboxes:
        try:
            await node.runtime.stop_sandbox(sandbox.id)
        except RuntimeFailure as error:
            if error.code != "NotFound":
                raise


async def remove_everything(node: NodeContext, state: PodState) -> None:
    """Remove the pod's containers and sandboxes from the runtime, logs included by the caller. RuntimeFailure."""
    for container in state.containers:
        await _ignore_missing(node.runtime.remove_container(container.id))
    for sandbox in state.sandboxes:
        await _ignore_missing(node.runtime.stop_sandbox(sandbox.id))
        await _ignore_missing(node.runtime.remove_sandbox(sandbox.id))


async def _ignore_missing(call: Any) -> None:
    try:
        await call
    except RuntimeFailure as error:
        if error.code != "NotFound":
            raise


async def collect_garbage(node: NodeContext, state: PodState) -> None:
    """Keep of each container the newest and the one before it, whose logs --previous shows; drop older ones."""
    for name in {container.name for container in state.containers}:
        for old in state.attempts(name)[2:]:
            if old.state == runtime.EXITED:
                await _ignore_missing(node.runtime.remove_container(old.id))
                if old.log_path:
                    await asyncio.to_thread(_unlink, old.log_path)
    used = {container.sandbox_id for container in state.containers}
    for sandbox in state.sandboxes[1:]:
        if not sandbox.ready and sandbox.id not in used:
            await _ignore_missing(node.runtime.remove_sandbox(sandbox.id))


def _unlink(path: str) -> None:
    from pathlib import Path

    Path(path).unlink(missing_ok=True)
