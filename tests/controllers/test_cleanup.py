"""ClusterRole aggregation, Jobs that go after they have finished, service ranges."""

from typing import Any

from apimachinery import times
from client.resources import CLUSTER_ROLES, IP_ADDRESSES, JOBS, SERVICE_CIDRS
from controllers.clusterroles import ClusterRoleAggregationController, aggregate
from controllers.servicecidrs import ServiceCidrsController, may_go
from controllers.ttlafterfinished import TtlAfterFinishedController, expires_at
from tests.controllers.harness import Harness

Obj = dict[str, Any]


def role(name: str, rules: list[Obj] | None = None, labels: dict[str, str] | None = None, select: str = "") -> Obj:
    described: Obj = {"metadata": {"name": name, "labels": labels or {}}, "rules": rules or []}
    if select:
        described["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {select: "true"}}]}
    return described


def rule(resource: str) -> Obj:
    return {"apiGroups": [""], "resources": [resource], "verbs": ["get"]}


def test_rules_are_joined_in_order_without_doubles() -> None:
    parts = [
        role("b", [rule("pods"), rule("nodes")], {"view": "true"}),
        role("a", [rule("pods")], {"view": "true"}),
        role("c", [rule("secrets")]),
    ]
    assert aggregate(role("view", select="view"), parts) == [rule("pods"), rule("nodes")]


async def test_an_aggregated_role_follows_its_parts(harness: Harness) -> None:
    harness.start(ClusterRoleAggregationController)
    await harness.client.create(CLUSTER_ROLES, role("view", select="view"))
    await harness.client.create(CLUSTER_ROLES, role("part", [rule("pods")], {"view": "true"}))
    await harness.until(lambda: (harness.get(CLUSTER_ROLES, "view", None) or {})["rules"] == [rule("pods")])
    await harness.client.delete(CLUSTER_ROLES, "part")
    await harness.until(lambda: (harness.get(CLUSTER_ROLES, "view", None) or {})["rules"] == [])


def job(name: str, finished: str | None, ttl: int | None) -> Obj:
    conditions = [{"type": "Complete", "status": "True", "lastTransitionTime": finished}] if finished else []
    spec = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": {"conditions": conditions}}


def test_when_a_job_expires() -> None:
    assert expires_at(job("j", "1970-01-01T00:01:00Z", 30)) == 90
    assert expires_at(job("j", None, 30)) is None
    assert expires_at(job("j", "1970-01-01T00:01:00Z", None)) is None


async def test_finished_jobs_go_in_time(harness: Harness) -> None:
    harness.start(TtlAfterFinishedController)
    now = times.now(harness.api.clock)
    for name, ttl in (("now", 0), ("later", 3600), ("never", None)):
        harness.api.put(JOBS, job(name, now, ttl))
    await harness.until(lambda: "deletionTimestamp" in (harness.get(JOBS, "now") or {})["metadata"])
    assert len(harness.all(JOBS)) == 3  # in the foreground: the garbage collector finishes it


def service_cidr(name: str, *cidrs: str, **metadata: Any) -> Obj:
    return {"metadata": {"name": name, "uid": name, **metadata}, "spec": {"cidrs": list(cidrs)}}


def address(ip: str) -> Obj:
    return {"metadata": {"name": ip, "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}}}


def test_a_service_range_goes_only_without_addresses_of_its_own() -> None:
    going = service_cidr("a", "10.0.0.0/24", deletionTimestamp="2026-01-01T00:00:00Z")
    assert may_go(going, [going], [address("10.1.0.1")])
    assert not may_go(going, [going], [address("10.0.0.1")])
    assert may_go(going, [going, service_cidr("b", "10.0.0.0/16")], [address("10.0.0.1")])


async def test_a_service_range_is_ready_and_waits_for_its_addresses(harness: Harness) -> None:
    harness.start(ServiceCidrsController)
    await harness.client.create(SERVICE_CIDRS, service_cidr("a", "10.0.0.0/24"))
    await harness.until(lambda: harness.condition(SERVICE_CIDRS, "a", "Ready", None).get("status") == "True")
    await harness.until(lambda: harness.get(SERVICE_CIDRS, "a", None)["metadata"]["finalizers"])  # type: ignore[index]
    harness.api.put(IP_ADDRESSES, address("10.0.0.1"))
    await harness.client.delete(SERVICE_CIDRS, "a")
    await harness.until(lambda: harness.condition(SERVICE_CIDRS, "a", "Ready", None).get("reason") == "Terminating")
