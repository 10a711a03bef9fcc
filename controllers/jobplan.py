"""The reckoning of a Job: which pods have failed, which indexes are done, when it is over and why.

Called by job.py alone. Plain functions, no I/O; rules and texts are those of the original's pkg/controller/job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import meta, pods, times

Obj = dict[str, Any]

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX_IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
OURS = "kubernetes.io/job-controller"
BACKOFF, MAX_BACKOFF = 10.0, 600.0  # seconds before a failed pod is replaced: doubling from the first to the second


# -- reading a Job


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_suspended(job: Obj) -> bool:
    return bool(job["spec"].get("suspend"))


def is_ours(job: Obj) -> bool:
    """Whether this controller manages it (spec.managedBy)."""
    return job["spec"].get("managedBy") in (None, OURS)


def finished_condition(job: Obj) -> Obj | None:
    """Its Complete or Failed condition, if true."""
    for type_ in ("Complete", "Failed"):
        if meta.is_condition_true(job, type_):
            return meta.condition(job, type_)
    return None


def per_index(job: Obj) -> bool:
    """Whether each index has a backoff limit of its own."""
    return job["spec"].get("backoffLimitPerIndex") is not None


def replaces_failed_only(job: Obj) -> bool:
    """Whether a pod is replaced only once it has failed, not when it begins to terminate."""
    return job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get("podFailurePolicy") is not None


def completions(job: Obj) -> int | None:
    value = job["spec"].get("completions")
    return None if value is None else int(value)


# -- reading pods


def has_finalizer(pod: Obj) -> bool:
    return meta.has_finalizer(pod, FINALIZER)


def has_failed(pod: Obj, job: Obj) -> bool:
    """Failed, or (unless failures alone count) terminating, since a deleted pod may never report."""
    if pods.phase(pod) == "Failed":
        return True
    return not replaces_failed_only(job) and meta.deleting(pod) and pods.phase(pod) != "Succeeded"


def is_terminating(pod: Obj) -> bool:
    return meta.deleting(pod) and not pods.is_terminal(pod)


def index_of(pod: Obj) -> int | None:
    """The pod's completion index; None if it has none that makes sense."""
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def valid_index(pod: Obj, job: Obj) -> int | None:
    index = index_of(pod)
    return index if index is not None and index < (completions(job) or 0) else None


def finish_time(pod: Obj, now: float) -> float:
    """When the pod ended, as well as can be told."""
    status = pod.get("status") or {}
    ended = [
        times.parse_time(state["finishedAt"])
        for entry in status.get("containerStatuses") or ()
        if (state := (entry.get("state") or {}).get("terminated")) and state.get("finishedAt")
    ]
    if ended:
        return max(ended)
    ready = meta.condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return times.parse_time(ready["lastTransitionTime"])
    if meta.deleting(pod):
        return times.parse_time(pod["metadata"]["deletionTimestamp"])
    return now


# -- indexes


def parse_indexes(text: str | None, limit: int) -> set[int]:
    """The indexes of "1,3-5,7" below the limit; what cannot be read is left out."""
    result: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            result.update(range(int(first), min(int(last or first) + 1, limit)))
    return result


def draw_indexes(indexes: Iterable[int]) -> str:
    """Indexes as "1,3-5,7"; two neighbours are told apart, as in the original."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(
        str(first) if first == last else f"{first},{last}" if last == first + 1 else f"{first}-{last}"
        for first, last in runs
    )


def succeeded_indexes(job: Obj, owned: Iterable[Obj]) -> tuple[set[int], set[int]]:
    """(those recorded in the status, those with the pods that have succeeded since)."""
    limit = completions(job) or 0
    before = parse_indexes((job.get("status") or {}).get("completedIndexes"), limit)
    new = {
        index
        for pod in owned
        if pods.phase(pod) == "Succeeded" and has_finalizer(pod) and (index := valid_index(pod, job)) is not None
    }
    return before, before | new


def failed_indexes(job: Obj, owned: Iterable[Obj]) -> set[int]:
    """Indexes whose backoff limit is exceeded, or that a failure policy gave up."""
    before = parse_indexes((job.get("status") or {}).get("failedIndexes"), completions(job) or 0)
    new = {
        index
        for pod in owned
        if (index := valid_index(pod, job)) is not None
        and has_finalizer(pod)
        and has_failed(pod, job)
        and _index_is_lost(pod, job)
    }
    return before | new


def _index_is_lost(pod: Obj, job: Obj) -> bool:
    verdict = match_failure_policy(job, pod)
    if verdict.action == "FailIndex":
        return True
    return verdict.counts and index_failures(pod) >= job["spec"]["backoffLimitPerIndex"]


def index_failures(pod: Obj) -> int:
    """How often the pod's index had failed before it."""
    text = meta.annotations(pod).get(INDEX_FAILURES, "0")
    return int(text) if text.isdigit() else 0


def ignored_failures(pod: Obj) -> int:
    text = meta.annotations(pod).get(INDEX_IGNORED, "0")
    return int(text) if text.isdigit() else 0


def kept_failed_pods(
    job: Obj, owned: Iterable[Obj], active: Iterable[Obj], over: set[int], now: float
) -> dict[int, Obj]:
    """Per index, the failed pod that stays until it is replaced: its failure count goes on with its successor."""
    busy = {index_of(pod) for pod in active}
    kept: dict[int, Obj] = {}
    for pod in owned:
        index = valid_index(pod, job)
        if index is None or index in over or index in busy or not has_finalizer(pod) or not has_failed(pod, job):
            continue
        other = kept.get(index)
        if other is None or _later_failure(other, pod, now):
            kept[index] = pod
    return kept


def _later_failure(other: Obj, pod: Obj, now: float) -> bool:
    def rank(entry: Obj) -> tuple[int, float]:
        return index_failures(entry) + ignored_failures(entry), finish_time(entry, now)

    return rank(other) <= rank(pod)


# -- policies


@dataclass(frozen=True, slots=True)
class Verdict:
    """What spec.podFailurePolicy says of a failed pod. message: why the Job fails; counts: towards the backoff limit."""

    action: str | None = None
    counts: bool = True
    message: str | None = None


def match_failure_policy(job: Obj, pod: Obj) -> Verdict:
    """The first rule that matches decides; without one the failure counts."""
    policy = job["spec"].get("podFailurePolicy")
    if policy is None or pods.phase(pod) != "Failed":
        return Verdict()
    name = meta.key(pod)
    for position, rule in enumerate(policy.get("rules") or ()):
        action = rule["action"]
        if rule.get("onExitCodes"):
            container = _match_exit_codes(pod, rule["onExitCodes"])
            if container is None:
                continue
            code = container["state"]["terminated"]["exitCode"]
            message = (
                f"Container {container['name']} for pod {name} failed with exit code {code} "
                f"matching {action} rule at index {position}"
            )
        else:
            found = _match_conditions(pod, rule.get("onPodConditions") or ())
            if found is None:
                continue
            message = f"Pod {name} has condition {found} matching {action} rule at index {position}"
        return Verdict(action, action != "Ignore", message if action == "FailJob" else None)
    return Verdict()


def _match_exit_codes(pod: Obj, wanted: Mapping[str, Any]) -> Obj | None:
    status = pod.get("status") or {}
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        if wanted.get("containerName") not in (None, container["name"]):
            continue
        ended = (container.get("state") or {}).get("terminated")
        if ended and ended["exitCode"] and (ended["exitCode"] in wanted["values"]) == (wanted["operator"] == "In"):
            return dict(container)
    return None


def _match_conditions(pod: Obj, patterns: Iterable[Mapping[str, Any]]) -> str | None:
    for pattern in patterns:
        for condition in meta.conditions(pod):
            if condition["type"] == pattern["type"] and condition.get("status") == pattern.get("status", "True"):
                return str(condition["type"])
    return None


def match_success_policy(job: Obj, succeeded: set[int]) -> str | None:
    """The message of the rule that makes the Job a success early, or None."""
    limit = completions(job)
    for position, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            required = parse_indexes(rule["succeededIndexes"], limit or 0)
            met = len(required & succeeded)
            satisfied = met >= count if count is not None else met >= len(required)
        else:
            satisfied = count is not None and len(succeeded) >= count
        if satisfied:
            return f"Matched rules at index {position}"
    return None


# -- the whole


@dataclass(slots=True)
class View:
    """A Job and its pods as seen now, with what follows from them.

    uncounted_*: uids of finished pods noted in the status whose finalizers may be gone. released: uids whose finalizer was
    removed though the cache does not show it yet.
    """

    job: Obj
    owned: list[Obj]
    now: float
    released: set[str] = field(default_factory=set)
    active: list[Obj] = field(init=False)
    uncounted_succeeded: list[str] = field(init=False)
    uncounted_failed: list[str] = field(init=False)
    new_succeeded: list[Obj] = field(init=False)
    new_failed: list[Obj] = field(init=False)
    succeeded: int = field(init=False)
    failed: int = field(init=False)
    ready: int = field(init=False)
    terminating: int = field(init=False)
    indexes_before: set[int] = field(default_factory=set)
    indexes_done: set[int] = field(default_factory=set)
    indexes_lost: set[int] = field(default_factory=set)
    kept: dict[int, Obj] = field(default_factory=dict)

    def __post_init__(self) -> None:
        status = self.job.get("status") or {}
        uncounted = status.get("uncountedTerminatedPods") or {}
        self.uncounted_succeeded = list(uncounted.get("succeeded") or ())
        self.uncounted_failed = list(uncounted.get("failed") or ())
        self.active = [pod for pod in self.owned if pods.is_active(pod)]
        known = {*self.uncounted_succeeded, *self.uncounted_failed, *self.released}
        fresh = [pod for pod in self.owned if has_finalizer(pod) and meta.uid(pod) not in known]
        self.new_succeeded = [pod for pod in fresh if pods.phase(pod) == "Succeeded"]
        self.new_failed = [pod for pod in fresh if has_failed(pod, self.job)]
        counting = [pod for pod in self.new_failed if match_failure_policy(self.job, pod).counts]
        self.succeeded = (status.get("succeeded") or 0) + len(self.new_succeeded) + len(self.uncounted_succeeded)
        self.failed = (status.get("failed") or 0) + len(counting) + len(self.uncounted_failed)
        self.ready = sum(map(pods.is_ready, self.active))
        self.terminating = sum(map(is_terminating, self.owned))
        if is_indexed(self.job):
            self.indexes_before, self.indexes_done = succeeded_indexes(self.job, self.owned)
            self.succeeded = len(self.indexes_done)
            if per_index(self.job):
                self.indexes_lost = failed_indexes(self.job, self.owned)
                over = self.indexes_done | self.indexes_lost
                self.kept = kept_failed_pods(self.job, self.owned, self.active, over, self.now)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a Job ends. interim: the condition told before pods are released; final: the one told when all is over."""

    interim: str
    final: str
    reason: str
    message: str


def failure(reason: str, message: str) -> Outcome:
    return Outcome("FailureTarget", "Failed", reason, message)


def success(reason: str, message: str) -> Outcome:
    return Outcome("SuccessCriteriaMet", "Complete", reason, message)


def decide_outcome(view: View) -> Outcome | None:
    """Whether the Job is over for another reason than that its completions are reached."""
    job, spec = view.job, view.job["spec"]
    for type_, make in (("SuccessCriteriaMet", success), ("FailureTarget", failure)):
        told = meta.condition(job, type_)
        if told is not None and told.get("status") == "True":
            return make(told.get("reason") or "", told.get("message") or "")
    for pod in view.owned:
        if has_failed(pod, job) and (message := match_failure_policy(job, pod).message):
            return failure("PodFailurePolicy", message)
    if view.failed > spec.get("backoffLimit", 6) or past_restarts(view):
        return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = deadline_in(view)
    if left is not None and left <= 0:
        return failure("DeadlineExceeded", "Job was active longer than specified deadline")
    if is_indexed(job):
        if per_index(job) and (lost := len(view.indexes_lost)):
            limit = spec.get("maxFailedIndexes")
            if limit is not None and lost > limit:
                text = "Job has exceeded the specified maximal number of failed indexes"
                return failure("MaxFailedIndexesExceeded", text)
            if lost + len(view.indexes_done) >= (completions(job) or 0):
                return failure("FailedIndexes", "Job has failed indexes")
        if message := match_success_policy(job, view.indexes_done):
            return success("SuccessPolicy", message)
    return None


def past_restarts(view: View) -> bool:
    """With restartPolicy OnFailure, containers' restarts count against the limit."""
    spec = view.job["spec"]
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in view.owned:
        status = pod.get("status") or {}
        if status.get("phase") in ("Running", "Pending"):
            entries = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
            restarts += sum(entry.get("restartCount") or 0 for entry in entries)
    limit = spec.get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else bool(restarts >= limit)


def deadline_in(view: View) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None when it does not run."""
    seconds = view.job["spec"].get("activeDeadlineSeconds")
    started = (view.job.get("status") or {}).get("startTime")
    if seconds is None or started is None or is_suspended(view.job):
        return None
    return float(times.parse_time(started) + seconds - view.now)


def is_complete(view: View, active: int) -> bool:
    """Whether enough pods have succeeded and none is active."""
    wanted = completions(view.job)
    if wanted is None:
        # A work queue: any success means the work is done, but those at work may finish.
        return view.succeeded > 0 and active == 0
    return view.succeeded >= wanted and active == 0


REACHED = success("CompletionsReached", "Reached expected number of succeeded pods")


# -- sizing


def wanted_active(view: View) -> int:
    """How many pods should be at work now."""
    parallelism = int(view.job["spec"].get("parallelism", 1))
    wanted = completions(view.job)
    if wanted is None:
        return len(view.active) if view.succeeded else parallelism
    return max(0, min(wanted - view.succeeded, parallelism))


def choose_victims(view: View, at_least: int, rank: Any) -> list[Obj]:
    """Active pods to delete: those of wrong or doubled indexes, then by rank until there are enough."""
    order = sorted(view.active, key=rank)
    if not is_indexed(view.job):
        return order[:at_least]
    seen: set[int] = set()
    victims, rest = [], []
    # The most useful pod of an index stays: look from the back of the order.
    for pod in reversed(order):
        index = valid_index(pod, view.job)
        if index is None or index in seen:
            victims.append(pod)
        else:
            seen.add(index)
            rest.append(pod)
    rest.reverse()
    return victims + rest[: max(0, at_least - len(victims))]


def pending_indexes(view: View, count: int) -> list[int]:
    """The first indexes that need a pod."""
    taken = (
        view.indexes_done | view.indexes_lost | {index for pod in view.active if (index := index_of(pod)) is not None}
    )
    if replaces_failed_only(view.job):
        taken |= {index for pod in view.owned if is_terminating(pod) and (index := index_of(pod)) is not None}
    found: list[int] = []
    for index in range(completions(view.job) or 0):
        if len(found) >= count:
            break
        if index not in taken:
            found.append(index)
    return found


def retry_delay(failures: int, last: float, now: float) -> float:
    """Seconds left to wait after the given number of failures in a row, the last of which was at `last`."""
    if failures <= 0:
        return 0.0
    backoff: float = min(BACKOFF * 2.0 ** min(failures - 1, 32), MAX_BACKOFF)
    return max(0.0, last + backoff - now)


def index_delay(view: View, index: int) -> float:
    """Seconds left before an index is tried again."""
    pod = view.kept.get(index)
    if pod is None:
        return 0.0
    failures = index_failures(pod) + ignored_failures(pod) + 1
    return retry_delay(failures, finish_time(pod, view.now), view.now)


@dataclass(slots=True)
class Failures:
    """Failures in a row of a Job's pods, and when the last was."""

    count: int = 0
    last: float = 0.0

    def after(self, succeeded: Sequence[Obj], failed: Sequence[Obj], now: float) -> Failures:
        """With what has newly finished; a success starts the count over."""
        if not succeeded and not failed:
            return self
        result = Failures(self.count, self.last)
        last_success = max((finish_time(pod, now) for pod in succeeded), default=None)
        if last_success is not None:
            result.count = 0
        for moment in sorted(finish_time(pod, now) for pod in failed):
            if last_success is None or moment > last_success:
                result.count += 1
            result.last = max(result.last, moment)
        return result


# -- pods


def pod_template(job: Obj) -> Obj:
    """The template of all the Job's pods, with the tracking finalizer."""
    template = job["spec"]["template"]
    metadata = dict(template.get("metadata") or {})
    metadata["finalizers"] = [*(metadata.get("finalizers") or ()), FINALIZER]
    return {"metadata": metadata, "spec": template["spec"]}


def indexed_pod(pod: Obj, job: Obj, index: int, kept: Obj | None) -> Obj:
    """A Job's pod as the one for an index."""
    metadata = dict(pod["metadata"])
    annotations = {**(metadata.get("annotations") or {}), INDEX: str(index)}
    if per_index(job):
        annotations.update(_failure_annotations(job, kept))
    metadata["annotations"] = annotations
    metadata["labels"] = {**(metadata.get("labels") or {}), INDEX: str(index)}
    name = meta.name(job)
    metadata["generateName"] = f"{name[: 63 - 6 - len(str(index))]}-{index}-"
    spec = {**pod["spec"], "hostname": f"{name}-{index}"}
    for group in ("initContainers", "containers"):
        if spec.get(group):
            spec[group] = [_with_index_variable(container) for container in spec[group]]
    return {"metadata": metadata, "spec": spec}


def _failure_annotations(job: Obj, kept: Obj | None) -> dict[str, str]:
    if kept is None:
        return {INDEX_FAILURES: "0"}
    counts = match_failure_policy(job, kept).counts
    result = {INDEX_FAILURES: str(index_failures(kept) + counts)}
    ignored = ignored_failures(kept) + (not counts)
    return result | ({INDEX_IGNORED: str(ignored)} if ignored else {})


def _with_index_variable(container: Obj) -> Obj:
    env = list(container.get("env") or ())
    if any(entry["name"] == "JOB_COMPLETION_INDEX" for entry in env):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]}
