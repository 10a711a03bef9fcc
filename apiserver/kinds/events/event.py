"""Event of events.k8s.io/v1: another shape of core/v1 Event, whose storage it shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds.core.event import COLUMNS, EventKind
from apiserver.registry.kind import Obj

_RENAMED = (  # core field, events.k8s.io field
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)
_ALWAYS_IN_CORE = ("reportingComponent", "reportingInstance")  # written even when empty; here they are left out
_TO_CORE = {new: core for core, new in _RENAMED}
_FROM_CORE = dict(_RENAMED)
_LABELS = {  # field selector here: in core, by which the shared storage selects
    **{
        f"regarding.{name}": f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reason": "reason",
    "reportingController": "reportingComponent",
    "type": "type",
}


class Event(EventKind):
    group = "events.k8s.io"
    shares = ("", "events")
    columns = tuple(replace(column, doc=f"v1/Event:{column.doc}") for column in COLUMNS)

    def to_shared(self, obj: Obj) -> Obj:
        out = {_TO_CORE.get(name, name): value for name, value in obj.items()}
        out["apiVersion"] = "v1"
        for name in _ALWAYS_IN_CORE:
            out.setdefault(name, "")
        return out

    def from_shared(self, obj: Obj) -> Obj:
        out = {_FROM_CORE.get(name, name): value for name, value in obj.items()}
        out["apiVersion"] = "events.k8s.io/v1"
        for name in ("reportingController", "reportingInstance"):
            if not out.get(name):
                out.pop(name, None)
        return out

    def field_label(self, label: str, value: str, version: str) -> tuple[str, str] | None:
        known = _LABELS.get(label)
        return (known, value) if known else None

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        fields = super().selectable_fields(self.to_shared(obj))
        return {label: fields[core] for label, core in _LABELS.items()}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return super().cells(self.to_shared(obj), clock)
