"""Jobs: pods that run until enough have succeeded, or too many have failed.

A pod keeps a finalizer until its end is counted: its uid goes into the Job's status, then the finalizer goes, then the
counters change. So no end is lost or counted twice, whatever is restarted in between. The reckoning is in jobplan.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods, selectors, times
from apimachinery.errors import ApiError
from client.resources import JOBS, PODS
from controllers import jobplan, ownership
from controllers.base import (
    EVENTS_RULE,
    Controller,
    Expectations,
    Result,
    Rule,
    copy,
    gather_all,
    ignoring_absence,
    namespace_terminating,
    slow_start,
)
from controllers.jobplan import FINALIZER, Failures, Outcome, View
from controllers.podcontrol import PodControl, pod_from_template
from controllers.replicaset import POD_INDEXERS

Obj = dict[str, Any]

BATCH = 0.1  # seconds that changes of pods are collected before the Job is looked at
MOST = 500  # pods created or deleted, and ends noted, in one go
ORPHAN = "orphan:"  # queue keys of pods whose Job is gone


class JobController(Controller):
    name = "job-controller"
    aliases = ("job",)
    source = "job-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("batch",), ("jobs",), ("get", "list", "patch", "update", "watch")),
        Rule(("batch",), ("jobs/status",), ("update",)),
        Rule(("batch",), ("jobs/finalizers",), ("update",)),
        Rule(("",), ("pods",), ("create", "delete", "list", "patch", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_job_syncs
        self._expectations = Expectations(self.clock)
        self._released: dict[str, set[str]] = {}
        self._failures: dict[str, Failures] = {}
        self._pod_control = PodControl(self.client, self.recorder, JOBS)
        self._jobs = self.watch(
            JOBS,
            added=self.enqueue_object,
            updated=lambda old, new: self.enqueue_object(new),
            deleted=self._job_deleted,
        )
        self._pods = self.watch(
            PODS, added=self._pod_added, updated=self._pod_updated, deleted=self._pod_deleted, indexers=POD_INDEXERS
        )

    # -- what wakes it

    def _job_deleted(self, job: Obj) -> None:
        key = meta.key(job)
        self._expectations.forget(key)
        self._released.pop(key, None)
        self._failures.pop(key, None)
        for pod in self._pods.by_index("controller-uid", meta.uid(job)):
            if jobplan.has_finalizer(pod):
                self.enqueue(ORPHAN + meta.key(pod))

    def _job_of(self, pod: Obj) -> Obj | None:
        reference = meta.controller_of(pod)
        if reference is None or reference["kind"] != "Job":
            return None
        job = self._jobs.find(meta.namespace(pod), reference["name"])
        return job if job is not None and meta.uid(job) == reference["uid"] else None

    def _wake(self, pod: Obj) -> Obj | None:
        """Have the pod's Job looked at; a pod that only a vanished Job holds is freed."""
        job = self._job_of(pod)
        if job is not None:
            self.enqueue_after(meta.key(job), BATCH)
        elif jobplan.has_finalizer(pod):
            reference = meta.controller_of(pod)
            if reference is None or reference["kind"] == "Job":
                self.enqueue_after(ORPHAN + meta.key(pod), BATCH)
        if job is None and meta.controller_of(pod) is None and not meta.deleting(pod):
            labels = meta.labels(pod)
            for candidate in self._jobs.list(meta.namespace(pod)):
                selector = selectors.from_object(candidate["spec"].get("selector"))
                if not selector.empty and selector.matches(labels):
                    self.enqueue_object(candidate)
        return job

    def _pod_added(self, pod: Obj) -> None:
        if meta.deleting(pod):
            self._pod_deleted(pod)
            return
        job = self._wake(pod)
        if job is not None:
            self._expectations.creation_observed(meta.key(job))

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if meta.deleting(new):
            self._pod_deleted(new)
            return
        if meta.controller_of(old) != meta.controller_of(new):
            self._wake(old)
        job = self._wake(new)
        if job is not None and not jobplan.has_finalizer(new):
            self._released.get(meta.key(job), set()).discard(meta.uid(new))

    def _pod_deleted(self, pod: Obj) -> None:
        job = self._wake(pod)
        if job is not None:
            key = meta.key(job)
            self._expectations.deletion_observed(key, meta.key(pod))
            if not jobplan.has_finalizer(pod):
                self._released.get(key, set()).discard(meta.uid(pod))

    # -- the loop

    async def reconcile(self, key: str) -> Result | None:
        if key.startswith(ORPHAN):
            await self._free_orphan(key.removeprefix(ORPHAN))
            return None
        cached = self._jobs.get(key)
        if cached is None or not jobplan.is_ours(cached):
            return None
        if jobplan.finished_condition(cached) is not None:
            self._failures.pop(key, None)
            return None
        satisfied = self._expectations.satisfied(key)
        job = copy(cached)
        owned = await self._claim(job)
        now = self.clock.time()
        view = View(job, owned, now, released=self._released.setdefault(key, set()))
        return await _Sync(self, key, view, satisfied).run()

    async def _claim(self, job: Obj) -> list[Obj]:
        owned = self._pods.by_index("controller-uid", meta.uid(job))
        orphans = self._pods.by_index("orphans", meta.namespace(job))
        claimed = await ownership.claim(
            self.client,
            [*owned, *orphans],
            resource=PODS,
            owner=job,
            owner_resource=JOBS,
            selector=selectors.from_object(job["spec"].get("selector")),
            finalizers=(FINALIZER,),
        )
        return claimed

    async def _free_orphan(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is None or not jobplan.has_finalizer(pod) or self._job_of(pod) is not None:
            return
        await self.release(pod)

    async def release(self, pod: Obj) -> None:
        """Take our finalizer off a pod."""
        metadata = {"uid": meta.uid(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
        await ignoring_absence(
            self.client.patch(
                PODS, meta.name(pod), {"metadata": metadata}, meta.namespace(pod), content_type="strategic"
            )
        )

    def failures(self, key: str) -> Failures:
        return self._failures.get(key) or Failures()

    def note_failures(self, key: str, failures: Failures) -> None:
        self._failures[key] = failures

    @property
    def expectations(self) -> Expectations:
        return self._expectations

    @property
    def pod_control(self) -> PodControl:
        return self._pod_control


class _Sync:
    """One reconciliation of one Job."""

    def __init__(self, controller: JobController, key: str, view: View, satisfied: bool) -> None:
        self.controller = controller
        self.key = key
        self.view = view
        self.job = view.job
        self.satisfied = satisfied
        self.status: Obj = self.job.setdefault("status", {})
        self.before = copy(self.status)
        self.failures = controller.failures(key).after(view.new_succeeded, view.new_failed, view.now)
        self.active = len(view.active)
        self.ready = view.ready
        self.terminating = view.terminating
        self.after = 0.0

    async def run(self) -> Result | None:
        view, job = self.view, self.job
        now = times.format_time(view.now)
        if not self.status.get("startTime") and not jobplan.is_suspended(job):
            self.status["startTime"] = now
        decided = jobplan.decide_outcome(view)
        outcome: Outcome | None = None
        error: ApiError | None = None
        try:
            if decided is not None:
                outcome = decided if await self._stop_active() else None
            else:
                outcome = await self._go_on(now)
        except ApiError as failure:
            error = failure
        self._count()
        await self._account(outcome)
        if error is not None:
            raise error
        left = jobplan.deadline_in(view)
        waits = [wait for wait in (self.after, left) if wait is not None and wait > 0]
        return Result(after=min(waits)) if waits else None

    async def _go_on(self, now: str) -> Outcome | None:
        """The Job is not over by any limit: have pods at work, and see whether that was enough."""
        may_act = self.satisfied and not meta.deleting(self.job)
        if may_act:
            await self._manage()
        if jobplan.is_complete(self.view, self.active):
            return jobplan.REACHED
        if may_act:
            self._note_suspension(now)
        return None

    # -- pods

    async def _stop_active(self) -> bool:
        """The Job is over: delete what is active. Whether all of it is known to be going."""
        everyone = list(self.view.active)

        async def delete(pod: Obj) -> None:
            try:
                await self.controller.pod_control.delete(self.job, pod)
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
            self.active -= 1
            self.ready -= pods.is_ready(pod)
            self.terminating += 1

        await gather_all(delete(pod) for pod in everyone)
        return self.satisfied

    async def _manage(self) -> None:
        """Have the wanted number of pods at work: delete or create, one of the two at a time."""
        view = self.view
        suspended = jobplan.is_suspended(self.job)
        wanted = 0 if suspended else jobplan.wanted_active(view)
        surplus = max(0, self.active - wanted)
        victims = view.active if suspended else jobplan.choose_victims(view, surplus, self._rank)
        if victims:
            await self._delete(victims[:MOST])
            return
        replacing = view.terminating if jobplan.replaces_failed_only(self.job) else 0
        missing = wanted - replacing - self.active
        if missing > 0 and not suspended:
            await self._create(min(missing, MOST))

    def _rank(self, pod: Obj) -> tuple[Any, ...]:
        """Less useful pods first."""
        phases = {"Pending": 0, "Unknown": 1}
        return (
            bool(pod["spec"].get("nodeName")),
            phases.get(pods.phase(pod), 2),
            pods.is_ready(pod),
            -meta.created(pod),
        )

    async def _delete(self, victims: Sequence[Obj]) -> None:
        """Delete pods that are not wanted any more: they count neither as failed nor as succeeded."""
        expectations = self.controller.expectations
        expectations.expect_deletions(self.key, map(meta.key, victims))

        async def delete(pod: Obj) -> None:
            try:
                if jobplan.has_finalizer(pod):
                    await self.controller.release(pod)
                await self.controller.pod_control.delete(self.job, pod)
            except ApiError as error:
                expectations.deletion_observed(self.key, meta.key(pod))
                if error.reason != "NotFound":
                    raise
            self.active -= 1
            self.ready -= pods.is_ready(pod)
            self.terminating += 1
            self.view.released.add(meta.uid(pod))

        await gather_all(delete(pod) for pod in victims)

    async def _create(self, count: int) -> None:
        view, job = self.view, self.job
        indexes: list[int | None] = [None] * count
        if not jobplan.per_index(job):
            wait = jobplan.retry_delay(self.failures.count, self.failures.last, view.now)
            if wait > 0:
                self.after = wait
                return
        if jobplan.is_indexed(job):
            candidates = jobplan.pending_indexes(view, count)
            if jobplan.per_index(job):
                waits = {index: jobplan.index_delay(view, index) for index in candidates}
                due = [index for index in candidates if waits[index] <= 0]
                if len(due) < len(candidates):
                    self.after = min(wait for wait in waits.values() if wait > 0)
                candidates = due
            indexes = list(candidates)
        if not indexes:
            return
        expectations = self.controller.expectations
        expectations.expect_creations(self.key, len(indexes))
        pod = pod_from_template(jobplan.pod_template(job), job, JOBS)
        self.active += len(indexes)

        async def create(number: int) -> None:
            index = indexes[number]
            described = pod if index is None else jobplan.indexed_pod(pod, job, index, view.kept.get(index))
            try:
                await self.controller.pod_control.create(job, described)
            except ApiError as error:
                if not namespace_terminating(error):
                    raise

        done, error = await slow_start(len(indexes), create)
        if done < len(indexes):
            expectations.creation_observed(self.key, len(indexes) - done)
            self.active -= len(indexes) - done
        if error is not None:
            raise error

    # -- status

    def _note_suspension(self, now: str) -> None:
        conditions = list(self.status.get("conditions") or ())
        present = meta.find_condition(conditions, "Suspended")
        if jobplan.is_suspended(self.job):
            words = ("True", "JobSuspended", "Job suspended")
        elif present is not None:
            words = ("False", "JobResumed", "Job resumed")
        else:
            return
        if present is not None and present.get("status") == words[0]:
            return
        self.status["conditions"] = [
            *meta.without_condition(conditions, "Suspended"),
            _condition("Suspended", *words, now),
        ]
        if words[0] == "True":
            self.controller.recorder.event(self.job, "Normal", "Suspended", words[2])
        else:
            self.controller.recorder.event(self.job, "Normal", "Resumed", words[2])
            self.status["startTime"] = now

    def _count(self) -> None:
        for name, value in (("active", self.active), ("ready", self.ready), ("terminating", self.terminating)):
            if value or name != "active":
                self.status[name] = value
            else:
                self.status.pop(name, None)

    async def _account(self, outcome: Outcome | None) -> None:
        """Note the ends of pods in the status, release the pods, then count them; finish the Job when nothing is left."""
        ended, complete = self._note_ends(outcome)
        if outcome is not None and not meta.is_condition_true(self.job, outcome.interim):
            self._add_condition(outcome.interim, outcome)
        holding = {meta.uid(pod) for pod in self.view.owned if jobplan.has_finalizer(pod)} - self.view.released
        self._move_counted(holding)
        await self._flush()
        self.controller.note_failures(self.key, self.failures)
        freed = await self._release_all(ended)
        self._move_counted(holding - freed)
        finished = complete and outcome is not None and self._finish(outcome)
        await self._flush()
        if finished and outcome is not None:
            if outcome.final == "Complete":
                self.controller.recorder.event(self.job, "Normal", "Completed", "Job completed")
            else:
                self.controller.recorder.event(self.job, "Warning", outcome.reason, outcome.message)

    def _note_ends(self, outcome: Outcome | None) -> tuple[list[Obj], bool]:
        """Pods to release, their ends noted in the status; and whether that was all of them."""
        view, job = self.view, self.job
        indexed = jobplan.is_indexed(job)
        done = set(view.indexes_before)
        succeeded, failed = list(view.uncounted_succeeded), list(view.uncounted_failed)
        ended: list[Obj] = []
        everyone = sorted(view.owned, key=lambda pod: jobplan.index_of(pod) or 0) if indexed else view.owned
        complete = True
        for pod in everyone:
            uid = meta.uid(pod)
            if not jobplan.has_finalizer(pod) or uid in view.released:
                continue
            lost = jobplan.has_failed(pod, job)
            if not self._may_release(pod, lost, outcome):
                continue
            ended.append(pod)
            if pods.phase(pod) == "Succeeded" and uid not in failed:
                if indexed:
                    done |= {index} if (index := jobplan.valid_index(pod, job)) is not None else set()
                elif uid not in succeeded:
                    succeeded.append(uid)
            elif (lost or outcome is not None) and uid not in failed and self._counts_as_failed(pod):
                failed.append(uid)
            if len(succeeded) + len(failed) + len(done - view.indexes_before) >= MOST:
                complete = False
                break
        if indexed:
            view.indexes_done = done
            _put(self.status, "succeeded", len(done))
            _put(self.status, "completedIndexes", jobplan.draw_indexes(done))
            if jobplan.per_index(job):
                self.status["failedIndexes"] = jobplan.draw_indexes(view.indexes_lost)
        self._put_uncounted(succeeded, failed)
        return ended, complete

    def _may_release(self, pod: Obj, lost: bool, outcome: Outcome | None) -> bool:
        if meta.deleting(self.job) or outcome is not None or pods.phase(pod) == "Succeeded":
            return True
        if not lost:
            return False
        index = jobplan.index_of(pod)
        kept = self.view.kept.get(index) if index is not None else None
        return kept is None or meta.uid(kept) != meta.uid(pod)

    def _counts_as_failed(self, pod: Obj) -> bool:
        if jobplan.is_indexed(self.job) and jobplan.valid_index(pod, self.job) is None:
            return False
        return jobplan.match_failure_policy(self.job, pod).counts

    def _put_uncounted(self, succeeded: list[str], failed: list[str]) -> None:
        uncounted = {name: uids for name, uids in (("succeeded", succeeded), ("failed", failed)) if uids}
        self.status["uncountedTerminatedPods"] = uncounted

    def _move_counted(self, holding: set[str]) -> None:
        """Move noted pods that have no finalizer any more into the counters."""
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        left: dict[str, list[str]] = {"succeeded": [], "failed": []}
        for name in left:
            for uid in uncounted.get(name) or ():
                if uid in holding:
                    left[name].append(uid)
                else:
                    self.status[name] = (self.status.get(name) or 0) + 1
        self._put_uncounted(left["succeeded"], left["failed"])

    async def _release_all(self, ended: list[Obj]) -> set[str]:
        """Take the finalizer off those pods; the uids of those where it worked."""
        freed: set[str] = set()

        async def release(pod: Obj) -> None:
            await self.controller.release(pod)
            freed.add(meta.uid(pod))
            self.view.released.add(meta.uid(pod))

        await gather_all(release(pod) for pod in ended)
        return freed

    def _finish(self, outcome: Outcome) -> bool:
        """Tell that the Job is over, once every end is counted and no pod is left terminating."""
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        if any(uncounted.values()) or self.terminating > 0 or self.active > 0:
            return False
        self._add_condition(outcome.final, outcome)
        if outcome.final == "Complete":
            self.status["completionTime"] = times.format_time(self.view.now)
        return True

    def _add_condition(self, type_: str, outcome: Outcome) -> None:
        now = times.format_time(self.view.now)
        conditions = meta.without_condition(self.status.get("conditions"), type_)
        self.status["conditions"] = [*conditions, _condition(type_, "True", outcome.reason, outcome.message, now)]

    async def _flush(self) -> None:
        """Write the status if it differs from what the server has."""
        if self.status == self.before:
            return
        updated = await self.controller.client.update(JOBS, self.job, subresource="status")
        self.job["metadata"]["resourceVersion"] = updated["metadata"]["resourceVersion"]
        self.before = copy(self.status)


def _put(status: Obj, name: str, value: Any) -> None:
    """Set a field, or leave it out when it is empty, as the API does."""
    if value:
        status[name] = value
    else:
        status.pop(name, None)


def _condition(type_: str, status: str, reason: str, message: str, now: str) -> Obj:
    return {
        "type": type_,
        "status": status,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
