"""Namespaces, service accounts, the root CA, node CIDRs, pod garbage."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from apimachinery import meta
from apimachinery.clock import ControlledClock
from apimachinery.gvk import Resource
from client.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from controllers import CONTROLLERS
from controllers.manager import UnknownController, choose
from controllers.namespace import Findings, conditions_of, merge_conditions
from controllers.nodeipam import CidrSet, NodeIpamController, RangeFull
from controllers.podgc import PodGcController, never_scheduled, stuck_on_dead_nodes, surplus_finished
from controllers.rootca import DESCRIPTION, RootCaPublisher
from controllers.serviceaccount import ServiceAccountController
from tests.controllers.harness import Harness
from tests.support import memoryapi

Obj = dict[str, Any]


def test_controllers_are_chosen_by_flag() -> None:
    everything = {cls.name for cls in choose(["*"], CONTROLLERS)}
    assert "deployment-controller" in everything
    assert {cls.name for cls in choose(["*", "-deployment"], CONTROLLERS)} == everything - {"deployment-controller"}
    assert [cls.name for cls in choose(["job-controller"], CONTROLLERS)] == ["job-controller"]
    with pytest.raises(UnknownController, match='"nonsense" is not in the list of known controllers'):
        choose(["*", "-nonsense"], CONTROLLERS)


def test_every_controller_has_a_name_and_a_source() -> None:
    names = [cls.name for cls in CONTROLLERS]
    assert len(set(names)) == len(names)
    assert all(cls.source for cls in CONTROLLERS)


def test_cidrs() -> None:
    cidrs = CidrSet(ipaddress.ip_network("10.244.0.0/22"), 24)
    cidrs.occupy(ipaddress.ip_network("10.244.1.0/24"))
    cidrs.occupy(ipaddress.ip_network("192.168.0.0/16"))
    assert [str(cidrs.allocate()) for _ in range(3)] == ["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24"]
    with pytest.raises(RangeFull):
        cidrs.allocate()
    cidrs.release(ipaddress.ip_network("10.244.2.0/24"))
    assert str(cidrs.allocate()) == "10.244.2.0/24"


async def test_nodes_get_a_range(harness: Harness) -> None:
    harness.api.put(NODES, {"metadata": {"name": "old"}, "spec": {"podCIDR": "10.244.0.0/24"}})
    harness.start(NodeIpamController)
    await harness.client.create(NODES, {"metadata": {"name": "new"}, "spec": {}})
    await harness.until(lambda: harness.get(NODES, "new", None)["spec"].get("podCIDRs") == ["10.244.1.0/24"])  # type: ignore[index]


async def test_every_namespace_gets_its_account_and_certificate(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.crt"
    certificate.write_text("PEM")
    async with memoryapi.serve(tmp_path) as (api, client), Harness(api, client, root_ca_file=certificate) as harness:
        harness.start(ServiceAccountController, RootCaPublisher)
        await client.create(NAMESPACES, {"metadata": {"name": "a"}, "status": {"phase": "Active"}})
        await harness.until(lambda: harness.get(SERVICE_ACCOUNTS, "default", "a"))
        published = await harness.until(lambda: harness.get(CONFIG_MAPS, "kube-root-ca.crt", "a"))
        assert published["data"] == {"ca.crt": "PEM"}
        assert meta.annotations(published) == {"kubernetes.io/description": DESCRIPTION}
        await client.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "forged"}}, "a")
        await harness.until(lambda: harness.get(CONFIG_MAPS, "kube-root-ca.crt", "a")["data"] == {"ca.crt": "PEM"})  # type: ignore[index]
        await client.delete(SERVICE_ACCOUNTS, "default", "a")
        await client.delete(CONFIG_MAPS, "kube-root-ca.crt", "a")
        await harness.until(lambda: harness.get(SERVICE_ACCOUNTS, "default", "a"))
        await harness.until(lambda: harness.get(CONFIG_MAPS, "kube-root-ca.crt", "a"))


async def test_namespace_conditions_say_what_is_in_the_way() -> None:
    clock = ControlledClock()
    fine = conditions_of(Findings())
    assert {status for status, _, _ in fine.values()} == {"False"}
    found = Findings(remaining={Resource("", "v1", "pods", "Pod", True): 2}, errors=["boom"])
    found.finalizers["a/b"] = 2
    told = conditions_of(found)
    assert told["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: pods. has 2 resource instances",
    )
    assert told["NamespaceFinalizersRemaining"][2] == "Some finalizers are remaining: a/b in 2 resource instances"
    assert told["NamespaceDeletionContentFailure"][2] == "Failed to delete all resource types, 1 remaining: boom"
    first = merge_conditions([], told, clock)
    await clock.advance(60)
    second = merge_conditions(first, fine, clock)
    assert first[0] == second[0]  # discovery was fine both times: the time of transition stays
    assert first[3]["lastTransitionTime"] != second[3]["lastTransitionTime"]


def pod(name: str, phase: str = "Running", node: str | None = "n", **metadata: Any) -> Obj:
    spec = {"nodeName": node} if node else {}
    described = {"name": name, "namespace": "default", "uid": name, **metadata}
    return {"metadata": described, "spec": spec, "status": {"phase": phase}}


def test_pods_that_nobody_else_removes() -> None:
    old = pod("old", "Succeeded", creationTimestamp="2020-01-01T00:00:00Z")
    new = pod("new", "Failed", creationTimestamp="2021-01-01T00:00:00Z")
    assert surplus_finished([new, old, pod("x")], 1) == [old]
    assert surplus_finished([new, old], 0) == []
    going = pod("going", deletionTimestamp="2026-01-01T00:00:00Z")
    node: Obj = {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "node.kubernetes.io/out-of-service"}]}}
    assert stuck_on_dead_nodes([going, pod("x")], {"n": node}) == [going]
    assert stuck_on_dead_nodes([going], {"n": {**node, "spec": {}}}) == []
    unplaced = pod("u", node=None, deletionTimestamp="2026-01-01T00:00:00Z")
    assert never_scheduled([going, unplaced]) == [unplaced]


async def test_pods_of_a_vanished_node_go_after_a_while(harness: Harness) -> None:
    clock = ControlledClock()
    harness.api.put(NODES, {"metadata": {"name": "alive"}})
    harness.api.put(PODS, pod("orphan", node="gone"))
    harness.api.put(PODS, pod("fine", node="alive"))
    (controller,) = harness.start(PodGcController)
    assert isinstance(controller, PodGcController)
    await controller._pods.wait_synced()
    await controller._nodes.wait_synced()
    controller.clock = clock
    await controller.sweep()
    assert len(harness.all(PODS)) == 2
    await clock.advance(41)
    await controller.sweep()
    await harness.until(lambda: [meta.name(p) for p in harness.all(PODS)] == ["fine"])
