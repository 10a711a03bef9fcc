"""What a Job's status may say, and how it may change. A fault that was there before and is untouched does not block."""

from __future__ import annotations

from apimachinery import field, times
from apimachinery.field import FieldError
from apiserver.kinds.batch import indexes
from apiserver.registry.kind import Obj
from apiserver.validation import meta, numbers

_CONDITIONS = "status.conditions"


def true_conditions(job: Obj) -> set[str]:
    """The types of conditions that are True."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return {c.get("type", "") for c in conditions if c.get("status") == "True"}


def validate(new: Obj, old: Obj) -> list[FieldError]:
    """A status update: counters, conditions, times, indexes, then the changes."""
    status, before = new.get("status") or {}, old.get("status") or {}
    now, then = true_conditions(new), true_conditions(old)
    errors = numbers.non_negative_fields(status, "status", "active", "succeeded", "failed", "ready", "terminating")
    errors += _uncounted(status.get("uncountedTerminatedPods") or {})
    changed = {name for name in status.keys() | before.keys() if not meta.same(status.get(name), before.get(name))}
    turned = now ^ then
    errors += _conditions(new, now, turned)
    errors += _times(status, now, turned, changed)
    errors += _finished(new, status, now, turned, changed)
    errors += _indexes(new["spec"], status, changed)
    if changed & {"ready", "active"} and (status.get("ready") or 0) > status.get("active", 0):
        errors.append(field.invalid("status.ready", status.get("ready") or 0, "cannot set more ready pods than active"))
    return errors + _transitions(new, status, before, now, then)


def _uncounted(pods: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for name in ("succeeded", "failed"):
        for position, uid in enumerate(pods.get(name) or ()):
            path = f"status.uncountedTerminatedPods.{name}[{position}]"
            if not uid:
                errors.append(field.invalid(path, uid, "must not be empty"))
            elif uid in seen:
                errors.append(field.duplicate(path, uid))
            seen.add(uid)
    return errors


def _forbid(text: str) -> FieldError:
    return field.invalid(_CONDITIONS, field.OMITTED, text)


def _conditions(job: Obj, now: set[str], turned: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    complete, failed, target = "Complete" in now, "Failed" in now, "FailureTarget" in now
    met = "SuccessCriteriaMet" in now
    if turned & {"Complete", "Failed"} and complete and failed:
        errors.append(_forbid("cannot set Complete=True and Failed=true conditions"))
    if turned & {"Complete", "FailureTarget"} and complete and target:
        errors.append(_forbid("cannot set Complete=True and FailureTarget=true conditions"))
    if turned & {"Failed", "FailureTarget"} and failed and not target:
        errors.append(_forbid("cannot set Failed=True condition without the FailureTarget=true condition"))
    if turned & {"Complete", "SuccessCriteriaMet"} and complete and not met:
        errors.append(_forbid("cannot set Complete=True condition without the SuccessCriteriaMet=true condition"))
    if met and failed:
        errors.append(_forbid("cannot set SuccessCriteriaMet=True and Failed=true conditions"))
    if met and target:
        errors.append(_forbid("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"))
    if job["spec"].get("successPolicy") is not None and complete and not met:
        errors.append(_forbid("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"))
    return errors


def _times(status: Obj, now: set[str], turned: set[str], changed: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    path, started, completed = "status.completionTime", status.get("startTime"), status.get("completionTime")
    if "Complete" in turned or "completionTime" in changed:
        if completed and "Complete" not in now:
            text = "cannot set completionTime when there is no Complete=True condition"
            errors.append(field.invalid(path, completed, text))
        if not completed and "Complete" in now:
            errors.append(field.required(path, "completionTime is required for Complete jobs"))
    touched = changed & {"startTime", "completionTime"}
    if touched and started and completed and times.parse_time(completed) < times.parse_time(started):
        errors.append(field.invalid(path, completed, "must be equal to or after `startTime`"))
    return errors


def _finished(job: Obj, status: Obj, now: set[str], turned: set[str], changed: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    if not now & {"Complete", "Failed"}:
        return errors
    ended = bool(turned & {"Complete", "Failed"})
    spec = job["spec"]
    if (ended or "active" in changed) and status.get("active", 0) > 0:
        errors.append(field.invalid("status.active", status["active"], "active>0 is invalid for finished job"))
    idle = spec.get("suspend") is True and spec.get("completions") == 0
    if (ended or "startTime" in changed) and not idle and not status.get("startTime"):
        errors.append(field.required("status.startTime", "startTime is required for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if (ended or "uncountedTerminatedPods" in changed) and any(uncounted.values()):
        path = "status.uncountedTerminatedPods"
        errors.append(field.invalid(path, uncounted, "must be empty for finished job"))
    if (ended or "terminating" in changed) and (status.get("terminating") or 0) > 0:
        text = "terminating>0 is invalid for finished job"
        errors.append(field.invalid("status.terminating", status["terminating"], text))
    return errors


def _indexes(spec: Obj, status: Obj, changed: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    completions = spec.get("completions")
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")

    def parse(name: str, text: str) -> None:
        try:
            indexes.count(text, completions or 0)
        except ValueError as problem:
            errors.append(field.invalid(f"status.{name}", text, f"error parsing {name}: {problem}"))

    if "completedIndexes" in changed:
        if completions is not None:
            parse("completedIndexes", completed)
        if completed and spec.get("completionMode") != "Indexed":
            text = "cannot set non-empty completedIndexes when non-indexed completion mode"
            errors.append(field.invalid("status.completedIndexes", completed, text))
    if "failedIndexes" in changed and failed is not None:
        if completions is not None and spec.get("backoffLimitPerIndex") is not None:
            parse("failedIndexes", failed)
        if spec.get("backoffLimitPerIndex") is None:
            text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
            errors.append(field.invalid("status.failedIndexes", failed, text))
    if changed & {"completedIndexes", "failedIndexes"} and completions is not None and failed is not None:
        both = indexes.overlap(completed, failed, completions)
        if both is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {both}"
            errors.append(field.invalid("status.failedIndexes", failed, text))
    return errors


def _transitions(job: Obj, status: Obj, before: Obj, now: set[str], then: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = job["spec"]
    for name in ("Failed", "Complete", "FailureTarget"):
        if name in then and name not in now:
            errors.append(_forbid(f"cannot disable the terminal {name}=True condition"))
    if status.get("failed", 0) < before.get("failed", 0):
        text = "cannot decrease the failed counter"
        errors.append(field.invalid("status.failed", status.get("failed", 0), text))
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if not elastic and status.get("succeeded", 0) < before.get("succeeded", 0):
        text = "cannot decrease the succeeded counter"
        errors.append(field.invalid("status.succeeded", status.get("succeeded", 0), text))
    completed = status.get("completionTime")
    if completed and before.get("completionTime") and completed != before["completionTime"]:
        errors.append(field.invalid("status.completionTime", completed, meta.IMMUTABLE))
    started = before.get("startTime")
    if started and started != status.get("startTime") and not spec.get("suspend"):
        errors.append(field.required("status.startTime", "startTime cannot be removed for unsuspended job"))
    met = "SuccessCriteriaMet"
    if met in then and met not in now:
        errors.append(_forbid("cannot disable the SuccessCriteriaMet=True condition"))
    if "Complete" in then and met not in then and met in now:
        errors.append(_forbid("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"))
    return errors
