"""Event: something that happened to an object, kept for an hour. The same objects are served as events.k8s.io/v1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import Column, Ctx, Kind, Obj
from apiserver.validation import events, names

COLUMNS = (
    Column("Last Seen", doc="lastTimestamp"),
    Column("Type", doc="type"),
    Column("Reason", doc="reason"),
    Column("Object", doc="involvedObject"),
    Column("Subobject", doc="involvedObject.fieldPath", priority=1),
    Column("Source", doc="source", priority=1),
    Column("Message", doc="message"),
    Column("First Seen", doc="firstTimestamp", priority=1),
    Column("Count", doc="count", priority=1),
    Column("Name", format="name", doc="metadata.name", priority=1),
)
KEPT = 3600.0  # seconds; the original's --event-ttl


class EventKind(Kind):
    kind = "Event"
    plural = "events"
    own_metadata = False
    short_names = ("ev",)
    create_on_update = True
    ttl = KEPT
    columns: Sequence[Column] = COLUMNS

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.path_segment(name, prefix)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return events.validate_event(obj, strict=ctx.group == events.GROUP)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return events.validate_update(obj, old, strict=ctx.group == events.GROUP)

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return event_fields(obj)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return event_cells(obj, clock)


def event_fields(event: Obj) -> dict[str, str]:
    """Selectable fields of a core/v1 event."""
    regarding = event.get("involvedObject") or {}
    source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    return {
        "involvedObject.kind": regarding.get("kind", ""),
        "involvedObject.namespace": regarding.get("namespace", ""),
        "involvedObject.name": regarding.get("name", ""),
        "involvedObject.uid": regarding.get("uid", ""),
        "involvedObject.apiVersion": regarding.get("apiVersion", ""),
        "involvedObject.resourceVersion": regarding.get("resourceVersion", ""),
        "involvedObject.fieldPath": regarding.get("fieldPath", ""),
        "reason": event.get("reason", ""),
        "reportingComponent": event.get("reportingComponent") or "",
        "source": source,
        "type": event.get("type", ""),
    }


def event_cells(event: Obj, clock: Clock) -> list[Any]:
    """The table row of a core/v1 event."""
    first = cells.since(event.get("firstTimestamp") or event.get("eventTime"), clock)
    last = cells.since(event.get("lastTimestamp"), clock) if event.get("lastTimestamp") else first
    count = event.get("count") or 1
    if series := event.get("series"):
        last = cells.since(series.get("lastObservedTime"), clock)
        count = series.get("count", 0)
    regarding = event.get("involvedObject") or {}
    target = regarding.get("kind", "").lower()
    if regarding.get("name"):
        target += "/" + regarding["name"]
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        target,
        regarding.get("fieldPath", ""),
        _source(event),
        event.get("message", "").strip(),
        first,
        count,
        event["metadata"].get("name", ""),
    ]


def _source(event: Obj) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


EVENT = EventKind()
