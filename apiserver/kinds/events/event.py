"""Event of events.k8s.io/v1: another shape of core/v1 Event, whose storage it shares."""

from __future__ import annotations

from apiserver.kinds.core.event import EventKind
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


class Event(EventKind):
    group = "events.k8s.io"
    shares = ("", "events")

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
