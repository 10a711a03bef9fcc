"""Pod arithmetic: what a pod requests, its QoS class, and whether it is ready, active or finished. Pure.

Called by admission (quota, limits), validation, controllers, the scheduler and the node agent. The formulas are part of
the API: component-helpers/resource (sidecars, overhead, pod-level resources, resize) and core/v1/helper/qos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery import meta, quantity, times
from apimachinery.quantity import Quantity, ResourceList

Obj = dict[str, Any]

BEST_EFFORT, BURSTABLE, GUARANTEED = "BestEffort", "Burstable", "Guaranteed"
_NONE: dict[str, Any] = {}


# -- resources


def is_pod_level_resource(name: str) -> bool:
    """Whether spec.resources may hold it."""
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Whether an init container keeps running (restartPolicy Always)."""
    return container.get("restartPolicy") == "Always"


def has_pod_level_resources(spec: Mapping[str, Any]) -> bool:
    """Whether the pod states resources as a whole."""
    stated = spec.get("resources") or _NONE
    names = [*(stated.get("requests") or ()), *(stated.get("limits") or ())]
    return any(is_pod_level_resource(name) for name in names)


def requests(
    pod: Obj,
    *,
    overhead: bool = True,
    pod_level: bool = True,
    use_status: bool = False,
    defaults: Mapping[str, Quantity] | None = None,
) -> ResourceList:
    """What the pod requests in all (PodRequests).

    overhead, pod_level: whether spec.overhead and spec.resources count. use_status: count what running containers were
    actually given, as the scheduler does. defaults: requests to assume for containers that name none.
    """
    spec = pod.get("spec") or _NONE
    status = pod.get("status") or _NONE
    actual = _container_statuses(status) if use_status else _NONE
    infeasible = use_status and is_resize_infeasible(pod)

    def of(container: Mapping[str, Any], init: bool) -> ResourceList:
        own = quantity.parse_list((container.get("resources") or _NONE).get("requests"))
        if actual and (not init or is_sidecar(container)) and container["name"] in actual:
            own = _effective(own, actual[container["name"]], infeasible)
        return {**defaults, **own} if defaults else own

    total = _aggregate(spec, of)
    level = (spec.get("resources") or _NONE).get("requests") if pod_level else None
    if level:
        chosen = quantity.parse_list(level)
        if use_status and status.get("resources") is not None:
            chosen = _effective(chosen, status, infeasible)
        total.update({name: value for name, value in chosen.items() if is_pod_level_resource(name) and name in level})
    if overhead and spec.get("overhead"):
        quantity.add_list(total, quantity.parse_list(spec["overhead"]))
    return total


def limits(pod: Obj, *, overhead: bool = True, pod_level: bool = True) -> ResourceList:
    """The pod's limits in all (PodLimits): overhead adds only to resources that are limited."""
    spec = pod.get("spec") or _NONE

    def of(container: Mapping[str, Any], init: bool) -> ResourceList:
        return quantity.parse_list((container.get("resources") or _NONE).get("limits"))

    total = _aggregate(spec, of)
    if pod_level:
        for name, value in ((spec.get("resources") or _NONE).get("limits") or _NONE).items():
            if is_pod_level_resource(name):
                total[name] = quantity.parse(value)
    if overhead:
        for name, value in (spec.get("overhead") or _NONE).items():
            if total.get(name):
                total[name] = total[name] + quantity.parse(value)
    return total


def _aggregate(spec: Mapping[str, Any], of: Callable[[Mapping[str, Any], bool], ResourceList]) -> ResourceList:
    """Sum of containers and sidecars, but at least what any init container needs beside the sidecars before it."""
    total: ResourceList = {}
    for container in spec.get("containers") or ():
        quantity.add_list(total, of(container, False))
    init = spec.get("initContainers")
    if not init:
        return total
    sidecars: ResourceList = {}
    peak: ResourceList = {}
    for container in init:
        own = of(container, True)
        if is_sidecar(container):
            quantity.add_list(total, own)
            quantity.add_list(sidecars, own)
            quantity.max_list(peak, sidecars)
        else:
            needed = dict(own)
            quantity.add_list(needed, sidecars)
            quantity.max_list(peak, needed)
    quantity.max_list(total, peak)
    return total


def _container_statuses(status: Mapping[str, Any]) -> dict[str, Obj]:
    """Statuses that tell what a container was given, by container name."""
    entries = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return {entry["name"]: entry for entry in entries if entry.get("resources") is not None}


def _effective(spec: ResourceList, status: Mapping[str, Any], infeasible: bool) -> ResourceList:
    """The greatest of what was asked for, given and allocated; what was asked for does not count once it is refused."""
    result: ResourceList = {} if infeasible else dict(spec)
    quantity.max_list(result, quantity.parse_list(status["resources"].get("requests")))
    quantity.max_list(result, quantity.parse_list(status.get("allocatedResources")))
    return result


def is_resize_infeasible(pod: Obj) -> bool:
    """Whether the kubelet refused the pod's pending resize for good."""
    pending = meta.condition(pod, "PodResizePending")
    return pending is not None and pending.get("reason") == "Infeasible"


# -- quality of service


def qos_class(pod: Obj) -> str:
    """The pod's QoS class: as recorded in its status, else computed."""
    return (pod.get("status") or _NONE).get("qosClass") or compute_qos_class(pod)


def compute_qos_class(pod: Obj) -> str:
    """BestEffort: no CPU or memory request or limit; Guaranteed: each container limits both, and requests equal limits."""
    spec = pod.get("spec") or _NONE
    level = spec.get("resources")
    if level is not None:
        holders = [level]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        holders = [container.get("resources") or _NONE for container in containers]
    asked: ResourceList = {}
    capped: ResourceList = {}
    guaranteed = True
    for holder in holders:
        quantity.add_list(asked, _compute_resources(holder.get("requests")))
        own_limits = _compute_resources(holder.get("limits"))
        quantity.add_list(capped, own_limits)
        guaranteed = guaranteed and len(own_limits) == 2
    if not asked and not capped:
        return BEST_EFFORT
    return GUARANTEED if guaranteed and asked == capped else BURSTABLE


def _compute_resources(resources: Mapping[str, Any] | None) -> ResourceList:
    """CPU and memory, where they are more than nothing."""
    parsed = {name: quantity.parse(value) for name, value in (resources or _NONE).items() if name in ("cpu", "memory")}
    return {name: value for name, value in parsed.items() if value.sign() > 0}


# -- states


def phase(pod: Obj) -> str:
    return (pod.get("status") or _NONE).get("phase") or ""


def is_terminal(pod: Obj) -> bool:
    """Whether it has succeeded or failed for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Neither finished nor being deleted (controller.IsPodActive)."""
    return not is_terminal(pod) and not meta.deleting(pod)


def is_ready(pod: Obj) -> bool:
    return meta.is_condition_true(pod, "Ready")


def ready_since(pod: Obj) -> float | None:
    """Seconds since the epoch of when it became ready; None when it is not ready or does not say."""
    ready = meta.condition(pod, "Ready")
    if ready is None or ready.get("status") != "True" or not ready.get("lastTransitionTime"):
        return None
    return times.parse_time(ready["lastTransitionTime"])


def is_available(pod: Obj, min_ready_seconds: int, now: float) -> bool:
    """Ready for at least that many seconds."""
    if not is_ready(pod):
        return False
    if min_ready_seconds == 0:
        return True
    since = ready_since(pod)
    return since is not None and since + min_ready_seconds <= now


def is_evicted(pod: Obj) -> bool:
    return phase(pod) == "Failed" and (pod.get("status") or _NONE).get("reason") == "Evicted"


def restart_count(pod: Obj) -> int:
    """The greatest restart count among its containers."""
    status = pod.get("status") or _NONE
    return max((entry.get("restartCount") or 0 for entry in status.get("containerStatuses") or ()), default=0)


def priority(pod: Obj) -> int:
    return (pod.get("spec") or _NONE).get("priority") or 0
