from typing import Any

import pytest

from apimachinery import meta
from client.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from controllers import statefulplan
from controllers.statefulplan import Revisions
from controllers.statefulset import StatefulSetController
from tests.controllers.harness import Harness, template

Obj = dict[str, Any]
NOW = 1_000_000.0
REVISIONS = Revisions("old", "new")


def stateful_set(replicas: int = 3, image: str = "one", **spec: Any) -> Obj:
    described = {
        "replicas": replicas,
        "serviceName": "svc",
        "selector": {"matchLabels": {"app": "a"}},
        "template": template("a", image),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        **spec,
    }
    return {"metadata": {"name": "db", "namespace": "default", "uid": "db"}, "spec": described}


def pod(number: int, revision: str = "new", ready: bool = True, phase: str = "Running", **metadata: Any) -> Obj:
    name = f"db-{number}"
    labels = {statefulplan.REVISION: revision, statefulplan.POD_NAME: name, statefulplan.POD_INDEX: str(number)}
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "1970-01-01T00:00:00Z"}
    ]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels, **metadata},
        "spec": {},
        "status": {"phase": phase, "conditions": conditions},
    }


def deleted(plan: statefulplan.Plan) -> list[str]:
    return [meta.name(entry) for entry in plan.delete]


def test_pods_come_in_order() -> None:
    assert statefulplan.plan(stateful_set(), [], REVISIONS, NOW).create == [(0, "new")]
    assert statefulplan.plan(stateful_set(), [pod(0, ready=False)], REVISIONS, NOW).create == []
    assert statefulplan.plan(stateful_set(), [pod(0)], REVISIONS, NOW).create == [(1, "new")]
    parallel = stateful_set(podManagementPolicy="Parallel")
    assert [number for number, _ in statefulplan.plan(parallel, [], REVISIONS, NOW).create] == [0, 1, 2]


def test_pods_go_from_the_highest_one_by_one() -> None:
    everyone = [pod(number) for number in range(4)]
    assert deleted(statefulplan.plan(stateful_set(2), everyone, REVISIONS, NOW)) == ["db-3"]
    going = [*everyone[:3], pod(3, deletionTimestamp="2026-01-01T00:00:00Z")]
    assert deleted(statefulplan.plan(stateful_set(2), going, REVISIONS, NOW)) == []
    assert deleted(statefulplan.plan(stateful_set(2, podManagementPolicy="Parallel"), everyone, REVISIONS, NOW)) == [
        "db-3",
        "db-2",
    ]


def test_an_unwell_lower_pod_stops_shrinking() -> None:
    everyone = [pod(0), pod(1, ready=False), pod(2)]
    assert deleted(statefulplan.plan(stateful_set(2), everyone, REVISIONS, NOW)) == []


def test_a_failed_pod_is_made_again() -> None:
    plan = statefulplan.plan(stateful_set(), [pod(0, phase="Failed", ready=False)], REVISIONS, NOW)
    assert [meta.name(entry) for entry in plan.recreate] == ["db-0"]


def test_rolling_goes_down_to_the_partition() -> None:
    everyone = [pod(number, "old") for number in range(3)]
    assert deleted(statefulplan.plan(stateful_set(), everyone, REVISIONS, NOW)) == ["db-2"]
    everyone[2] = pod(2, "new", ready=False)
    assert deleted(statefulplan.plan(stateful_set(podManagementPolicy="Parallel"), everyone, REVISIONS, NOW)) == []
    everyone[2] = pod(2, "new")
    assert deleted(statefulplan.plan(stateful_set(), everyone, REVISIONS, NOW)) == ["db-1"]
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    assert deleted(statefulplan.plan(stateful_set(updateStrategy=strategy), everyone, REVISIONS, NOW)) == []
    on_delete = stateful_set(updateStrategy={"type": "OnDelete"})
    assert deleted(statefulplan.plan(on_delete, everyone, REVISIONS, NOW)) == []


@pytest.mark.parametrize(("number", "expected"), [(0, "old"), (1, "old"), (2, "new")])
def test_new_pods_below_the_partition_are_of_the_old_revision(number: int, expected: str) -> None:
    partitioned = stateful_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    assert statefulplan.revision_for(partitioned, number, REVISIONS) == expected


def test_identity_and_claims() -> None:
    claims = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    with_claims = stateful_set(volumeClaimTemplates=claims)
    described = statefulplan.make_pod(with_claims, with_claims["spec"]["template"], "new", 1)
    assert (meta.name(described), described["spec"]["hostname"], described["spec"]["subdomain"]) == (
        "db-1",
        "db-1",
        "svc",
    )
    assert described["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
    assert statefulplan.is_identified(with_claims, described)
    assert not statefulplan.is_identified(with_claims, pod(1))
    assert [meta.name(claim) for claim in statefulplan.claims_of(with_claims, 1)] == ["data-db-1"]


def test_the_status_of_a_finished_rollout() -> None:
    status = statefulplan.count(stateful_set(), [pod(number) for number in range(3)], REVISIONS, NOW)
    assert (status["currentRevision"], status["updateRevision"], status["currentReplicas"]) == ("new", "new", 3)
    status = statefulplan.count(stateful_set(), [pod(0, "old"), pod(1)], REVISIONS, NOW)
    assert (status["currentRevision"], status["currentReplicas"], status["updatedReplicas"]) == ("old", 1, 1)


async def test_the_life_of_a_set(harness: Harness) -> None:
    harness.start(StatefulSetController)
    claims = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    await harness.client.create(STATEFUL_SETS, stateful_set(2, volumeClaimTemplates=claims))
    await harness.until(lambda: harness.status(STATEFUL_SETS, "db").get("readyReplicas") == 2)
    assert [meta.name(entry) for entry in harness.all(PODS)] == ["db-0", "db-1"]
    assert {meta.name(claim) for claim in harness.all(PERSISTENT_VOLUME_CLAIMS)} == {"data-db-0", "data-db-1"}
    await harness.until(lambda: "create Pod db-1 in StatefulSet db successful" in harness.events("SuccessfulCreate"))
    await harness.client.patch(STATEFUL_SETS, "db", {"spec": {"template": template("a", "two")}}, "default")

    def rolled() -> bool:
        images = [entry["spec"]["containers"][0]["image"] for entry in harness.all(PODS)]
        status = harness.status(STATEFUL_SETS, "db")
        return images == ["two", "two"] and status.get("currentRevision") == status.get("updateRevision")

    await harness.until(rolled)
    assert sorted(entry["revision"] for entry in harness.all(CONTROLLER_REVISIONS)) == [1, 2]
    await harness.client.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 0}}, "default")
    await harness.until(lambda: not harness.all(PODS))
    assert len(harness.all(PERSISTENT_VOLUME_CLAIMS)) == 2  # volumes outlive their pods
