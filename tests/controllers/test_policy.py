"""Disruption budgets, quotas, protection of volumes in use."""

from typing import Any

import pytest

from apimachinery import meta
from client.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    VOLUME_ATTRIBUTES_CLASSES,
)
from controllers import disruption
from controllers.disruption import DisruptionController
from controllers.resourcequota import ResourceQuotaController
from controllers.volumeprotection import (
    CLAIM_FINALIZER,
    CLASS_FINALIZER,
    VOLUME_FINALIZER,
    AttributesClassProtectionController,
    ClaimProtectionController,
    VolumeProtectionController,
)
from tests.controllers.harness import Harness

Obj = dict[str, Any]


def pod(name: str, *, ready: bool = True, owner: Obj | None = None, **spec: Any) -> Obj:
    metadata: Obj = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "a"}}
    if owner is not None:
        metadata["ownerReferences"] = [meta.controller_ref(owner, REPLICA_SETS)]
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running", "conditions": conditions}}


def budget(**spec: Any) -> Obj:
    metadata = {"name": "b", "namespace": "default"}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": {"app": "a"}}, **spec}}


@pytest.mark.parametrize(
    ("spec", "covered", "expected"),
    [
        ({"minAvailable": 2}, 5, 2),
        ({"minAvailable": "50%"}, 5, 3),
        ({"maxUnavailable": 1}, 5, 4),
        ({"maxUnavailable": "30%"}, 10, 7),
        ({"maxUnavailable": 9}, 5, 0),
    ],
)
def test_how_many_must_stay(spec: Obj, covered: int, expected: int) -> None:
    assert disruption.desired_healthy(budget(**spec), covered) == expected


def test_evicted_pods_do_not_count_as_healthy_for_a_while() -> None:
    now = 1000.0
    told = {**budget(), "status": {"disruptedPods": {"a": "1970-01-01T00:16:00Z", "b": "1970-01-01T00:10:00Z"}}}
    matched = [pod("a"), pod("b"), pod("c")]
    disrupted, overdue, wait = disruption.still_disrupted(told, matched, now)
    assert (list(disrupted), [meta.name(entry) for entry in overdue], wait) == (["a"], ["b"], 80)
    assert disruption.healthy(matched, disrupted, now) == 2


async def test_a_budget_follows_its_pods(harness: Harness) -> None:
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}}
    owner = harness.api.put(REPLICA_SETS, {"metadata": {"name": "rs", "namespace": "default"}, "spec": spec})
    for name in "abc":
        harness.api.put(PODS, pod(name, owner=owner, ready=name != "c"))
    harness.start(DisruptionController)
    await harness.client.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=2))
    await harness.until(lambda: harness.status(POD_DISRUPTION_BUDGETS, "b").get("disruptionsAllowed") == 1)
    status = harness.status(POD_DISRUPTION_BUDGETS, "b")
    assert (status["expectedPods"], status["desiredHealthy"], status["currentHealthy"]) == (3, 1, 2)
    assert harness.condition(POD_DISRUPTION_BUDGETS, "b", "DisruptionAllowed")["reason"] == "SufficientPods"
    harness.api.remove(PODS, "default/a")
    await harness.until(lambda: harness.status(POD_DISRUPTION_BUDGETS, "b")["disruptionsAllowed"] == 0)
    assert harness.condition(POD_DISRUPTION_BUDGETS, "b", "DisruptionAllowed")["status"] == "False"


async def test_a_budget_that_cannot_be_reckoned_allows_nothing(harness: Harness) -> None:
    stranger = {"metadata": {"name": "x", "uid": "x"}}
    harness.api.put(PODS, pod("a", owner=stranger))
    harness.start(DisruptionController)
    await harness.client.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
    await harness.until(
        lambda: harness.condition(POD_DISRUPTION_BUDGETS, "b", "DisruptionAllowed").get("reason") == "SyncFailed"
    )
    assert harness.status(POD_DISRUPTION_BUDGETS, "b")["disruptionsAllowed"] == 0


async def test_a_quota_is_counted_anew(harness: Harness) -> None:
    containers = [{"name": "c", "resources": {"requests": {"cpu": "250m"}}}]
    harness.api.put(PODS, pod("a", containers=containers))
    harness.api.put(PODS, pod("b", containers=containers))
    harness.api.put(CONFIG_MAPS, {"metadata": {"name": "m", "namespace": "default"}})
    harness.start(ResourceQuotaController)
    hard = {"pods": "5", "requests.cpu": "2", "configmaps": "9", "count/pods": "7", "requests.memory": "1Gi"}
    await harness.client.create(
        RESOURCE_QUOTAS, {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}}
    )
    await harness.until(lambda: harness.status(RESOURCE_QUOTAS, "q").get("used"))
    assert harness.status(RESOURCE_QUOTAS, "q") == {
        "hard": hard,
        "used": {"pods": "2", "requests.cpu": "500m", "configmaps": "1", "count/pods": "2", "requests.memory": "0"},
    }
    harness.set_pod(harness.get(PODS, "a") or {}, "Succeeded")
    await harness.until(lambda: harness.status(RESOURCE_QUOTAS, "q")["used"]["pods"] == "1")
    harness.api.remove(PODS, "default/b")
    await harness.until(lambda: harness.status(RESOURCE_QUOTAS, "q")["used"]["pods"] == "0")


async def test_a_claim_goes_only_when_no_pod_uses_it(harness: Harness) -> None:
    harness.start(ClaimProtectionController)
    await harness.client.create(
        PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "c", "namespace": "default"}, "spec": {}}
    )
    await harness.until(lambda: meta.has_finalizer(harness.get(PERSISTENT_VOLUME_CLAIMS, "c") or {}, CLAIM_FINALIZER))
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    harness.api.put(PODS, pod("p", nodeName="n", volumes=volumes))
    await harness.client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
    await harness.until(lambda: meta.deleting(harness.get(PERSISTENT_VOLUME_CLAIMS, "c") or {"metadata": {}}))
    harness.api.remove(PODS, "default/p")
    await harness.until(lambda: harness.get(PERSISTENT_VOLUME_CLAIMS, "c") is None)


async def test_a_bound_volume_stays(harness: Harness) -> None:
    harness.start(VolumeProtectionController)
    await harness.client.create(PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "status": {"phase": "Bound"}})
    await harness.until(
        lambda: meta.has_finalizer(harness.get(PERSISTENT_VOLUMES, "v", None) or {"metadata": {}}, VOLUME_FINALIZER)
    )
    await harness.client.delete(PERSISTENT_VOLUMES, "v")
    harness.api.put(
        PERSISTENT_VOLUMES, {**(harness.get(PERSISTENT_VOLUMES, "v", None) or {}), "status": {"phase": "Released"}}
    )
    await harness.until(lambda: harness.get(PERSISTENT_VOLUMES, "v", None) is None)


async def test_attributes_of_a_claim_stay(harness: Harness) -> None:
    harness.start(AttributesClassProtectionController)
    await harness.client.create(VOLUME_ATTRIBUTES_CLASSES, {"metadata": {"name": "gold"}})

    def gold() -> Obj | None:
        return harness.get(VOLUME_ATTRIBUTES_CLASSES, "gold", None)

    await harness.until(lambda: meta.has_finalizer(gold() or {"metadata": {}}, CLASS_FINALIZER))
    claim = {"metadata": {"name": "c", "namespace": "default"}, "spec": {"volumeAttributesClassName": "gold"}}
    await harness.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
    harness.api.put(PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "spec": {"volumeAttributesClassName": "gold"}})
    await harness.client.delete(VOLUME_ATTRIBUTES_CLASSES, "gold")
    harness.api.remove(PERSISTENT_VOLUMES, "v")
    assert gold() is not None
    harness.api.put(PERSISTENT_VOLUME_CLAIMS, {**claim, "spec": {"volumeAttributesClassName": "silver"}})
    await harness.until(lambda: gold() is None)
