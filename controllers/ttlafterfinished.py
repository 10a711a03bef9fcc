"""Deletes finished Jobs some time after they have finished, where they ask for it (spec.ttlSecondsAfterFinished)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta, times
from client.resources import JOBS
from controllers import jobplan
from controllers.base import EVENTS_RULE, Controller, Result, Rule, ignoring_absence

Obj = dict[str, Any]


def expires_at(job: Obj) -> float | None:
    """When the Job may go, in seconds since the epoch; None while that is not known."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    finished = jobplan.finished_condition(job)
    if seconds is None or finished is None or not finished.get("lastTransitionTime"):
        return None
    return float(times.parse_time(finished["lastTransitionTime"]) + seconds)


class TtlAfterFinishedController(Controller):
    name = "ttl-after-finished-controller"
    aliases = ("ttl-after-finished",)
    source = "ttl-after-finished-controller"
    rules: ClassVar[Sequence[Rule]] = (Rule(("batch",), ("jobs",), ("delete", "get", "list", "watch")), EVENTS_RULE)

    def setup(self) -> None:
        self.workers = self.config.concurrent_ttl_after_finished_syncs
        self._jobs = self.watch(JOBS, added=self._seen, updated=lambda old, new: self._seen(new))

    def _seen(self, job: Obj) -> None:
        if not meta.deleting(job) and expires_at(job) is not None:
            self.enqueue_object(job)

    async def reconcile(self, key: str) -> Result | None:
        namespace, name = meta.split_key(key)
        cached = self._jobs.get(key)
        moment = expires_at(cached) if cached is not None and not meta.deleting(cached) else None
        if moment is None:
            return None
        left = moment - self.clock.time()
        if left > 0:
            return Result(after=left)
        # The deletion is for good: act on the latest word only.
        fresh = await ignoring_absence(self.client.get(JOBS, name, namespace))
        moment = expires_at(fresh) if fresh is not None and not meta.deleting(fresh) else None
        if fresh is None or moment is None or moment > self.clock.time():
            return None
        await ignoring_absence(
            self.client.delete(JOBS, name, namespace, propagation_policy="Foreground", uid=meta.uid(fresh))
        )
        return None
