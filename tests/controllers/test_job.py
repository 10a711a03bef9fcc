from typing import Any

from apimachinery import meta
from client.resources import JOBS, PODS
from controllers import jobplan
from controllers.job import JobController
from tests.controllers.harness import Harness

Obj = dict[str, Any]


def job(**spec: Any) -> Obj:
    labels = {"job": "j"}
    described = {
        "parallelism": 2,
        "completions": 3,
        "backoffLimit": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}},
        **spec,
    }
    return {"metadata": {"name": "j", "namespace": "default"}, "spec": described}


def done(harness: Harness, type_: str) -> bool:
    return meta.is_condition_true(harness.get(JOBS, "j") or {}, type_)


async def test_completes_and_counts_every_pod_once(harness: Harness) -> None:
    harness.pods_become = "Succeeded"
    harness.start(JobController)
    await harness.client.create(JOBS, job(completions=5))
    await harness.until(lambda: done(harness, "Complete"))
    status = harness.status(JOBS, "j")
    assert status["succeeded"] == 5
    assert status["completionTime"]
    assert status["uncountedTerminatedPods"] == {}
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert status["conditions"][1]["message"] == "Reached expected number of succeeded pods"
    await harness.until(lambda: not any(map(jobplan.has_finalizer, harness.all(PODS))))
    await harness.until(lambda: harness.events("Completed") == ["Job completed"])


async def test_fails_at_the_limit_and_stops_the_rest(harness: Harness) -> None:
    harness.pods_become = "Running"
    harness.start(JobController)
    await harness.client.create(JOBS, job())
    await harness.until(lambda: harness.status(JOBS, "j").get("ready") == 2)
    harness.set_pod(harness.all(PODS)[0], "Failed")
    await harness.until(lambda: done(harness, "Failed"))
    status = harness.status(JOBS, "j")
    assert [(c["type"], c["reason"]) for c in status["conditions"]] == [
        ("FailureTarget", "BackoffLimitExceeded"),
        ("Failed", "BackoffLimitExceeded"),
    ]
    assert status["failed"] == 2  # the one that failed and the one that was stopped
    assert "active" not in status
    assert [meta.name(pod) for pod in harness.all(PODS)] == [meta.name(harness.all(PODS)[0])]
    await harness.until(lambda: harness.events("BackoffLimitExceeded"))


async def test_indexed(harness: Harness) -> None:
    harness.pods_become = "Succeeded"
    harness.start(JobController)
    await harness.client.create(JOBS, job(completionMode="Indexed", completions=4))
    await harness.until(lambda: done(harness, "Complete"))
    assert harness.status(JOBS, "j")["completedIndexes"] == "0-3"
    assert sorted(jobplan.index_of(pod) or 0 for pod in harness.all(PODS)) == [0, 1, 2, 3]


async def test_suspend_and_resume(harness: Harness) -> None:
    harness.start(JobController)
    await harness.client.create(JOBS, job())
    await harness.until(lambda: harness.status(JOBS, "j").get("ready") == 2)
    await harness.client.patch(JOBS, "j", {"spec": {"suspend": True}}, "default")
    await harness.until(lambda: done(harness, "Suspended") and not harness.all(PODS))
    assert harness.status(JOBS, "j").get("failed") is None
    harness.pods_become = "Succeeded"
    await harness.client.patch(JOBS, "j", {"spec": {"suspend": False}}, "default")
    await harness.until(lambda: done(harness, "Complete"))
    assert meta.condition(harness.get(JOBS, "j") or {}, "Suspended")["status"] == "False"  # type: ignore[index]
    assert harness.events("Resumed") == ["Job resumed"]


async def test_pods_of_a_deleted_job_are_freed(harness: Harness) -> None:
    harness.start(JobController)
    await harness.client.create(JOBS, job())
    await harness.until(lambda: len(harness.all(PODS)) == 2)
    await harness.client.delete(JOBS, "j", "default", propagation_policy="Background")
    await harness.until(lambda: not any(map(jobplan.has_finalizer, harness.all(PODS))))
