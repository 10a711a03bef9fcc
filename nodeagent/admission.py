"""Whether this node takes a pod at all: what kubelet checks again after the scheduler. Pure.

Called by the worker once, before anything is made. A refused pod fails, with the original's reason and text, so that its
controller makes another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import pods, quantity
from nodeagent import podspec, sandboxspec, security

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """allocatable: resource name -> quantity text. labels: the node's. under_pressure: node conditions that hold."""

    allocatable: Mapping[str, str]
    labels: Mapping[str, str]
    allowed_sysctls: Sequence[str] = ()
    under_pressure: Sequence[str] = ()


def check(pod: Obj, others: Iterable[Obj], node: NodeView) -> Refusal | None:
    """others: the pods that are on the node and not finished. None: welcome."""
    others = list(others)
    return (
        _operating_system(pod)
        or _selector(pod, node)
        or _pressure(pod, node)
        or _ports(pod, others)
        or _resources(pod, others, node)
        or _security(pod, node)
    )


def _operating_system(pod: Obj) -> Refusal | None:
    name = (pod["spec"].get("os") or {}).get("name")
    if name and name != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def _selector(pod: Obj, node: NodeView) -> Refusal | None:
    for key, value in (pod["spec"].get("nodeSelector") or {}).items():
        if node.labels.get(key) != value:
            return Refusal(
                "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
            )
    return None


def _pressure(pod: Obj, node: NodeView) -> Refusal | None:
    critical = pods.priority(pod) >= 2_000_000_000
    best_effort = pods.compute_qos_class(pod) == pods.BEST_EFFORT
    if critical or not node.under_pressure or (list(node.under_pressure) == ["MemoryPressure"] and not best_effort):
        return None
    return Refusal("Evicted", f"The node had condition: [{' '.join(node.under_pressure)}]. ")


def _host_ports(pod: Obj) -> set[tuple[str, str, int]]:
    found = set()
    for _, container in podspec.containers(pod, podspec.REGULAR):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                found.add((port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"])))
    return found


def _ports(pod: Obj, others: list[Obj]) -> Refusal | None:
    wanted = _host_ports(pod)
    if not wanted:
        return None
    for other in others:
        for ip, protocol, port in _host_ports(other):
            for own_ip, own_protocol, own_port in wanted:
                same = (protocol, port) == (own_protocol, own_port)
                if same and (ip == own_ip or "0.0.0.0" in (ip, own_ip)):
                    return Refusal(
                        "NodePorts",
                        "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
                    )
    return None


def _resources(pod: Obj, others: list[Obj], node: NodeView) -> Refusal | None:
    allowed = quantity.parse(node.allocatable.get("pods") or "110").value()
    if len(others) + 1 > allowed:
        return _out_of("pods", 1, len(others), allowed)
    asked = pods.requests(pod)
    used: quantity.ResourceList = {}
    for other in others:
        quantity.add_list(used, pods.requests(other, use_status=True))
    for name, amount in asked.items():
        if amount.is_zero():
            continue
        scale = quantity.MILLI if name == "cpu" else 0
        need = amount.scaled_value(scale)
        taken = used[name].scaled_value(scale) if name in used else 0
        have = quantity.parse(node.allocatable.get(name) or "0").scaled_value(scale)
        if need + taken > have:
            return _out_of(name, need, taken, have)
    return None


def _out_of(name: str, need: int, taken: int, have: int) -> Refusal:
    text = f"Node didn't have enough resource: {name}, requested: {need}, used: {taken}, capacity: {have}"
    return Refusal(f"OutOf{name}", text)


def _security(pod: Obj, node: NodeView) -> Refusal | None:
    refused = sandboxspec.sysctl_refusal(pod, node.allowed_sysctls)
    if refused:
        return Refusal("SysctlForbidden", refused)
    try:
        for _, container in podspec.containers(pod):
            security.apparmor(security.effective(pod, container).get("appArmorProfile"))
    except security.Refused as error:
        return Refusal("AppArmor", str(error))
    return None
