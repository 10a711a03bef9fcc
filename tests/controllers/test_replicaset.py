from typing import Any

import pytest
from aiohttp import web

from apimachinery import meta
from apimachinery.clock import ControlledClock
from apimachinery.errors import ApiError
from client.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from controllers.base import Expectations, slow_start
from controllers.replicaset import (
    ReplicaSetController,
    ReplicationController,
    choose_victims,
    count_replicas,
    new_status,
)
from tests.controllers.harness import Harness, template

Obj = dict[str, Any]
NOW = 1_000_000.0


def pod(name: str, node: str = "n1", phase: str = "Running", ready: bool = True, cost: str = "0") -> Obj:
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "1970-01-12T00:00:00Z"}
    ]
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost},
            "labels": {"app": "a"},
            "creationTimestamp": "1970-01-12T00:00:00Z",
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": conditions},
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("z", node="", phase="Pending", ready=False), pod("a", phase="Pending", ready=False)),
        (pod("z", phase="Pending", ready=False), pod("a", phase="Running", ready=False)),
        (pod("z", ready=False), pod("a", ready=True)),
        (pod("z", cost="-5"), pod("a")),
        (pod("a"), pod("z")),
    ],
)
def test_who_goes_first(first: Obj, second: Obj) -> None:
    assert choose_victims([second, first], [], 1, NOW) == [first]


def test_crowded_nodes_lose_pods_first() -> None:
    pods = [pod("a", "n1"), pod("b", "n2"), pod("c", "n2")]
    assert choose_victims(pods, pods, 1, NOW) == [pods[1]]


def test_counts_and_failure_condition() -> None:
    clock = ControlledClock()
    owner: Obj = {"metadata": {"generation": 3}, "spec": {"replicas": 3, "template": template("a")}}
    counts = count_replicas(owner, [pod("a"), pod("b", ready=False)], 1, NOW)
    assert counts == {
        "replicas": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
    }
    failed = new_status(owner, counts, ApiError(403, "Forbidden", "exceeded quota"), clock)
    assert failed["observedGeneration"] == 3
    (condition,) = failed["conditions"]
    assert (condition["reason"], condition["message"]) == ("FailedCreate", "exceeded quota")
    assert "conditions" not in new_status({**owner, "status": failed}, counts, None, clock)


async def test_expectations_wait_for_the_cache_but_not_for_ever() -> None:
    clock = ControlledClock()
    expectations = Expectations(clock)
    assert expectations.satisfied("k")
    expectations.expect_creations("k", 2)
    expectations.creation_observed("k")
    assert not expectations.satisfied("k")
    expectations.creation_observed("k")
    assert expectations.satisfied("k")
    expectations.expect_deletions("k", ["a", "b"])
    expectations.deletion_observed("k", "a")
    expectations.deletion_observed("k", "a")
    assert not expectations.satisfied("k")
    await clock.advance(301)
    assert expectations.satisfied("k")


async def test_slow_start_stops_at_the_first_failing_batch() -> None:
    tried: list[int] = []

    async def act(number: int) -> None:
        tried.append(number)
        if number >= 3:
            raise ApiError(403, "Forbidden", "no")

    done, error = await slow_start(100, act)
    assert (done, len(tried)) == (3, 7)
    assert isinstance(error, ApiError)


def replica_set(replicas: int, name: str = "rs", **spec: Any) -> Obj:
    described = {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template("a"), **spec}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": described}


async def test_scales_up_down_and_reports(harness: Harness) -> None:
    harness.start(ReplicaSetController)
    owner = await harness.client.create(REPLICA_SETS, replica_set(3))
    await harness.until(lambda: harness.status(REPLICA_SETS, "rs").get("availableReplicas") == 3)
    assert all(meta.is_controlled_by(pod, owner) for pod in harness.all(PODS))
    assert sorted(harness.events("SuccessfulCreate"))[0].startswith("Created pod: rs-")
    await harness.client.patch(REPLICA_SETS, "rs", {"spec": {"replicas": 1}}, "default")
    await harness.until(lambda: len(harness.all(PODS)) == 1)
    await harness.until(lambda: harness.status(REPLICA_SETS, "rs")["replicas"] == 1)


async def test_replaces_lost_pods_and_adopts_orphans(harness: Harness) -> None:
    orphan = {"metadata": {"name": "orphan", "namespace": "default", "labels": {"app": "a"}}, "spec": {}}
    await harness.client.create(PODS, orphan)
    harness.start(ReplicaSetController)
    await harness.client.create(REPLICA_SETS, replica_set(2))
    await harness.until(lambda: len(harness.all(PODS)) == 2)
    await harness.until(lambda: meta.controller_of(harness.get(PODS, "orphan") or {"metadata": {}}))
    await harness.client.delete(PODS, "orphan", "default")
    await harness.until(lambda: len(harness.all(PODS)) == 2 and harness.get(PODS, "orphan") is None)
    harness.set_pod(harness.all(PODS)[0], "Failed")
    await harness.until(lambda: len(harness.all(PODS)) == 3)


async def test_a_refused_creation_shows_as_a_condition(harness: Harness) -> None:
    harness.start(ReplicaSetController)
    refuse = ApiError(403, "Forbidden", "quota").to_status()

    def fault(request: web.Request) -> web.Response | None:
        if request.method == "POST" and request.path.endswith("/pods"):
            return web.json_response(refuse, status=403)
        return None

    harness.api.faults.append(fault)
    await harness.client.create(REPLICA_SETS, replica_set(2))
    await harness.until(lambda: meta.is_condition_true(harness.get(REPLICA_SETS, "rs") or {}, "ReplicaFailure"))
    await harness.until(lambda: harness.events("FailedCreate") == ["Error creating: quota"])
    harness.api.faults.clear()
    await harness.until(lambda: len(harness.all(PODS)) == 2)
    await harness.until(lambda: not meta.conditions(harness.get(REPLICA_SETS, "rs") or {}))


async def test_replication_controllers_select_by_map(harness: Harness) -> None:
    harness.start(ReplicationController)
    spec = {"replicas": 2, "selector": {"app": "a"}, "template": template("a")}
    rc = {"metadata": {"name": "rc", "namespace": "default"}, "spec": spec}
    await harness.client.create(REPLICATION_CONTROLLERS, rc)
    await harness.until(lambda: len(harness.all(PODS)) == 2)
    await harness.until(lambda: harness.status(REPLICATION_CONTROLLERS, "rc").get("readyReplicas") == 2)
    assert "terminatingReplicas" not in harness.status(REPLICATION_CONTROLLERS, "rc")
