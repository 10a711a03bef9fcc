"""CronJob of batch/v1: Jobs on a schedule."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import cron, field
from apimachinery.clock import Clock
from apimachinery.cron import CronError
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates, strategy
from apiserver.kinds.batch import job_rules
from apiserver.kinds.batch.job import default_failure_policy
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import numbers, podspec

_NAME_LIMIT = 52  # a job's name has 11 characters more, and 63 in all
_ZONE_PART = re.compile(r"[A-Za-z._0-9+][A-Za-z.\-_0-9+]{0,13}")
_CONCURRENCY = ("Allow", "Forbid", "Replace")


class CronJob(Kind):
    group = "batch"
    kind = "CronJob"
    plural = "cronjobs"
    short_names = ("cj",)
    categories = ("all",)
    subresources = (STATUS,)
    has_generation = True
    telling_empties = podspec.TELLING_EMPTIES
    checks_metadata_in_status = False
    columns = (
        NAME_COLUMN,
        Column("Schedule", doc="spec.schedule"),
        Column("Timezone", doc="spec.timeZone"),
        Column("Suspend", "boolean", doc="spec.suspend"),
        Column("Active", "integer", doc="status.active"),
        Column("Last Schedule", doc="status.lastScheduleTime"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.jobTemplate.spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        job = spec["jobTemplate"].get("spec") or {}
        last = status.get("lastScheduleTime")
        return [
            obj["metadata"]["name"],
            spec.get("schedule", ""),
            spec.get("timeZone") if spec.get("timeZone") is not None else cells.NONE,
            cells.go_bool(spec.get("suspend")),
            len(status.get("active") or ()),
            cells.since(last, clock) if last else cells.NONE,
            cells.age(obj, clock),
            *cells.template_cells(job),
            cells.label_selector(job.get("selector")),
        ]

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
        for name, value in (("suspend", False), ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1)):
            if spec.get(name) is None:
                spec[name] = value
        job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
        podtemplates.default_template(job)
        default_failure_policy(job)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        podtemplates.prepare(obj, "spec", "jobTemplate", "spec")

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        podtemplates.prepare(obj, "spec", "jobTemplate", "spec")

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = _validate_spec(obj["spec"], None)
        name = obj["metadata"].get("name", "")
        if len(name) > _NAME_LIMIT:
            errors.append(field.invalid("metadata.name", name, f"must be no more than {_NAME_LIMIT} characters"))
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return [] if ctx.subresource == "status" else _validate_spec(obj["spec"], old["spec"])

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource:
            return []
        texts = strategy.pod_name_advice(obj["metadata"]["name"]) if old is None else []
        texts += job_rules.warnings(obj, old, "spec", "jobTemplate", "spec")
        if old is not None and "TZ" in (obj["spec"].get("schedule") or ""):
            texts.append(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
        return texts


def _validate_spec(spec: Obj, old: Obj | None) -> list[FieldError]:
    errors: list[FieldError] = []
    zone = spec.get("timeZone")
    if not spec.get("schedule"):
        errors.append(field.required("spec.schedule"))
    else:
        errors += _schedule(spec["schedule"], zone, old is not None and "TZ" in (old.get("schedule") or ""))
    errors += numbers.non_negative_fields(spec, "spec", "startingDeadlineSeconds")
    if zone is not None and (old is None or old.get("timeZone") != zone):
        errors += _zone(zone)
    policy = spec.get("concurrencyPolicy")
    if not policy:
        errors.append(field.required("spec.concurrencyPolicy"))
    elif policy not in _CONCURRENCY:
        errors.append(field.not_supported("spec.concurrencyPolicy", policy, _CONCURRENCY))
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    stored = ((old.get("jobTemplate") or {}).get("spec") or {}) if old is not None else None
    path = "spec.jobTemplate.spec"
    errors += job_rules.validate_template_spec(job, path, stored)
    if job.get("selector") is not None:
        errors.append(
            field.invalid(
                path + ".selector", podtemplates.drawn_selector(job["selector"]), "`selector` will be auto-generated"
            )
        )
    if job.get("manualSelector"):
        errors.append(field.not_supported(path + ".manualSelector", True, ["nil", "false"]))
    return errors + numbers.non_negative_fields(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")


def _schedule(schedule: str, zone: str | None, allow_zone: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    path = "spec.schedule"
    try:
        cron.parse(schedule)
    except CronError as problem:
        errors.append(field.invalid(path, schedule, str(problem)))
    if "TZ" in schedule:
        if not allow_zone:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(field.invalid(path, schedule, text))
        elif zone is not None:
            text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            errors.append(field.invalid(path, schedule, text))
    return errors


def _zone(zone: str) -> list[FieldError]:
    path = "spec.timeZone"
    if not zone:
        return [field.invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = field.invalid(path, zone, f"unknown time zone {zone}")
    if any(part in (".", "..") or not _ZONE_PART.fullmatch(part) for part in zone.split("/")):
        return [unknown]
    if zone.lower() == "local":
        errors = [
            field.invalid(
                path,
                zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            )
        ]
        return errors if zone == "Local" else [*errors, unknown]
    return [] if cron.load_zone(zone) is not None else [unknown]
