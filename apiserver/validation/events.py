"""Events, in their stored (core/v1) shape: the lenient rules of core/v1 and the strict ones of events.k8s.io/v1.

Called by kinds/core/event.py. An event with an eventTime is a new-style one whichever group it comes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import gostruct, meta, names

Obj = Mapping[str, Any]

GROUP = "events.k8s.io"
_MISMATCH = "does not match event.namespace"
_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128}
_NOTE_LIMIT = 1024
_DEPRECATED = ("firstTimestamp", "lastTimestamp", "count")
_IMMUTABLE: tuple[tuple[str, str, Any], ...] = (  # field, path, zero value; in the original's order, the reason twice
    ("involvedObject", "involvedObject", {}),
    ("reason", "reason", ""),
    ("message", "message", ""),
    ("source", "source", {}),
    ("firstTimestamp", "firstTimestamp", None),
    ("lastTimestamp", "lastTimestamp", None),
    ("count", "count", 0),
    ("reason", "reason", ""),
    ("type", "type", ""),
    ("eventTime", "eventTime", None),
    ("action", "action", ""),
    ("related", "related", None),
    ("reportingComponent", "reportingController", ""),
    ("reportingInstance", "reportingInstance", ""),
)


def validate_event(event: Obj, *, strict: bool) -> list[FieldError]:
    """A new event. strict: it came as events.k8s.io/v1."""
    errors = _common(event, strict)
    if not strict:
        return errors
    errors += meta.validate_object_meta(event["metadata"], True, names.dns_subdomain, core=True)
    errors += _series(event)
    if not event.get("eventTime"):
        errors.append(field.required("eventTime"))
    if event.get("type") not in ("Normal", "Warning"):
        errors.append(field.invalid("type", "", f"has invalid value: {event.get('type') or ''}"))
    for name in _DEPRECATED:
        if event.get(name):
            errors.append(field.invalid(name, "", "needs to be unset"))
    source = event.get("source") or {}
    if source.get("component") or source.get("host"):
        errors.append(field.invalid("source", "", "needs to be unset"))
    return errors


def validate_update(event: Obj, old: Obj, *, strict: bool) -> list[FieldError]:
    """Of a new-style event only the series (and metadata) may change."""
    errors = _common(event, strict)
    if not strict:
        return errors
    errors += meta.validate_object_meta_update(event["metadata"], old["metadata"])
    errors += meta.validate_core_finalizers(event["metadata"].get("finalizers") or (), "metadata.finalizers")
    if not meta.same(event.get("series"), old.get("series")):
        errors += _series(event)
    for name, path, zero in _IMMUTABLE:
        now, then = (zero if each.get(name) is None else each[name] for each in (event, old))
        if now != then:
            errors += meta.validate_immutable(now, then, path, gostruct.value("v1/Event", name))
    return errors


def _common(event: Obj, strict: bool) -> list[FieldError]:
    namespace = event["metadata"].get("namespace") or ""
    regarding = (event.get("involvedObject") or {}).get("namespace") or ""
    errors: list[FieldError] = []
    if not event.get("eventTime"):
        fits = namespace == regarding if regarding else namespace in ("", "default")
        if not fits:
            errors.append(field.invalid("involvedObject.namespace", regarding, _MISMATCH))
    else:
        if not regarding and namespace not in ("default", "kube-system"):
            errors.append(field.invalid("involvedObject.namespace", regarding, _MISMATCH))
        errors += _new_style(event, "reportingController" if strict else "reportingComponent")
    return errors + [field.invalid("namespace", namespace, text) for text in names.dns_subdomain(namespace)]


def _new_style(event: Obj, controller_path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = event.get("reportingComponent") or ""
    if not controller:
        errors.append(field.required(controller_path))
    errors += [field.invalid(controller_path, controller, text) for text in names.qualified_name(controller)]
    for name, limit in _LIMITS.items():
        value = event.get(name) or ""
        if not value:
            errors.append(field.required(name))
        if len(value.encode()) > limit:
            errors.append(field.invalid(name, "", f"can have at most {limit} characters"))
    if len((event.get("message") or "").encode()) > _NOTE_LIMIT:
        errors.append(field.invalid("message", "", f"can have at most {_NOTE_LIMIT} characters"))
    return errors


def _series(event: Obj) -> list[FieldError]:
    series = event.get("series")
    if series is None:
        return []
    errors: list[FieldError] = []
    if (series.get("count") or 0) < 2:
        errors.append(field.invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(field.required("series.lastObservedTime"))
    return errors
