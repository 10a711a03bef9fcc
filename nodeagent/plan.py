"""What to do about a pod: from its specification and what the runtime holds of it to a list of actions. Pure.

    compute(pod, state, health) -> Plan

Called by the worker at each look at a pod that is to run (a pod that is to end has no plan: everything is stopped).
The rules are the original's computePodActions: sandbox first, then init containers one after the other with sidecars kept
alive, then the rest; a container is replaced when its image changed or a probe gave it up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodeagent import podspec, resize, runtime
from nodeagent.podspec import EPHEMERAL, INIT, REGULAR
from nodeagent.runtime import ContainerState, PodState, SandboxState

Obj = dict[str, Any]

LIVENESS, STARTUP, UNKNOWN = "LivenessProbe", "StartupProbe", "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes say of a container id. Startup: None while undecided or without a startup probe."""

    liveness_failed: Callable[[str], bool] = lambda _: False
    startup: Callable[[str], bool | None] = lambda _: None
    has_startup: Callable[[str], bool] = lambda _: False
    resources: Callable[[ContainerState], Mapping[str, Any] | None] = lambda _: None
    """The resources that a running container has; None when it does not tell."""


@dataclass(frozen=True, slots=True)
class Resize:
    """A running container whose resources have to be changed, without stopping it."""

    container: ContainerState
    spec: Obj


@dataclass(frozen=True, slots=True)
class Kill:
    """A running container to stop. reason: "" or a probe's name, which may carry its own grace period."""

    container: ContainerState
    message: str
    reason: str = ""


@dataclass(slots=True)
class Plan:
    """kill_pod: stop everything first. Indexes are into the pod's lists of containers, in the order to start them."""

    kill_pod: bool = False
    create_sandbox: bool = False
    sandbox_id: str = ""
    attempt: int = 0
    start_init: list[int] = field(default_factory=list)
    start_ephemeral: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    resizes: list[Resize] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        start = self.start_init or self.start_ephemeral or self.start
        return not (self.kill_pod or self.create_sandbox or start or self.kills or self.resizes)


def sandbox_changed(pod: Obj, state: PodState) -> tuple[bool, int, str]:
    """(whether a new sandbox is needed, its attempt, the newest sandbox's id or "")."""
    newest: SandboxState | None = state.sandbox
    if newest is None:
        return True, 0, ""
    ready = sum(sandbox.ready for sandbox in state.sandboxes)
    if ready > 1 or not newest.ready:
        return True, newest.attempt + 1, newest.id
    if newest.host_network != podspec.host_network(pod):
        return True, newest.attempt + 1, ""
    if not podspec.host_network(pod) and not newest.ips:
        return True, newest.attempt + 1, newest.id
    return False, newest.attempt, newest.id


def compute(pod: Obj, state: PodState, health: Health) -> Plan:
    """The actions that bring what runs closer to what is wanted."""
    changed, attempt, sandbox_id = sandbox_changed(pod, state)
    plan = Plan(kill_pod=changed, create_sandbox=changed, sandbox_id=sandbox_id, attempt=attempt)
    if changed:
        _plan_new_sandbox(pod, state, plan)
        return plan
    for index, container in enumerate(pod["spec"].get(EPHEMERAL) or ()):
        # Never started twice, whatever became of it.
        if state.container(container["name"]) is None:
            plan.start_ephemeral.append(index)
    if not _plan_init(pod, state, health, plan) or plan.kill_pod:
        return plan
    kept = _plan_regular(pod, state, health, plan)
    if not kept and not plan.start:
        # All done: sidecars do not keep a pod alive.
        plan.kill_pod = True
        plan.start_init = []
    return plan


def _plan_new_sandbox(pod: Obj, state: PodState, plan: Plan) -> None:
    policy = podspec.restart_policy(pod)
    if policy == "Never" and plan.attempt and state.containers and not _any_restartable(pod, state):
        # Its containers ran, and are not to run again: no sandbox for nothing.
        plan.create_sandbox = False
        return
    wanted = []
    for index, container in enumerate(pod["spec"][REGULAR]):
        newest = state.container(container["name"])
        own = container.get("restartPolicy") or policy
        if newest is not None and own == "OnFailure" and podspec.succeeded(newest):
            continue
        wanted.append(index)
    if not wanted and (not pod["spec"].get(INIT) or podspec.has_regular_created(pod, state)):
        plan.create_sandbox = False
        return
    if pod["spec"].get(INIT):
        plan.start_init = [0]
        return
    plan.start = wanted


def _any_restartable(pod: Obj, state: PodState) -> bool:
    for _, container in podspec.containers(pod, REGULAR):
        newest = state.container(container["name"])
        if (
            newest is not None
            and podspec.restarts_after(pod, container, newest.exit_code)
            and container.get("restartPolicy")
        ):
            return True
    return False


def _plan_init(pod: Obj, state: PodState, health: Health, plan: Plan) -> bool:
    """Plan the init containers; whether initialisation is over, so that regular containers may start."""
    containers = pod["spec"].get(INIT) or []
    if not containers:
        return True
    if podspec.has_regular_created(pod, state):
        for index, container in enumerate(containers):
            if podspec.is_sidecar(container):
                _keep_sidecar(index, container, state, health, plan)
        return True
    for index, container in enumerate(containers):
        verdict = _init_step(pod, index, container, state, health, plan)
        if verdict is not None:
            return verdict
    return True


def _init_step(pod: Obj, index: int, container: Obj, state: PodState, health: Health, plan: Plan) -> bool | None:
    """One init container, those before it being done. None: go on to the next; False: wait here."""
    newest = state.container(container["name"])
    if podspec.is_sidecar(container):
        return None if _keep_sidecar(index, container, state, health, plan) else False
    if newest is None or newest.state == runtime.CREATED:
        if _ran_later(pod, index, state):
            return None  # the runtime forgot it, but a later one could only run because it was done
        plan.start_init.append(index)
        return False
    if newest.state == runtime.RUNNING:
        return False
    if newest.state == runtime.UNKNOWN:
        plan.kills.append(
            Kill(newest, f"Init container is in {_quoted(newest.state)} state, try killing it before restart", UNKNOWN)
        )
        plan.start_init.append(index)
        return False
    if newest.exit_code == 0:
        return None
    if podspec.restarts_after(pod, container, newest.exit_code):
        plan.start_init.append(index)
        return False
    # It failed for good, and the pod with it.
    plan.kill_pod = True
    plan.start_init = []
    return False


def _ran_later(pod: Obj, index: int, state: PodState) -> bool:
    later = (pod["spec"].get(INIT) or [])[index + 1 :]
    return any(state.container(container["name"]) is not None for container in later)


def _keep_sidecar(index: int, container: Obj, state: PodState, health: Health, plan: Plan) -> bool:
    """Start or replace a sidecar as needed; whether it runs and has started, so that the next one may."""
    newest = state.container(container["name"])
    if newest is None or newest.state != runtime.RUNNING:
        if newest is not None and newest.state == runtime.UNKNOWN:
            plan.kills.append(
                Kill(
                    newest,
                    f"Init container is in {_quoted(newest.state)} state, try killing it before restart",
                    UNKNOWN,
                )
            )
        plan.start_init.append(index)
        return False
    kill = _failed(container, newest, health, "Init container")
    if kill is not None:
        plan.kills.append(kill)
        plan.start_init.append(index)
        return False
    _plan_resize(container, newest, health, plan)
    return not health.has_startup(newest.id) or health.startup(newest.id) is True


def _failed(container: Obj, newest: ContainerState, health: Health, word: str) -> Kill | None:
    """Why a running container has to be replaced, if it has to."""
    if newest.hash and newest.hash != podspec.container_hash(container):
        return Kill(newest, f"{word} {container['name']} definition changed")
    if health.liveness_failed(newest.id):
        return Kill(newest, f"{word} {container['name']} failed liveness probe", LIVENESS)
    if health.startup(newest.id) is False:
        return Kill(newest, f"{word} {container['name']} failed startup probe", STARTUP)
    given = health.resources(newest)
    if given is not None and resize.needs_restart(container, given, container.get("resources") or {}):
        return Kill(newest, f"{word} {container['name']} resize requires restart")
    return None


def _plan_resize(container: Obj, newest: ContainerState, health: Health, plan: Plan) -> None:
    given = health.resources(newest)
    if given is not None and resize.changed(given, container.get("resources") or {}):
        plan.resizes.append(Resize(newest, container))


def _plan_regular(pod: Obj, state: PodState, health: Health, plan: Plan) -> int:
    """Plan the regular containers; how many run and are left alone."""
    kept = 0
    for index, container in enumerate(pod["spec"][REGULAR]):
        newest = state.container(container["name"])
        if newest is None or newest.state != runtime.RUNNING:
            if podspec.should_start(pod, container, state):
                plan.start.append(index)
                if newest is not None and newest.state == runtime.UNKNOWN:
                    message = f"Container is in {_quoted(newest.state)} state, try killing it before restart"
                    plan.kills.append(Kill(newest, message, UNKNOWN))
            continue
        kill = _failed(container, newest, health, "Container")
        if kill is None:
            kept += 1
            _plan_resize(container, newest, health, plan)
            continue
        # A changed definition restarts whatever the policy says. A killed process ends with an error.
        restart = not kill.reason or podspec.restarts_after(pod, container, 137)
        if restart:
            plan.start.append(index)
            kill = Kill(kill.container, f"{kill.message}, will be restarted", kill.reason)
        plan.kills.append(kill)
    return kept


def _quoted(state: str) -> str:
    return f'"{state}"'
