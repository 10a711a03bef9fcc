"""HorizontalPodAutoscaler between autoscaling/v2 and v1.

v1 knows one metric, the CPU's utilisation. Everything else it carries in annotations, which only exist in v1: other
metrics and their status in v1's own shape, conditions, and the scaling behaviour in the original's internal shape (field
names with capitals). A copy is returned; the given object is not changed.
"""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.registry.kind import Obj

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS = _PREFIX + "metrics"
STATUSES = _PREFIX + "current-metrics"
CONDITIONS = _PREFIX + "conditions"
BEHAVIOR = _PREFIX + "behavior"
_ANNOTATIONS = (METRICS, STATUSES, CONDITIONS, BEHAVIOR)


def to_v1(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics, statuses = spec.pop("metrics", None) or (), status.pop("currentMetrics", None) or ()
    behavior, conditions = spec.pop("behavior", None), status.pop("conditions", None)
    for metric in metrics:
        if (share := _cpu_share(metric, "target")) is not None:
            spec["targetCPUUtilizationPercentage"] = share
            break
    for entry in statuses:
        if (share := _cpu_share(entry, "current")) is not None:
            status["currentCPUUtilizationPercentage"] = share
            break
    status = {"currentReplicas": 0, "desiredReplicas": 0, **status}
    carried: dict[str, Any] = {
        METRICS: [_metric_to_v1(metric) for metric in metrics if _cpu_share(metric, "target") is None],
        STATUSES: [_status_to_v1(entry) for entry in statuses],
        CONDITIONS: conditions,
    }
    annotations = _without(obj)
    for name, value in carried.items():
        if value:
            annotations[name] = orjson.dumps(value).decode()
    if behavior is not None:
        annotations[BEHAVIOR] = orjson.dumps(_behavior_to_internal(behavior)).decode()
    return _rebuilt(obj, "autoscaling/v1", annotations, spec, status)


def to_v2(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = (obj["metadata"].get("annotations") or {}).copy()
    share = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_metric_to_v2(metric) for metric in _listed(annotations, METRICS)]
    if share is not None:
        target = {"type": "Utilization", "averageUtilization": share}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    behavior = _parsed(annotations, BEHAVIOR)
    if isinstance(behavior, dict):
        spec["behavior"] = _behavior_from_internal(behavior)
    current = status.pop("currentCPUUtilizationPercentage", None)
    statuses = [_status_to_v2(entry) for entry in _listed(annotations, STATUSES)]
    if not statuses and current is not None:
        statuses = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": current}}}]
    status["currentMetrics"] = statuses or None
    if conditions := _listed(annotations, CONDITIONS):
        status["conditions"] = conditions
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    status.setdefault("desiredReplicas", 0)
    return _rebuilt(obj, "autoscaling/v2", _without(obj), spec, status)


def _without(obj: Obj) -> dict[str, str]:
    given = obj["metadata"].get("annotations") or {}
    return {name: value for name, value in given.items() if name not in _ANNOTATIONS}


def _rebuilt(obj: Obj, version: str, annotations: dict[str, str], spec: Obj, status: Obj) -> Obj:
    metadata = dict(obj["metadata"])
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "apiVersion": version, "metadata": metadata, "spec": spec, "status": status}


def _parsed(annotations: dict[str, str], name: str) -> Any:
    """The annotation's value, or None for what is no JSON: the original ignores it too."""
    try:
        return orjson.loads(annotations[name]) if name in annotations else None
    except orjson.JSONDecodeError:
        return None


def _listed(annotations: dict[str, str], name: str) -> list[Obj]:
    value = _parsed(annotations, name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _cpu_share(metric: Obj, side: str) -> Any:
    """The CPU utilisation that a metric or its status (side "target" or "current") is about, or None."""
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    return (resource.get(side) or {}).get("averageUtilization")


# -- metrics: v1 has flat fields where v2 has `metric` and `target` (or `current`)

_NAMES = {"object": "metricName", "pods": "metricName", "external": "metricName"}
_SELECTORS = {"object": "selector", "pods": "selector", "external": "metricSelector"}


def _flat_names(source: str, side: str) -> dict[str, str]:
    """v2 field of a target or current value -> v1 field of that source."""
    word = "target" if side == "target" else "current"
    names = {
        "value": f"{word}Value",
        "averageValue": f"{word}AverageValue",
        "averageUtilization": f"{word}AverageUtilization",
    }
    if source == "object":
        names["averageValue"] = "averageValue"
    return names


# The order of v1's fields, in which annotations are written.
_ORDER = (
    "target",
    "name",
    "metricName",
    "metricSelector",
    *(f"{word}{rest}" for word in ("target", "current") for rest in ("AverageUtilization", "Value", "AverageValue")),
    "selector",
    "averageValue",
    "container",
)


def _to_v1(entry: Obj, side: str) -> Obj:
    out: Obj = {"type": entry.get("type", "")}
    for source in ("object", "pods", "resource", "containerResource", "external"):
        given = entry.get(source)
        if given is None:
            continue
        flat: Obj = {}
        if source == "object":
            described = given.get("describedObject") or {}
            flat["target"] = {name: described[name] for name in ("kind", "name", "apiVersion") if name in described}
        if source in _NAMES:
            metric = given.get("metric") or {}
            flat[_NAMES[source]] = metric.get("name", "")
            if metric.get("selector") is not None:
                flat[_SELECTORS[source]] = metric["selector"]
        else:
            flat["name"] = given.get("name", "")
        values = given.get(side) or {}
        for name, flat_name in _flat_names(source, side).items():
            if values.get(name) is not None:
                flat[flat_name] = values[name]
        if source == "object":
            flat.setdefault(f"{side}Value", "0")
        if source == "containerResource":
            flat["container"] = given.get("container", "")
        out[source] = {name: flat[name] for name in _ORDER if name in flat}
    return out


def _to_v2(entry: Obj, side: str) -> Obj:
    out: Obj = {"type": entry.get("type", "")}
    for source in ("object", "pods", "resource", "containerResource", "external"):
        flat = entry.get(source)
        if not isinstance(flat, dict):
            continue
        given: Obj = {}
        if source == "object":
            given["describedObject"] = flat.get("target") or {}
        if source in _NAMES:
            metric: Obj = {"name": flat.get(_NAMES[source], "")}
            if flat.get(_SELECTORS[source]) is not None:
                metric["selector"] = flat[_SELECTORS[source]]
            given["metric"] = metric
        else:
            given["name"] = flat.get("name", "")
        values = {v2: flat[v1] for v2, v1 in _flat_names(source, side).items() if flat.get(v1) is not None}
        if source == "object" and "averageValue" in values and values.get("value") == "0":
            del values["value"]
        given[side] = {"type": _target_type(values), **values} if side == "target" else values
        if source == "containerResource":
            given["container"] = flat.get("container", "")
        out[source] = given
    return out


def _target_type(values: Obj) -> str:
    if "averageUtilization" in values:
        return "Utilization"
    return "AverageValue" if "averageValue" in values else "Value"


def _metric_to_v1(metric: Obj) -> Obj:
    return _to_v1(metric, "target")


def _status_to_v1(entry: Obj) -> Obj:
    return _to_v1(entry, "current")


def _metric_to_v2(metric: Obj) -> Obj:
    return _to_v2(metric, "target")


def _status_to_v2(entry: Obj) -> Obj:
    return _to_v2(entry, "current")


# -- behaviour, in the original's internal shape

_RULES = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY = ("type", "value", "periodSeconds")


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _behavior_to_internal(behavior: Obj) -> Obj:
    out: Obj = {}
    for name in ("scaleUp", "scaleDown"):
        rules = behavior.get(name)
        if rules is None:
            out[_capital(name)] = None
            continue
        shown = {_capital(key): rules.get(key) for key in _RULES}
        if rules.get("policies") is not None:
            shown["Policies"] = [{_capital(key): policy.get(key) for key in _POLICY} for policy in rules["policies"]]
        out[_capital(name)] = shown
    return out


def _behavior_from_internal(behavior: Obj) -> Obj:
    out: Obj = {}
    for name in ("scaleUp", "scaleDown"):
        rules = behavior.get(_capital(name))
        if not isinstance(rules, dict):
            continue
        given = {key: rules[_capital(key)] for key in _RULES if rules.get(_capital(key)) is not None}
        if isinstance(given.get("policies"), list):
            given["policies"] = [{key: p.get(_capital(key)) for key in _POLICY} for p in given["policies"]]
        out[name] = given
    return out
