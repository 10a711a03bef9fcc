"""What a Job's status may say, and how it may change. A fault that was there before and is untouched does not block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery import field, times
from apimachinery.field import FieldError
from apiserver.kinds.batch import indexes
from apiserver.registry.kind import Obj
from apiserver.validation import gostruct, meta, numbers

_CONDITIONS = "status.conditions"
_MET = "SuccessCriteriaMet"
_ENDS = frozenset(("Complete", "Failed"))


def conditions(job: Obj, status: str) -> set[str]:
    """The types of conditions that have that status."""
    found = (job.get("status") or {}).get("conditions") or ()
    return {c.get("type", "") for c in found if c.get("status") == status}


@dataclass(frozen=True, slots=True)
class _Change:
    """now, then: types of conditions that are and were True; turned: those that differ; changed: names of status fields."""

    spec: Obj
    status: Obj
    before: Obj
    now: set[str]
    then: set[str]
    turned: set[str]
    changed: set[str]

    @property
    def finished(self) -> bool:
        return bool(self.now & _ENDS)

    @property
    def finish_changed(self) -> bool:
        return self.finished != bool(self.then & _ENDS)

    def any(self, *names: str) -> bool:
        """Whether one of these status fields differs."""
        return not self.changed.isdisjoint(names)


def validate(new: Obj, old: Obj) -> list[FieldError]:
    """A status update: counters, conditions, times, indexes, then the changes."""
    status, before = new.get("status") or {}, old.get("status") or {}
    now, then = conditions(new, "True"), conditions(old, "True")
    changed = {name for name in status.keys() | before.keys() if not meta.same(status.get(name), before.get(name))}
    change = _Change(new["spec"], status, before, now, then, now ^ then, changed)
    errors = numbers.non_negative_fields(status, "status", "active", "succeeded", "failed", "ready", "terminating")
    errors += _uncounted(status.get("uncountedTerminatedPods") or {})
    errors += _complete(change) + _times(change) + _reasons(change)
    errors += _finished(change) + _indexes(change) + _running(change) + _criteria(change)
    resuming = "Suspended" in then and "Suspended" in conditions(new, "False")
    return errors + _transitions(change, resuming)


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


def _complete(change: _Change) -> list[FieldError]:
    errors: list[FieldError] = []
    now, turned = change.now, change.turned
    if turned & _ENDS and now >= _ENDS:
        errors.append(_forbid("cannot set Complete=True and Failed=true conditions"))
    if turned & {"Complete", "FailureTarget"} and now >= {"Complete", "FailureTarget"}:
        errors.append(_forbid("cannot set Complete=True and FailureTarget=true conditions"))
    return errors


def _times(change: _Change) -> list[FieldError]:
    errors: list[FieldError] = []
    path = "status.completionTime"
    started, completed = change.status.get("startTime"), change.status.get("completionTime")
    if "Complete" in change.turned or change.any("completionTime"):
        if completed and "Complete" not in change.now:
            text = "cannot set completionTime when there is no Complete=True condition"
            errors.append(field.invalid(path, completed, text))
        if not completed and "Complete" in change.now:
            errors.append(field.required(path, "completionTime is required for Complete jobs"))
    changed = started and completed and change.any("startTime", "completionTime")
    if changed and times.parse_time(str(completed)) < times.parse_time(str(started)):
        errors.append(field.invalid(path, completed, "must be equal to or after `startTime`"))
    return errors


def _reasons(change: _Change) -> list[FieldError]:
    """Conditions that others must precede."""
    errors: list[FieldError] = []
    now, turned = change.now, change.turned
    if ("Failed" in turned or change.any("failedIndexes")) and "Failed" in now and "FailureTarget" not in now:
        errors.append(_forbid("cannot set Failed=True condition without the FailureTarget=true condition"))
    if turned & {"Complete", _MET} and "Complete" in now and _MET not in now:
        errors.append(_forbid("cannot set Complete=True condition without the SuccessCriteriaMet=true condition"))
    return errors


def _finished(change: _Change) -> list[FieldError]:
    errors: list[FieldError] = []
    if not change.finished:
        return errors
    spec, status, ended = change.spec, change.status, change.finish_changed
    if (ended or change.any("active")) and (status.get("active") or 0) > 0:
        errors.append(field.invalid("status.active", status["active"], "active>0 is invalid for finished job"))
    idle = spec.get("suspend") is True and spec.get("completions") == 0
    if (ended or change.any("startTime")) and not idle and not status.get("startTime"):
        errors.append(field.required("status.startTime", "startTime is required for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if (ended or change.any("uncountedTerminatedPods")) and any(uncounted.values()):
        drawn = gostruct.value("batch/v1/Job", "status", "uncountedTerminatedPods")(uncounted)
        errors.append(field.invalid("status.uncountedTerminatedPods", drawn, "must be empty for finished job"))
    return errors


def _indexes(change: _Change) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, status = change.spec, change.status
    completions, by_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")

    def parse(name: str, text: str, shown: Any) -> None:
        try:
            indexes.count(text, completions or 0)
        except ValueError as problem:
            errors.append(field.invalid(f"status.{name}", shown, f"error parsing {name}: {problem}"))

    new_completed, new_failed = change.any("completedIndexes"), change.any("failedIndexes")
    if new_completed and completions is not None:
        parse("completedIndexes", completed, completed)
    if new_failed and failed is not None and completions is not None and by_index is not None:
        parse("failedIndexes", failed, field.Pointed(failed))
    if new_completed and completed and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.append(field.invalid("status.completedIndexes", completed, text))
    if new_failed and failed is not None and by_index is None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.append(field.invalid("status.failedIndexes", failed, text))
    if (new_completed or new_failed) and completions is not None and failed is not None:
        both = indexes.overlap(completed, failed, completions)
        if both is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {both}"
            errors.append(field.invalid("status.failedIndexes", failed, text))
    return errors


def _running(change: _Change) -> list[FieldError]:
    errors: list[FieldError] = []
    status = change.status
    terminating, ready = status.get("terminating") or 0, status.get("ready") or 0
    if (change.finish_changed or change.any("terminating")) and change.finished and terminating > 0:
        errors.append(field.invalid("status.terminating", terminating, "terminating>0 is invalid for finished job"))
    if change.any("ready", "active") and status.get("ready") is not None and ready > (status.get("active") or 0):
        errors.append(field.invalid("status.ready", ready, "cannot set more ready pods than active"))
    return errors


def _criteria(change: _Change) -> list[FieldError]:
    errors: list[FieldError] = []
    now = change.now
    if now >= {_MET, "Failed"}:
        errors.append(_forbid("cannot set SuccessCriteriaMet=True and Failed=true conditions"))
    if now >= {_MET, "FailureTarget"}:
        errors.append(_forbid("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"))
    if change.spec.get("successPolicy") is not None and "Complete" in now and _MET not in now:
        errors.append(_forbid("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"))
    return errors


def _transitions(change: _Change, resuming: bool) -> list[FieldError]:
    """resuming: the Suspended condition turns from True to False, and with it the job gets a new start."""
    spec, status, before, now, then = change.spec, change.status, change.before, change.now, change.then
    errors = [
        _forbid(f"cannot disable the terminal {name}=True condition")
        for name in ("Failed", "Complete", "FailureTarget")
        if name in then and name not in now
    ]
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for name in ("failed", "succeeded"):
        count = status.get(name) or 0
        if count < (before.get(name) or 0) and not (elastic and name == "succeeded"):
            errors.append(field.invalid(f"status.{name}", count, f"cannot decrease the {name} counter"))
    completed = status.get("completionTime")
    if completed and before.get("completionTime") and completed != before["completionTime"]:
        errors.append(field.invalid("status.completionTime", completed, meta.IMMUTABLE))
    if before.get("startTime") and change.any("startTime") and not resuming and not spec.get("suspend"):
        text = "field is immutable for unsuspended job once set"
        errors.append(field.invalid("status.startTime", status.get("startTime"), text))
    if _MET in then and _MET not in now:
        errors.append(_forbid("cannot disable the SuccessCriteriaMet=True condition"))
    if "Complete" in then and _MET not in then and _MET in now:
        errors.append(_forbid("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"))
    return errors
