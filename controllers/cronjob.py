"""CronJobs: Jobs made by the clock. Of starts that were missed the latest is made up for, within its deadline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, ClassVar

from apimachinery import cron, meta, times
from apimachinery.errors import ApiError
from client.resources import CRON_JOBS, JOBS
from controllers import jobplan
from controllers.base import EVENTS_RULE, Controller, Result, Rule, copy, ignoring_absence, namespace_terminating
from controllers.replicaset import controller_uid

Obj = dict[str, Any]

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
SKEW = 0.1  # seconds after the moment, so that a clock that reads a little early does not miss it
MANY = 100  # missed starts from which on something is wrong
_SEARCH = 1_000  # starts looked through, at most, to find the latest


# -- deciding


@dataclass(frozen=True, slots=True)
class Due:
    """latest: the newest start that has come and was not made yet; None if there is none. next: the one after now."""

    latest: float | None
    next: float | None
    missed: int = 0


def due(schedule: cron.Schedule, zone: tzinfo, earliest: float, now: float) -> Due:
    """What the schedule says between the last start and now."""
    latest, missed = None, 0
    moment = schedule.next(earliest, zone)
    if schedule.every and moment is not None and moment <= now:
        missed = int((now - moment) // schedule.every) + 1
        latest = moment + (missed - 1) * schedule.every
        return Due(latest, latest + schedule.every, missed)
    while moment is not None and moment <= now:
        missed += 1
        latest = moment
        if missed >= _SEARCH:
            # Far behind: go on from close to now rather than through years of starts.
            moment = schedule.next(max(moment, now - 86_400), zone)
            continue
        moment = schedule.next(moment, zone)
    return Due(latest, moment, missed)


def earliest_start(cron_job: Obj, now: float) -> float:
    """Starts up to here are settled: the last one, or the job's creation, or too long ago to be made up for."""
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    earliest = times.parse_time(last) if last else meta.created(cron_job)
    deadline = cron_job["spec"].get("startingDeadlineSeconds")
    return max(earliest, now - deadline) if deadline is not None else earliest


def zone_of(cron_job: Obj) -> tzinfo:
    """The job's time zone; ValueError when it is unknown."""
    name = cron_job["spec"].get("timeZone")
    zone = cron.load_zone(name) if name else UTC
    if zone is None:
        raise ValueError(f"unknown time zone {name}")
    return zone


def job_name(cron_job: Obj, scheduled: float) -> str:
    """The name of the Job of a start: making it twice is impossible."""
    return f"{meta.name(cron_job)}-{int(scheduled) // 60}"


def describe_job(cron_job: Obj, scheduled: float, zone: tzinfo) -> Obj:
    template = cron_job["spec"]["jobTemplate"]
    described = template.get("metadata") or {}
    text = datetime.fromtimestamp(scheduled, zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "metadata": {
            "name": job_name(cron_job, scheduled),
            "namespace": meta.namespace(cron_job),
            "labels": dict(described.get("labels") or {}),
            "annotations": {**(described.get("annotations") or {}), SCHEDULED: text},
            "ownerReferences": [meta.controller_ref(cron_job, CRON_JOBS)],
        },
        "spec": template["spec"],
    }


def outdated(cron_job: Obj, jobs: Sequence[Obj]) -> list[Obj]:
    """Finished Jobs beyond the history limits, oldest first."""
    result: list[Obj] = []
    spec = cron_job["spec"]
    for type_, limit in (
        ("Complete", spec.get("successfulJobsHistoryLimit", 3)),
        ("Failed", spec.get("failedJobsHistoryLimit", 1)),
    ):
        ended = [job for job in jobs if (jobplan.finished_condition(job) or {}).get("type") == type_]
        ended.sort(key=lambda job: ((job.get("status") or {}).get("startTime") or "9", meta.name(job)))
        result += ended[: max(0, len(ended) - limit)]
    return result


# -- doing


class CronJobController(Controller):
    name = "cronjob-controller"
    aliases = ("cronjob",)
    source = "cronjob-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("batch",), ("cronjobs",), ("get", "list", "update", "watch")),
        Rule(("batch",), ("jobs",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        Rule(("batch",), ("cronjobs/status",), ("update",)),
        Rule(("batch",), ("cronjobs/finalizers",), ("update",)),
        Rule(("",), ("pods",), ("delete", "list")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_cron_job_syncs
        self._cron_jobs = self.watch_own(CRON_JOBS)
        self._jobs = self.watch(
            JOBS,
            added=self._job_changed,
            updated=lambda old, new: self._job_changed(new),
            deleted=self._job_changed,
            indexers={"controller-uid": controller_uid},
        )

    def _job_changed(self, job: Obj) -> None:
        reference = meta.controller_of(job)
        if reference is not None and reference["kind"] == "CronJob":
            self.enqueue(meta.join_key(meta.namespace(job), reference["name"]))

    async def reconcile(self, key: str) -> Result | None:
        cached = self._cron_jobs.get(key)
        if cached is None:
            return None
        cron_job = copy(cached)
        before = copy(cron_job.get("status") or {})
        jobs = self._jobs.by_index("controller-uid", meta.uid(cron_job))
        self._follow(cron_job, jobs)
        for job in outdated(cron_job, jobs):
            await self._delete(cron_job, job)
        try:
            result = await self._start(cron_job)
        finally:
            if (cron_job.get("status") or {}) != before:
                await self.client.update(CRON_JOBS, cron_job, subresource="status")
        return result

    def _follow(self, cron_job: Obj, jobs: Sequence[Obj]) -> None:
        """Bring the list of active Jobs up to date."""
        status = cron_job.setdefault("status", {})
        active = {entry["uid"]: entry for entry in status.get("active") or ()}
        seen = set()
        for job in jobs:
            uid = meta.uid(job)
            seen.add(uid)
            finished = jobplan.finished_condition(job)
            if finished is None:
                if uid not in active and not meta.deleting(job):
                    # It may be our own creation that the status does not show yet.
                    scheduled = meta.annotations(job).get(SCHEDULED)
                    if scheduled is None:
                        text = f"Saw a job that the controller did not create or forgot: {meta.name(job)}"
                        self.recorder.event(cron_job, "Warning", "UnexpectedJob", text)
                    else:
                        active[uid] = meta.object_reference(job)
            elif uid in active:
                del active[uid]
                text = f"Saw completed job: {meta.name(job)}, condition: {finished['type']}"
                self.recorder.event(cron_job, "Normal", "SawCompletedJob", text)
            completed = (job.get("status") or {}).get("completionTime")
            if finished is not None and finished["type"] == "Complete" and completed:
                status["lastSuccessfulTime"] = max(status.get("lastSuccessfulTime") or "", completed)
        for uid in [uid for uid in active if uid not in seen]:
            text = f"Active job went missing: {active[uid]['name']}"
            self.recorder.event(cron_job, "Normal", "MissingJob", text)
            del active[uid]
        if active:
            status["active"] = list(active.values())
        else:
            status.pop("active", None)

    async def _start(self, cron_job: Obj) -> Result | None:
        """Make the Job that is due, and say when to look again."""
        spec = cron_job["spec"]
        if meta.deleting(cron_job) or spec.get("suspend"):
            return None
        try:
            zone = zone_of(cron_job)
        except ValueError as error:
            text = f'invalid timeZone: "{spec["timeZone"]}": {error}'
            self.recorder.event(cron_job, "Warning", "UnknownTimeZone", text)
            return None
        try:
            schedule = cron.parse(spec["schedule"])
        except cron.CronError as error:
            text = f"unparseable schedule: {spec['schedule']}: {error}"
            self.recorder.event(cron_job, "Warning", "UnparseableSchedule", text)
            return None
        now = self.clock.time()
        found = due(schedule, zone, earliest_start(cron_job, now), now)
        again = Result(after=found.next - now + SKEW) if found.next is not None else None
        if found.missed > MANY:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.recorder.event(cron_job, "Warning", "TooManyMissedTimes", text)
        if found.latest is None or not await self._may_start(cron_job, found.latest, now):
            return again
        await self._make(cron_job, found.latest, zone)
        return again

    async def _may_start(self, cron_job: Obj, scheduled: float, now: float) -> bool:
        spec = cron_job["spec"]
        active = (cron_job.get("status") or {}).get("active") or []
        if any(entry["name"] == job_name(cron_job, scheduled) for entry in active):
            return False
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and scheduled + deadline < now:
            moment = datetime.fromtimestamp(scheduled, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
            self.recorder.event(cron_job, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {moment}")
            return False
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.recorder.event(cron_job, "Normal", "JobAlreadyActive", text)
            return False
        if policy == "Replace":
            for entry in active:
                job = self._jobs.find(meta.namespace(cron_job), entry["name"])
                if job is not None:
                    await self._delete(cron_job, job)
            cron_job["status"].pop("active", None)
        return True

    async def _make(self, cron_job: Obj, scheduled: float, zone: tzinfo) -> None:
        status = cron_job.setdefault("status", {})
        try:
            job = await self.client.create(JOBS, describe_job(cron_job, scheduled, zone))
        except ApiError as error:
            if namespace_terminating(error):
                return
            if error.reason == "AlreadyExists":
                # Made before, and the status was not written: note it now.
                status["lastScheduleTime"] = times.format_time(scheduled)
                return
            self.recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self.recorder.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {meta.name(job)}")
        status["active"] = [*(status.get("active") or ()), meta.object_reference(job, JOBS)]
        status["lastScheduleTime"] = times.format_time(scheduled)

    async def _delete(self, cron_job: Obj, job: Obj) -> None:
        name = meta.name(job)
        try:
            await ignoring_absence(self.client.delete(JOBS, name, meta.namespace(job), propagation_policy="Background"))
        except ApiError as error:
            self.recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        status = cron_job.setdefault("status", {})
        left = [entry for entry in status.get("active") or () if entry["uid"] != meta.uid(job)]
        if left:
            status["active"] = left
        else:
            status.pop("active", None)
        self.recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name}")
