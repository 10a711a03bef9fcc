from datetime import UTC, datetime
from typing import Any

from apimachinery import cron, meta, times
from client.resources import CRON_JOBS, JOBS
from controllers import cronjob
from controllers.cronjob import CronJobController
from tests.controllers.harness import Harness

Obj = dict[str, Any]


def at(text: str) -> float:
    return times.parse_time(text)


def test_what_is_due() -> None:
    hourly = cron.parse("0 * * * *")
    found = cronjob.due(hourly, UTC, at("2026-01-01T00:10:00Z"), at("2026-01-01T03:30:00Z"))
    assert found.latest == at("2026-01-01T03:00:00Z")
    assert found.next == at("2026-01-01T04:00:00Z")
    assert found.missed == 3
    quiet = cronjob.due(hourly, UTC, at("2026-01-01T03:10:00Z"), at("2026-01-01T03:30:00Z"))
    assert (quiet.latest, quiet.missed) == (None, 0)


def test_years_behind_only_the_latest_counts() -> None:
    found = cronjob.due(cron.parse("* * * * *"), UTC, at("2020-01-01T00:00:00Z"), at("2026-01-01T00:00:30Z"))
    assert found.latest == at("2026-01-01T00:00:00Z")
    assert found.missed > cronjob.MANY
    every = cronjob.due(cron.parse("@every 1h"), UTC, at("2026-01-01T00:00:00Z"), at("2026-01-01T05:30:00Z"))
    assert (every.latest, every.missed) == (at("2026-01-01T05:00:00Z"), 5)


def cron_job(**spec: Any) -> Obj:
    template = {"spec": {"template": {"spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}}}}
    described = {"schedule": "* * * * *", "concurrencyPolicy": "Allow", "jobTemplate": template, **spec}
    created = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 120, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"name": "c", "namespace": "default", "creationTimestamp": created}, "spec": described}


def test_the_job_of_a_start() -> None:
    described = cronjob.describe_job(
        {**cron_job(), "metadata": {"name": "c", "namespace": "n", "uid": "u"}}, 120.0, UTC
    )
    assert meta.name(described) == "c-2"
    assert meta.annotations(described)[cronjob.SCHEDULED] == "1970-01-01T00:02:00Z"


async def test_starts_what_is_due_and_follows_it(harness: Harness) -> None:
    harness.start(CronJobController)
    await harness.client.create(CRON_JOBS, cron_job())
    (job,) = await harness.until(lambda: harness.all(JOBS))
    await harness.until(lambda: harness.status(CRON_JOBS, "c").get("active"))
    assert harness.status(CRON_JOBS, "c")["active"][0]["name"] == meta.name(job)
    finished = {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": "2026-01-01T00:00:00Z"}
    harness.api.put(JOBS, {**job, "status": finished})
    await harness.until(lambda: harness.status(CRON_JOBS, "c").get("lastSuccessfulTime") == "2026-01-01T00:00:00Z")
    await harness.until(lambda: "active" not in harness.status(CRON_JOBS, "c"))
    await harness.until(lambda: harness.events("SawCompletedJob"))


async def test_forbid_waits_for_the_one_before(harness: Harness) -> None:
    harness.start(CronJobController)
    await harness.client.create(CRON_JOBS, cron_job(concurrencyPolicy="Forbid"))
    await harness.until(lambda: harness.status(CRON_JOBS, "c").get("active"))
    back = {"status": {"lastScheduleTime": "2020-01-01T00:00:00Z"}}
    stale = harness.status(CRON_JOBS, "c")["active"]
    stale[0]["name"] = "c-0"
    await harness.client.patch(
        CRON_JOBS, "c", {"status": {**back["status"], "active": stale}}, "default", subresource="status"
    )
    await harness.until(lambda: harness.events("JobAlreadyActive"))
    assert len(harness.all(JOBS)) == 1


def test_history_is_limited() -> None:
    def job(name: str, type_: str, started: str) -> Obj:
        conditions = [{"type": type_, "status": "True"}]
        return {"metadata": {"name": name}, "spec": {}, "status": {"conditions": conditions, "startTime": started}}

    jobs = [job("a", "Complete", "3"), job("b", "Complete", "1"), job("c", "Failed", "2"), job("d", "Failed", "4")]
    limited = cron_job(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
    assert [meta.name(entry) for entry in cronjob.outdated(limited, jobs)] == ["b", "c", "d"]


async def test_a_suspended_one_makes_nothing(harness: Harness) -> None:
    harness.start(CronJobController)
    await harness.client.create(CRON_JOBS, cron_job(suspend=True))
    await harness.client.create(
        CRON_JOBS, {**cron_job(schedule="nonsense"), "metadata": {"name": "x", "namespace": "default"}}
    )
    await harness.until(lambda: harness.events("UnparseableSchedule"))
    assert harness.all(JOBS) == []
