"""A pod's status as the API shows it, from its specification and what the runtime holds. Pure.

Called by the worker after each look. Phase, conditions, container states and their order follow the original's
generateAPIPodStatus; the texts are part of what users and tools read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import meta, pods, times
from nodeagent import plan, podspec, runtime
from nodeagent.podspec import EPHEMERAL, INIT, REGULAR
from nodeagent.runtime import ContainerState, PodState

Obj = dict[str, Any]

CONDITIONS_OF_KUBELET = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
)
_FIELDS = {
    INIT: "initContainerStatuses",
    REGULAR: "containerStatuses",
    EPHEMERAL: "ephemeralContainerStatuses",
}
_LOST = "The container could not be located when the pod was terminated"
_LOST_RUNNING = "The container could not be located when the pod was deleted.  The container used to be Running"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a status needs beside pod and runtime.

    waiting: container name -> (reason, message) of why it could not be started. started, ready: what the probes say of
    (container, its state). host_ips: the node's. terminal: the pod will not be restarted. forced: (phase, reason, message)
    set by eviction, deadline or admission. resize: (reason, message) of why a resize waits. resources: container name -> what
    was allocated to it. now: seconds since the epoch. scheme: the runtime's name in container ids.
    """

    scheme: str
    now: float
    host_ips: Sequence[str]
    old: Obj
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    started: Callable[[Obj, ContainerState], bool] = lambda c, s: True
    ready: Callable[[Obj, ContainerState], bool] = lambda c, s: True
    terminal: bool = False
    forced: tuple[str, str, str] | None = None
    resize: tuple[str, str] | None = None
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recursive_read_only: bool = False


def generate(pod: Obj, state: PodState, facts: Facts) -> Obj:
    """The whole status object."""
    old = facts.old
    regular = _statuses(pod, state, facts, REGULAR)
    init = _statuses(pod, state, facts, INIT)
    ephemeral = _statuses(pod, state, facts, EPHEMERAL)
    phase = _phase(pod, [*regular, *init], facts.terminal, podspec.has_regular_created(pod, state))
    finished = ("Failed", "Succeeded")
    for known in (old.get("phase"), pods.phase(pod)):
        if known in finished:
            phase = str(known)  # never out of a terminal phase
            break
    status: Obj = {"observedGeneration": meta.generation(pod), "phase": phase}
    for name in ("reason", "message"):
        kept = old.get(name) or (pod.get("status") or {}).get(name)
        if phase == old.get("phase") and kept:
            status[name] = kept
    if facts.forced and not (pods.phase(pod) in finished or old.get("phase") in finished):
        status["phase"], status["reason"], status["message"] = facts.forced
        phase = status["phase"]
    _mark_ready(pod, state, facts, regular, init)
    _add_addresses(pod, state, facts, status)
    status["qosClass"] = pods.compute_qos_class(pod)
    status["startTime"] = (
        old.get("startTime") or (pod.get("status") or {}).get("startTime") or times.format_time(facts.now)
    )
    for name, entries in (
        ("initContainerStatuses", init),
        ("containerStatuses", regular),
        ("ephemeralContainerStatuses", ephemeral),
    ):
        if entries:
            status[name] = entries
    status["conditions"] = _conditions(pod, state, facts, phase, init, regular)
    return {name: value for name, value in status.items() if value not in ("", None)}


def _add_addresses(pod: Obj, state: PodState, facts: Facts, status: Obj) -> None:
    if facts.host_ips:
        status["hostIP"] = facts.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    ready = next((sandbox for sandbox in state.sandboxes if sandbox.ready), None)
    ips: Sequence[str] = ready.ips if ready else ()
    if podspec.host_network(pod):
        ips = facts.host_ips
    elif ready is None:
        # Without a sandbox that is alive, the address the pod had is still what it is known by.
        ips = [entry["ip"] for entry in facts.old.get("podIPs") or ()]
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


# ---- phase


def _phase(pod: Obj, statuses: list[Obj], terminal: bool, initialized: bool) -> str:
    known = {entry["name"]: entry for entry in statuses}
    failed_for_good, pending_regular = _count_init(pod, known)
    if failed_for_good:
        return "Failed"
    unknown = running = waiting = stopped = stopped_for_good = succeeded = pending_sidecars = 0
    for _, container in podspec.containers(pod, INIT):
        if not podspec.is_sidecar(container):
            continue
        entry = known.get(container["name"])
        state = (entry or {}).get("state") or {}
        if entry is None:
            unknown += 1
        elif "running" in state:
            pending_sidecars += not entry.get("started")
            running += 1
        elif "terminated" in state or _terminated(entry):
            pass
        else:
            pending_sidecars += 1
            waiting += 1
    for _, container in podspec.containers(pod, REGULAR):
        entry = known.get(container["name"])
        state = (entry or {}).get("state") or {}
        if entry is None:
            unknown += 1
        elif "running" in state:
            running += 1
        elif "terminated" in state or _terminated(entry):
            ended = state.get("terminated") or _terminated(entry) or {}
            stopped += 1
            stopped_for_good += not podspec.restarts_after(pod, container, ended["exitCode"])
            succeeded += "terminated" in state and ended["exitCode"] == 0
        else:
            waiting += 1
    if pending_regular or (pending_sidecars and not initialized) or waiting:
        return "Pending"
    if running and not unknown:
        return "Running"
    if not running and stopped and not unknown:
        if not terminal and stopped != stopped_for_good:
            return "Running"  # between two lives
        return "Succeeded" if stopped == succeeded else "Failed"
    return "Pending"


def _terminated(entry: Obj) -> Obj | None:
    last: Obj | None = (entry.get("lastState") or {}).get("terminated")
    return last


def _count_init(pod: Obj, known: Mapping[str, Obj]) -> tuple[int, int]:
    """How many plain init containers failed for good, and how many are not done."""
    failed = pending = 0
    for _, container in podspec.containers(pod, INIT):
        if podspec.is_sidecar(container):
            continue
        entry = known.get(container["name"]) or {}
        state = entry.get("state") or {}
        ended = state.get("terminated") or ("waiting" in state and _terminated(entry)) or None
        if ended is None or "running" in state:
            pending += 1
        elif ended["exitCode"] != 0:
            failed += not podspec.restarts_after(pod, container, ended["exitCode"])
    return failed, pending


# ---- containers


def _statuses(pod: Obj, state: PodState, facts: Facts, kind: str) -> list[Obj]:
    """The statuses of one kind of container; the original sorts all but init containers by name."""
    old = {entry["name"]: entry for entry in facts.old.get(_FIELDS[kind]) or ()}
    result = []
    for _, container in podspec.containers(pod, kind):
        result.append(_status(pod, container, state, facts, kind, old.get(container["name"])))
    return result if kind == INIT else sorted(result, key=lambda entry: str(entry["name"]))


def _status(pod: Obj, container: Obj, state: PodState, facts: Facts, kind: str, old: Obj | None) -> Obj:
    attempts = state.attempts(container["name"])
    if attempts:
        entry = _from_runtime(container, attempts[0], facts, old)
        if len(attempts) > 1:
            entry["lastState"] = _state(attempts[1], facts, None)
    else:
        entry = _without_container(pod, container, old)
    _add_resources(container, facts, entry, attempts[0] if attempts else None, kind)
    mounts = [_mount_status(mount, facts) for mount in container.get("volumeMounts") or ()]
    if mounts:
        entry["volumeMounts"] = mounts
    if kind == INIT and attempts and podspec.succeeded(attempts[0]) and not podspec.is_sidecar(container):
        return entry
    reason = facts.waiting.get(container["name"])
    if reason and (
        (kind == EPHEMERAL and not attempts) or (kind != EPHEMERAL and podspec.should_start(pod, container, state))
    ):
        if "terminated" in entry["state"]:
            entry["lastState"] = entry["state"]
        entry["state"] = {"waiting": {"reason": reason[0], **({"message": reason[1]} if reason[1] else {})}}
    return entry


def _without_container(pod: Obj, container: Obj, old: Obj | None) -> Obj:
    """A container that the runtime does not have: not started yet, or lost."""
    waiting = "PodInitializing" if pod["spec"].get(INIT) else "ContainerCreating"
    entry: Obj = {
        "name": container["name"],
        "state": {"waiting": {"reason": waiting}},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": container.get("image", ""),
        "imageID": "",
    }
    if old is None:
        return entry
    if "terminated" in (old.get("state") or {}):
        return {**old, "lastState": old.get("lastState") or {}}
    entry["restartCount"] = old.get("restartCount") or 0
    entry["lastState"] = old.get("lastState") or {}
    if "running" in (old.get("state") or {}) and not entry["lastState"].get("terminated"):
        entry["lastState"] = {
            "terminated": {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": _LOST_RUNNING,
                "startedAt": None,
                "finishedAt": None,
            }
        }
        if not meta.deleting(pod):
            entry["restartCount"] += 1
    return entry


def _from_runtime(container: Obj, newest: ContainerState, facts: Facts, old: Obj | None) -> Obj:
    entry: Obj = {
        "name": container["name"],
        "state": _state(newest, facts, old),
        "lastState": (old or {}).get("lastState") or {},
        "ready": False,
        "restartCount": newest.restart_count,
        "image": newest.image or container.get("image", ""),
        "imageID": newest.image_ref,
        "containerID": f"{facts.scheme}://{newest.id}",
    }
    if newest.user is not None:
        uid, gid, groups = newest.user
        entry["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    return entry


def _state(container: ContainerState, facts: Facts, old: Obj | None) -> Obj:
    if container.state == runtime.RUNNING:
        return {"running": {"startedAt": times.format_time(container.started_at)}}
    if container.state == runtime.EXITED:
        ended: Obj = {"exitCode": container.exit_code}
        if container.reason:
            ended["reason"] = container.reason
        if container.message:
            ended["message"] = container.message
        ended["startedAt"] = times.format_time(container.started_at) if container.started_at > 0 else None
        ended["finishedAt"] = times.format_time(container.finished_at) if container.finished_at > 0 else None
        ended["containerID"] = f"{facts.scheme}://{container.id}"
        return {"terminated": ended}
    if container.state == runtime.UNKNOWN and "running" in ((old or {}).get("state") or {}):
        lost = {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": _LOST,
            "startedAt": None,
            "finishedAt": None,
        }
        return {"terminated": lost}
    return {"waiting": {}}


def _add_resources(container: Obj, facts: Facts, entry: Obj, newest: ContainerState | None, kind: str) -> None:
    if newest is None or kind == EPHEMERAL:
        return
    own = facts.resources.get(container["name"]) or container.get("resources") or {}
    entry["resources"] = {name: own[name] for name in ("limits", "requests", "claims") if own.get(name)}
    if own.get("requests"):
        entry["allocatedResources"] = own["requests"]


def _mount_status(mount: Obj, facts: Facts) -> Obj:
    result: Obj = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        result["readOnly"] = True
        mode = mount.get("recursiveReadOnly") or "Disabled"
        wanted = mode in ("Enabled", "IfPossible") and facts.recursive_read_only
        result["recursiveReadOnly"] = "Enabled" if wanted else "Disabled"
    return result


def _mark_ready(pod: Obj, state: PodState, facts: Facts, regular: list[Obj], init: list[Obj]) -> None:
    """started and ready, which the probes decide."""
    for kind, entries in ((REGULAR, regular), (INIT, init)):
        specs = {container["name"]: container for _, container in podspec.containers(pod, kind)}
        for entry in entries:
            container, newest = specs[entry["name"]], state.container(entry["name"])
            runs = newest is not None and "running" in entry["state"]
            entry["started"] = bool(runs and newest is not None and facts.started(container, newest))
            if kind == INIT and not podspec.is_sidecar(container):
                ended = entry["state"].get("terminated")
                entry["ready"] = bool(ended and ended["exitCode"] == 0)
            else:
                entry["ready"] = bool(entry["started"] and newest is not None and facts.ready(container, newest))


# ---- conditions


def _conditions(pod: Obj, state: PodState, facts: Facts, phase: str, init: list[Obj], regular: list[Obj]) -> list[Obj]:
    known = {entry["name"]: entry for entry in (*init, *regular)}
    foreign = [
        entry
        for entry in (pod.get("status") or {}).get("conditions") or ()
        if entry.get("type") not in CONDITIONS_OF_KUBELET
    ]
    disruption = meta.find_condition(facts.old.get("conditions"), "DisruptionTarget")
    if disruption is not None:
        foreign = [entry for entry in foreign if entry["type"] != "DisruptionTarget"] + [disruption]
    sandbox_missing, _, _ = plan.sandbox_changed(pod, state)
    containers_ready = _containers_ready(pod, known, phase)
    fresh = [
        ("PodReadyToStartContainers", not sandbox_missing, "", ""),
        ("Initialized", *_initialized(pod, known, phase)),
        ("Ready", *_pod_ready(pod, foreign, containers_ready)),
        ("ContainersReady", *containers_ready),
        ("PodScheduled", True, "", ""),
    ]
    if facts.resize is not None:
        fresh.append(("PodResizePending", True, *facts.resize))
    old = facts.old.get("conditions") or (pod.get("status") or {}).get("conditions") or ()
    return [*foreign, *(_condition(pod, old, facts.now, *entry) for entry in fresh)]


def _condition(pod: Obj, old: Sequence[Obj], now: float, kind: str, holds: bool, reason: str, message: str) -> Obj:
    status = "True" if holds else "False"
    before = meta.find_condition(old, kind)
    since = before.get("lastTransitionTime") if before and before.get("status") == status else None
    entry: Obj = {"type": kind, "status": status, "observedGeneration": meta.generation(pod), "lastProbeTime": None}
    entry["lastTransitionTime"] = since or times.format_time(now)
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    return entry


def _listed(names: Sequence[str]) -> str:
    """A list as Go prints it."""
    return "[" + " ".join(names) + "]"


def _explain(unknown: Sequence[str], unready: Sequence[str], word: str) -> str:
    parts = []
    if unknown:
        parts.append(f"containers with unknown status: {_listed(unknown)}")
    if unready:
        parts.append(f"containers with {word} status: {_listed(unready)}")
    return ", ".join(parts)


def _containers_ready(pod: Obj, known: Mapping[str, Obj], phase: str) -> tuple[bool, str, str]:
    counted = [c["name"] for _, c in podspec.containers(pod, INIT) if podspec.is_sidecar(c)]
    counted += [c["name"] for _, c in podspec.containers(pod, REGULAR)]
    unknown = [name for name in counted if name not in known]
    unready = [name for name in counted if name in known and not known[name]["ready"]]
    if phase == "Succeeded" and not unknown:
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    message = _explain(unknown, unready, "unready")
    return (False, "ContainersNotReady", message) if message else (True, "", "")


def _pod_ready(pod: Obj, conditions: Sequence[Obj], containers: tuple[bool, str, str]) -> tuple[bool, str, str]:
    if not containers[0]:
        return containers
    problems = []
    for gate in pod["spec"].get("readinessGates") or ():
        found = meta.find_condition(conditions, gate["conditionType"])
        name = f'"{gate["conditionType"]}"'
        if found is None:
            problems.append(f"corresponding condition of pod readiness gate {name} does not exist.")
        elif found.get("status") != "True":
            problems.append(f'the status of pod readiness gate {name} is not "True", but {found.get("status")}')
    return (False, "ReadinessGatesNotReady", ", ".join(problems)) if problems else (True, "", "")


def _initialized(pod: Obj, known: Mapping[str, Obj], phase: str) -> tuple[bool, str, str]:
    unknown, incomplete = [], []
    for _, container in podspec.containers(pod, INIT):
        entry = known.get(container["name"])
        if entry is None:
            unknown.append(container["name"])
        elif not entry["started" if podspec.is_sidecar(container) else "ready"]:
            incomplete.append(container["name"])
    if phase == "Succeeded" and not unknown:
        return True, "PodCompleted", ""
    if any(_has_started(known.get(container["name"])) for _, container in podspec.containers(pod, REGULAR)):
        return True, "", ""
    message = _explain(unknown, incomplete, "incomplete")
    return (False, "ContainersNotInitialized", message) if message else (True, "", "")


def _has_started(entry: Obj | None) -> bool:
    if entry is None:
        return False
    state = entry.get("state") or {}
    return bool(entry.get("started") or "running" in state or "terminated" in state or _terminated(entry))


def finish(pod: Obj, status: Obj) -> Obj:
    """The last status of a pod whose containers are all gone: none may be left waiting or running for ever."""
    result = dict(status)
    for name in ("initContainerStatuses", "containerStatuses"):
        if result.get(name):
            result[name] = [_finish_container(entry, name) for entry in result[name]]
    return result


def _finish_container(entry: Obj, kind: str) -> Obj:
    state = entry.get("state") or {}
    if "terminated" in state or _terminated(entry):
        return entry
    if kind == "initContainerStatuses" and "waiting" in state:
        return entry
    lost = {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": _LOST,
        "startedAt": None,
        "finishedAt": None,
    }
    return {**entry, "state": {"terminated": lost}, "ready": False, "started": False}
