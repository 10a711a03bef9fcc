"""What services get, keep and give back: addresses, families, node ports."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.kinds.core.service import SERVICE
from apiserver.registry.kind import Obj
from apiserver.registry.service_ips import ServiceAllocators
from tests.support.kindtest import GONE, KindTester, Outcome, changed
from tests.support.reader import MemoryObjects

WEB: Obj = {"metadata": {"name": "web"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
NODE_PORT = changed(WEB, {"spec.type": "NodePort"})
BALANCER = changed(WEB, {"spec.type": "LoadBalancer", "spec.externalTrafficPolicy": "Local"})
NAMED: Obj = {"spec.type": "ExternalName", "spec.externalName": "a.example"}
DUAL = ("10.96.0.0/24", "fd00::/120")


class Cluster:
    """Services over allocators, as the store drives them."""

    def __init__(self, *cidrs: str, ports: tuple[int, int] = (30000, 30003)) -> None:
        self.objects = MemoryObjects()
        self.allocators = ServiceAllocators(self.objects, self.objects, cidrs or ("10.96.0.0/28",), ports)
        self.tester = KindTester(SERVICE, objects=self.objects, **{"service-ips": self.allocators})

    def create(self, obj: Obj, *, dry_run: bool = False) -> Obj:
        return self._write(obj, None, dry_run)

    def update(self, obj: Obj, old: Obj, *, dry_run: bool = False) -> Obj:
        return self._write(obj, old, dry_run)

    def _write(self, obj: Obj, old: Obj | None, dry_run: bool) -> Obj:
        async def write() -> Outcome:
            ctx = self.tester.ctx(dry_run=dry_run)
            stored = False
            try:
                if old is None:
                    outcome = await self.tester.create_in_loop(obj, ctx)
                else:
                    outcome = await self.tester.update_in_loop(obj, copy.deepcopy(old), ctx)
                stored = not outcome.errors and not dry_run
            finally:
                await ctx.finish(stored)
            return outcome

        outcome = asyncio.run(write())
        assert outcome.errors == []
        if not dry_run:
            self.objects.put("", "services", outcome.obj)
        return outcome.obj

    def delete(self, service: Obj) -> None:
        asyncio.run(SERVICE.after_delete(self.tester.ctx(), service))

    def refusal(self, obj: Obj, old: Obj | None = None) -> str:
        with pytest.raises(ApiError) as caught:
            self._write(obj, old, False)
        return caught.value.message

    def addresses(self) -> list[str]:
        found = asyncio.run(self.objects.list("networking.k8s.io", "ipaddresses"))
        return sorted(obj["metadata"]["name"] for obj in found)

    def ports(self) -> list[int]:
        known = asyncio.run(self.allocators.ports())
        return [port for port in range(29990, 30010) if port in known]


def wants(ip: str) -> Obj:
    return changed(WEB, {"spec.clusterIP": ip})


# -- addresses


def test_an_address_is_an_object() -> None:
    cluster = Cluster()
    service = cluster.create(WEB)
    address = service["spec"]["clusterIP"]
    assert service["spec"]["clusterIPs"] == [address]
    assert (service["spec"]["ipFamilies"], service["spec"]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    stored = asyncio.run(cluster.objects.get("networking.k8s.io", "ipaddresses", None, address))
    assert stored is not None
    assert stored["spec"] == {"parentRef": {"resource": "services", "namespace": "ns", "name": "web"}}
    assert stored["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    cluster.delete(service)
    assert cluster.addresses() == []


@pytest.mark.parametrize(
    ("ip", "text"),
    [
        ("10.96.0.0", "the provided network does not match the current range"),
        ("10.96.0.15", "the provided network does not match the current range"),
        ("10.97.0.1", "the provided network does not match the current range"),
        ("10.96.0.3", "provided IP is already allocated"),
    ],
)
def test_addresses_that_cannot_be_had(ip: str, text: str) -> None:
    cluster = Cluster()
    cluster.create(wants("10.96.0.3"))
    assert cluster.refusal(wants(ip)) == (
        f'Service "web" is invalid: spec.clusterIPs: Invalid value: ["{ip}"]: failed to allocate IP {ip}: {text}'
    )
    assert cluster.addresses() == ["10.96.0.3"]


def test_a_full_range() -> None:
    cluster = Cluster("10.96.0.0/29")
    for _ in range(6):
        cluster.create(WEB)
    assert cluster.addresses() == [f"10.96.0.{number}" for number in range(1, 7)]
    assert cluster.refusal(WEB).endswith('failed to allocate a serviceIP for Service "web": range is full')


def test_further_ranges_are_used_when_ready() -> None:
    cluster = Cluster()
    extra: Obj = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/30"]}}
    cluster.objects.put("networking.k8s.io", "servicecidrs", extra)
    assert cluster.create(wants("10.200.0.1"))["spec"]["clusterIP"] == "10.200.0.1"
    extra["status"] = {"conditions": [{"type": "Ready", "status": "False"}]}
    cluster.objects.put("networking.k8s.io", "servicecidrs", extra)
    assert "does not match the current range" in cluster.refusal(wants("10.200.0.2"))


def test_nothing_stays_taken_after_a_failure_or_a_dry_run() -> None:
    cluster = Cluster()
    cluster.create(wants("10.96.0.3"), dry_run=True)
    cluster.create(NODE_PORT, dry_run=True)
    assert (cluster.addresses(), cluster.ports()) == ([], [])
    taken = changed(NODE_PORT, {"spec.ports[0].nodePort": 20})
    assert cluster.refusal(taken) == (
        'Service "web" is invalid: spec.ports[0].nodePort: Invalid value: 20: provided port is not in the valid range. '
        "The range of valid ports is 30000-30003"
    )
    assert cluster.addresses() == []
    with pytest.raises(AssertionError):
        cluster.create(changed(NODE_PORT, {"spec.ports[0].name": "A_b"}))
    assert (cluster.addresses(), cluster.ports()) == ([], [])


def test_the_address_stays() -> None:
    cluster = Cluster()
    old = cluster.create(wants("10.96.0.3"))
    assert cluster.update(WEB, old)["spec"]["clusterIPs"] == ["10.96.0.3"]
    with pytest.raises(AssertionError, match="may not change once set"):
        cluster.update(wants("10.96.0.4"), old)
    assert cluster.addresses() == ["10.96.0.3"]


def test_an_external_name_has_none() -> None:
    cluster = Cluster()
    old = cluster.create(wants("10.96.0.3"))
    new = cluster.update(changed(old, NAMED), old)
    assert new["spec"].keys().isdisjoint({"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"})
    assert cluster.addresses() == []
    back = cluster.update(wants("10.96.0.5"), new)
    assert (back["spec"]["clusterIPs"], cluster.addresses()) == (["10.96.0.5"], ["10.96.0.5"])


def test_repair_makes_addresses_and_services_agree() -> None:
    cluster = Cluster()
    service = cluster.create(wants("10.96.0.3"))
    asyncio.run(cluster.allocators.release(["10.96.0.3"]))
    asyncio.run(cluster.allocators.allocate("10.96.0.9", {"metadata": {"name": "gone"}}, dry_run=False))
    cluster.objects.put("networking.k8s.io", "ipaddresses", {"metadata": {"name": "10.96.0.11"}, "spec": {}})
    asyncio.run(cluster.allocators.repair())
    assert cluster.addresses() == ["10.96.0.11", "10.96.0.3"]
    cluster.delete(service)
    assert cluster.addresses() == ["10.96.0.11"]


# -- families


def families(spec: dict[str, Any]) -> tuple[Any, Any, int]:
    return spec["ipFamilyPolicy"], spec["ipFamilies"], len(spec.get("clusterIPs") or ())


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({}, ("SingleStack", ["IPv4"], 1)),
        ({"spec.ipFamilyPolicy": "PreferDualStack"}, ("PreferDualStack", ["IPv4", "IPv6"], 2)),
        (
            {"spec.ipFamilyPolicy": "RequireDualStack", "spec.ipFamilies": ["IPv6"]},
            ("RequireDualStack", ["IPv6", "IPv4"], 2),
        ),
        ({"spec.clusterIP": "fd00::9"}, ("SingleStack", ["IPv6"], 1)),
        ({"spec.clusterIP": "None"}, ("SingleStack", ["IPv4"], 1)),
        ({"spec.clusterIP": "None", "spec.selector": GONE}, ("RequireDualStack", ["IPv4", "IPv6"], 1)),
    ],
)
def test_families_of_a_dual_stack_cluster(edits: dict[str, Any], expected: Any) -> None:
    assert families(Cluster(*DUAL).create(changed(WEB, edits))["spec"]) == expected


@pytest.mark.parametrize(
    ("edits", "text"),
    [
        (
            {"spec.clusterIP": "fd00::1"},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
        ),
        ({"spec.ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (
            {"spec.ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
        ),
        (
            {"spec.ipFamilyPolicy": "SingleStack", "spec.ipFamilies": ["IPv4", "IPv6"]},
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when "
            "multiple IP families are specified",
        ),
    ],
)
def test_families_that_cannot_be_had(edits: dict[str, Any], text: str) -> None:
    assert Cluster().refusal(changed(WEB, edits)) == f'Service "web" is invalid: {text}'


def test_preferring_two_stacks_is_fine_with_one() -> None:
    service = Cluster().create(changed(WEB, {"spec.ipFamilyPolicy": "PreferDualStack"}))
    assert families(service["spec"]) == ("PreferDualStack", ["IPv4"], 1)


def test_headless_services_may_have_families_the_cluster_has_not() -> None:
    given = changed(WEB, {"spec.clusterIP": "None", "spec.selector": GONE, "spec.ipFamilies": ["IPv6"]})
    assert families(Cluster().create(given)["spec"]) == ("RequireDualStack", ["IPv6", "IPv4"], 1)


def test_second_families_come_and_go() -> None:
    cluster = Cluster(*DUAL)
    one = cluster.create(WEB)
    two = cluster.update(changed(one, {"spec.ipFamilyPolicy": "RequireDualStack"}), one)
    assert families(two["spec"]) == ("RequireDualStack", ["IPv4", "IPv6"], 2)
    assert cluster.addresses() == sorted(two["spec"]["clusterIPs"])
    assert cluster.refusal(changed(two, {"spec.ipFamilies": ["IPv4"]}), two) == (
        'Service "web" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be \'SingleStack\' to '
        "release the secondary IP family"
    )
    again = cluster.update(changed(two, {"spec.ipFamilyPolicy": "SingleStack"}), two)
    assert families(again["spec"]) == ("SingleStack", ["IPv4"], 1)
    assert cluster.addresses() == one["spec"]["clusterIPs"]


# -- ports


def test_ports_are_shared_by_protocols() -> None:
    ports = [{"name": "a", "port": 80, "nodePort": 30002}, {"name": "b", "port": 80, "protocol": "UDP"}]
    cluster = Cluster()
    service = cluster.create(changed(NODE_PORT, {"spec.ports": ports}))
    assert [port["nodePort"] for port in service["spec"]["ports"]] == [30002, 30002]
    assert cluster.ports() == [30002]
    assert cluster.refusal(changed(NODE_PORT, {"spec.ports[0].nodePort": 30002})) == (
        'Service "web" is invalid: spec.ports[0].nodePort: Invalid value: 30002: provided port is already allocated'
    )
    cluster.delete(service)
    assert cluster.ports() == []


def test_all_ports_taken() -> None:
    cluster = Cluster()
    for _ in range(4):
        cluster.create(NODE_PORT)
    assert cluster.refusal(NODE_PORT).endswith("failed to allocate a nodePort: range is full")


def test_ports_are_kept_by_name() -> None:
    cluster = Cluster()
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    old = cluster.create(changed(NODE_PORT, {"spec.ports": ports}))
    numbers = [port["nodePort"] for port in old["spec"]["ports"]]
    new = cluster.update(changed(NODE_PORT, {"spec.ports": ports[::-1]}), old)
    assert [port["nodePort"] for port in new["spec"]["ports"]] == numbers[::-1]
    less = cluster.update(changed(NODE_PORT, {"spec.ports": ports[:1]}), new)
    assert cluster.ports() == [less["spec"]["ports"][0]["nodePort"]] == numbers[:1]


def test_types_without_node_ports_give_them_back() -> None:
    cluster = Cluster()
    old = cluster.create(NODE_PORT)
    new = cluster.update(changed(old, {"spec.type": "ClusterIP"}), old)
    assert "nodePort" not in new["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in new["spec"]
    assert cluster.ports() == []


def test_a_port_for_health_checks() -> None:
    cluster = Cluster()
    old = cluster.create(BALANCER)
    number = old["spec"]["healthCheckNodePort"]
    assert len(cluster.ports()) == 2
    assert cluster.update(BALANCER, old)["spec"]["healthCheckNodePort"] == number
    new = cluster.update(changed(old, {"spec.externalTrafficPolicy": "Cluster"}), old)
    assert "healthCheckNodePort" not in new["spec"]
    assert cluster.ports() == [old["spec"]["ports"][0]["nodePort"]]
    plain = cluster.update(changed(new, {"spec.type": "ClusterIP"}), new)
    assert plain["spec"].keys().isdisjoint({"allocateLoadBalancerNodePorts", "externalTrafficPolicy"})


def test_balancers_without_node_ports() -> None:
    cluster = Cluster()
    given = changed(WEB, {"spec.type": "LoadBalancer", "spec.allocateLoadBalancerNodePorts": False})
    assert "nodePort" not in cluster.create(given)["spec"]["ports"][0]
    assert cluster.ports() == []


def test_ports_are_known_after_a_restart() -> None:
    cluster = Cluster()
    cluster.create(changed(NODE_PORT, {"spec.ports[0].nodePort": 30001}))
    cluster.allocators = ServiceAllocators(cluster.objects, cluster.objects, ("10.96.0.0/28",), (30000, 30003))
    assert cluster.ports() == [30001]
