"""Node lifecycle and eviction by taints."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from apimachinery import meta
from apimachinery.clock import ControlledClock, RealClock
from client.resources import LEASES, NODES, PODS
from controllers import nodelifecycle
from controllers.nodelifecycle import NodeLifecycleController
from controllers.tainteviction import TaintEvictionController, time_left
from tests.controllers.harness import Harness

Obj = dict[str, Any]


def node(name: str = "n1", ready: str = "True", zone: str = "z", **spec: Any) -> Obj:
    types = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
    conditions = [
        {"type": type_, "status": ready if type_ == "Ready" else "False", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
        for type_ in types
    ]
    metadata = {"name": name, "uid": name, "labels": {"topology.kubernetes.io/zone": zone}}
    return {"metadata": metadata, "spec": spec, "status": {"conditions": conditions}}


def taint(key: str, effect: str = "NoExecute", value: str = "") -> Obj:
    return {"key": key, "effect": effect, "value": value}


def test_conditions_of_a_silent_node() -> None:
    conditions = nodelifecycle.unknown_conditions(node(), "now")
    assert {entry["status"] for entry in conditions} == {"Unknown"}
    assert {entry["message"] for entry in conditions} == {"Kubelet stopped posting node status."}
    fresh = nodelifecycle.unknown_conditions({"metadata": {"name": "n"}}, "now")
    assert {entry["reason"] for entry in fresh} == {"NodeStatusNeverUpdated"}


def test_taints_by_condition() -> None:
    sick = node(ready="False", unschedulable=True)
    wanted = nodelifecycle.schedule_taints(sick)
    assert wanted == {"node.kubernetes.io/not-ready", "node.kubernetes.io/unschedulable"}
    own = taint("example.com/x", "NoSchedule")
    stale = taint("node.kubernetes.io/disk-pressure", "NoSchedule")
    taints = nodelifecycle.with_schedule_taints([own, stale], wanted, "now")
    assert [entry["key"] for entry in taints] == [
        "example.com/x",
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unschedulable",
    ]
    swapped = nodelifecycle.with_execute_taint([taint(nodelifecycle.NOT_READY)], nodelifecycle.UNREACHABLE, "now")
    assert [entry["key"] for entry in swapped] == [nodelifecycle.UNREACHABLE]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["True"], "Normal"),
        (["Unknown"], "FullDisruption"),
        (["True", "False", "False"], "Normal"),
        (["True", "False", "False", "Unknown"], "PartialDisruption"),
    ],
)
def test_zone_states(statuses: list[str], expected: str) -> None:
    assert nodelifecycle.zone_state(statuses, 0.55) == expected


def test_how_long_a_pod_may_stay() -> None:
    limited = {"key": "a", "operator": "Exists", "tolerationSeconds": 300}
    assert time_left([], [taint("a")]) == 0
    assert time_left([limited], [taint("a")]) == 300
    assert time_left([{"operator": "Exists"}], [taint("a")]) is None
    assert time_left([limited], [taint("a"), taint("b")]) == 0


def pod(name: str, node_name: str = "n1", tolerations: list[Obj] | None = None) -> Obj:
    spec = {"nodeName": node_name, "tolerations": tolerations or []}
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec}


async def test_a_silent_node_is_found_out(harness: Harness) -> None:
    harness.api.put(NODES, node("n1"))
    harness.api.put(NODES, node("n2"))
    harness.api.put(PODS, pod("a"))
    harness.api.put(LEASES, {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"renewTime": "1"}})
    harness.api.put(LEASES, {"metadata": {"name": "n2", "namespace": "kube-node-lease"}, "spec": {"renewTime": "1"}})
    harness.config = _slow(harness)
    (controller,) = harness.start(NodeLifecycleController)
    assert isinstance(controller, NodeLifecycleController)
    clock = controller.clock = ControlledClock()
    for informer in (controller._nodes, controller._leases, controller._pods):
        await informer.wait_synced()
    controller._health.clear()
    await controller.look()
    await clock.advance(51)
    harness.api.put(LEASES, {"metadata": {"name": "n2", "namespace": "kube-node-lease"}, "spec": {"renewTime": "2"}})
    await harness.until(lambda: harness.all(PODS)[0].get("status"))
    await _eventually(lambda: (controller._leases.find("kube-node-lease", "n2") or {})["spec"]["renewTime"] == "2")
    await controller.look()
    assert harness.condition(NODES, "n1", "Ready", None)["status"] == "Unknown"
    assert harness.condition(NODES, "n2", "Ready", None)["status"] == "True"
    await _eventually(lambda: not meta.is_condition_true(controller._nodes.get("n1") or {}, "Ready"))
    await controller.look()
    taints = harness.get(NODES, "n1", None)["spec"]["taints"]  # type: ignore[index]
    assert {(entry["key"], entry["effect"]) for entry in taints} == {
        (nodelifecycle.UNREACHABLE, "NoSchedule"),
        (nodelifecycle.UNREACHABLE, "NoExecute"),
    }
    await harness.until(lambda: harness.condition(PODS, "a", "Ready")["status"] == "False")
    await harness.until(lambda: harness.events("NodeNotReady"))


async def _eventually(condition: Callable[[], bool]) -> None:
    """Wait for a controller's cache to catch up."""
    async with asyncio.timeout(5):
        while not condition():
            await RealClock().sleep(0.01)


def _slow(harness: Harness) -> Any:
    """A configuration whose own loop does not look during the test."""
    return replace(harness.config, node_monitor_period=3600.0)


async def test_pods_leave_a_tainted_node_unless_they_tolerate_it(harness: Harness) -> None:
    forever = [{"operator": "Exists"}]
    later = [{"operator": "Exists", "tolerationSeconds": 3600}]
    harness.api.put(NODES, node("n1"))
    for name, tolerations in (("plain", []), ("forever", forever), ("later", later)):
        harness.api.put(PODS, pod(name, tolerations=tolerations))
    harness.start(TaintEvictionController)
    harness.api.put(NODES, node("n1", taints=[taint("a")]))
    await harness.until(lambda: {meta.name(entry) for entry in harness.all(PODS)} == {"forever", "later"})
    await harness.until(lambda: harness.events("TaintManagerEviction") == ["Marking for deletion Pod default/plain"])
    harness.api.put(NODES, node("n1"))
    await harness.until(lambda: "Cancelling deletion of Pod default/later" in harness.events("TaintManagerEviction"))
