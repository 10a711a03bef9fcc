"""Job of batch/v1: pods that run to completion."""

from __future__ import annotations

from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class Job(Kind):
    group = "batch"
    kind = "Job"
    plural = "jobs"
    categories = ("all",)
    subresources = (STATUS,)
    has_generation = True
    orphan_by_default = True
    columns = (
        NAME_COLUMN,
        Column("Status", description="Status of the job."),
        Column("Completions", doc="status.succeeded"),
        Column("Duration", description="Time required to complete the job."),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            _state(obj, status),
            _completions(spec, status),
            _duration(status, clock),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.label_selector(spec.get("selector")),
        ]

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded", 0))}


def _state(obj: Obj, status: Obj) -> str:
    true = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    for kind in ("Complete", "Failed"):
        if kind in true:
            return kind
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if kind in true:
            return kind
    return "Running"


def _completions(spec: Obj, status: Obj) -> str:
    succeeded = status.get("succeeded", 0)
    if (wanted := spec.get("completions")) is not None:
        return f"{succeeded}/{wanted}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: Obj, clock: Clock) -> str:
    if not (started := status.get("startTime")):
        return ""
    finished = status.get("completionTime")
    end = times.parse_time(finished) if finished else clock.time()
    return times.human_duration(end - times.parse_time(started))
