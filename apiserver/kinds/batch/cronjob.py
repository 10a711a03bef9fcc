"""CronJob of batch/v1: Jobs on a schedule."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class CronJob(Kind):
    group = "batch"
    kind = "CronJob"
    plural = "cronjobs"
    short_names = ("cj",)
    categories = ("all",)
    subresources = (STATUS,)
    has_generation = True
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
