"""ClusterRole aggregation and Jobs that go after they have finished."""

from typing import Any

from apimachinery import times
from client.resources import CLUSTER_ROLES, JOBS
from controllers.clusterroles import ClusterRoleAggregationController, aggregate
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
