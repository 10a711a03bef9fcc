"""Resizing pods while they run: whether the node can give what is asked for, and what has to be done to give it. Pure.

Called by the worker at each look. A pod is run with the resources that were allocated to it, which are those of its
specification unless a change of them had to wait (Deferred) or is more than the node has (Infeasible). Conditions,
reasons and texts are the original's (KEP-1287).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery import pods, quantity
from nodeagent import podspec, runtime
from nodeagent.podspec import INIT, REGULAR
from nodeagent.runtime import ContainerState, PodState

Obj = dict[str, Any]
Resources = Mapping[str, Any]

RESIZABLE = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a resize is not done. reason: Deferred (it may fit later) or Infeasible (it never will)."""

    reason: str
    message: str


def resources_of(pod: Obj) -> dict[str, Resources]:
    """The resources of each container that can be resized, by name."""
    found = {}
    for kind, container in podspec.containers(pod, INIT, REGULAR):
        if kind == REGULAR or podspec.is_sidecar(container):
            found[container["name"]] = container.get("resources") or {}
    return found


def with_resources(pod: Obj, allocated: Mapping[str, Resources]) -> Obj:
    """The pod with these resources in place of its specification's; the pod itself when nothing differs."""
    if all(allocated.get(name, own) == own for name, own in resources_of(pod).items()):
        return pod
    spec = dict(pod["spec"])
    for kind in (INIT, REGULAR):
        if spec.get(kind):
            spec[kind] = [{**c, "resources": allocated[c["name"]]} if c["name"] in allocated else c for c in spec[kind]]
    return {**pod, "spec": spec}


def remembered(pod: Obj, state: PodState) -> dict[str, Resources]:
    """What was allocated before the agent restarted: as its containers were made, else as the status tells, else as asked."""
    status = pod.get("status") or {}
    entries = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    told = {
        e["name"]: e["resources"]
        for e in entries
        if e.get("resources") is not None and "running" in (e.get("state") or {})
    }
    result = {}
    for name, own in resources_of(pod).items():
        made = state.container(name)
        result[name] = told.get(name, (made and applied(made)) or own)
    return result


def applied(container: ContainerState) -> Resources | None:
    """The resources that a container was made with; None when it does not tell."""
    text = container.annotations.get(runtime.RESOURCES, "")
    return dict(orjson.loads(text)) if text else None


def feasible(pod: Obj, others: Iterable[Obj], allocatable: Mapping[str, str]) -> Verdict | None:
    """Whether the node can give the pod what its specification asks for now; None when it can."""
    asked = pods.requests(pod)
    used: quantity.ResourceList = {}
    for other in others:
        quantity.add_list(used, pods.requests(other, use_status=True))
    for name in RESIZABLE:
        scale = quantity.MILLI if name == "cpu" else 0
        need = asked[name].scaled_value(scale) if name in asked else 0
        have = quantity.parse(allocatable.get(name) or "0").scaled_value(scale)
        taken = used[name].scaled_value(scale) if name in used else 0
        if need > have:
            text = f"Node didn't have enough capacity: {name}, requested: {need}, capacity: {have}"
            return Verdict("Infeasible", text)
        if need + taken > have:
            text = f"Node didn't have enough resource: {name}, requested: {need}, used: {taken}, capacity: {have}"
            return Verdict("Deferred", text)
    return None


def needs_restart(container: Obj, before: Resources, after: Resources) -> bool:
    """Whether the container says that a change of what changed takes a restart."""
    policies = {p["resourceName"]: p["restartPolicy"] for p in container.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in changed(before, after))


def changed(before: Resources, after: Resources) -> list[str]:
    """The names of the resources of which request or limit differ."""
    return [
        name
        for name in RESIZABLE
        if any(_amount(before, kind, name) != _amount(after, kind, name) for kind in ("requests", "limits"))
    ]


def _amount(resources: Resources, kind: str, name: str) -> quantity.Quantity | None:
    value = (resources.get(kind) or {}).get(name)
    return None if value is None else quantity.parse(value)
