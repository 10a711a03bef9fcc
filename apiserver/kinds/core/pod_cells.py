"""A pod's table row: what `kubectl get pods` shows of its containers' states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells as shared
from apiserver.registry.kind import Obj

_SUCCEEDED = {
    "type": "Completed",
    "status": "True",
    "reason": "Succeeded",
    "message": "The pod has completed successfully.",
}
_FAILED = {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}


def row_conditions(pod: Obj) -> list[Obj]:
    """Rows of finished pods carry a condition, by which kubectl may hide them."""
    match (pod.get("status") or {}).get("phase"):
        case "Succeeded":
            return [_SUCCEEDED]
        case "Failed":
            return [_FAILED]
    return []


def cells(pod: Obj, clock: Clock) -> list[Any]:
    """All cells, the wide ones included."""
    spec, status, metadata = pod.get("spec") or {}, pod.get("status") or {}, pod["metadata"]
    conditions = status.get("conditions") or ()
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    reason = status.get("reason") or status.get("phase") or ""
    if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in conditions):
        reason = "SchedulingGated"
    begun = _init(spec, status, sidecars)
    restarts, last, ready = begun.restarts, begun.last, begun.ready
    if begun.reason:
        reason = begun.reason
    if not begun.reason or _is_true(conditions, "Initialized"):
        reason, main_restarts, main_last, main_ready = _main(status, conditions, reason)
        restarts = begun.sidecar_restarts + main_restarts
        last = max(begun.sidecar_last, main_last)
        ready += main_ready
    if metadata.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Failed", "Succeeded"):
            reason = "Terminating"
    total = len(spec.get("containers") or ()) + len(sidecars)
    addresses = status.get("podIPs") or ()
    return [
        metadata.get("name", ""),
        f"{ready}/{total}",
        reason,
        f"{restarts} ({shared.since(last, clock)} ago)" if restarts and last else str(restarts),
        shared.age(pod, clock),
        (addresses[0].get("ip") if addresses else status.get("podIP")) or shared.NONE,
        spec.get("nodeName") or shared.NONE,
        status.get("nominatedNodeName") or shared.NONE,
        _gates(spec, conditions),
    ]


class _Init:
    """What the init containers say: reason is empty once initialisation is over; times are RFC 3339, "" for none."""

    def __init__(self) -> None:
        self.reason = ""
        self.restarts = self.sidecar_restarts = self.ready = 0
        self.last = self.sidecar_last = ""


def _init(spec: Obj, status: Obj, sidecars: set[Any]) -> _Init:
    out = _Init()
    for position, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        sidecar = container.get("name") in sidecars
        out.restarts += container.get("restartCount", 0)
        out.last = max(out.last, _finished(container))
        if sidecar:
            out.sidecar_restarts += container.get("restartCount", 0)
            out.sidecar_last = max(out.sidecar_last, _finished(container))
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            out.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            out.reason = "Init:" + _ended(terminated)
        elif waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            out.reason = "Init:" + waiting["reason"]
        else:
            out.reason = f"Init:{position}/{len(spec.get('initContainers') or ())}"
        break
    return out


def _main(status: Obj, conditions: Any, reason: str) -> tuple[str, int, str, int]:
    """(reason, restarts, last restart, ready containers); the first container's state wins."""
    restarts, last, ready = 0, "", 0
    for container in reversed(status.get("containerStatuses") or ()):
        restarts += container.get("restartCount", 0)
        last = max(last, _finished(container))
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            reason = _ended(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            ready += 1
    if reason == "Completed" and ready:
        reason = "Running" if _is_true(conditions, "Ready") else "NotReady"
    return reason, restarts, last, ready


def _ended(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _finished(container: Mapping[str, Any]) -> str:
    terminated = (container.get("lastState") or {}).get("terminated") or {}
    return terminated.get("finishedAt") or ""


def _is_true(conditions: Any, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)


def _gates(spec: Obj, conditions: Any) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return shared.NONE
    values: dict[str, str] = {}
    for condition in conditions:
        values.setdefault(condition.get("type", ""), condition.get("status", ""))
    true = sum(values.get(gate.get("conditionType", "")) == "True" for gate in gates)
    return f"{true}/{len(gates)}"
