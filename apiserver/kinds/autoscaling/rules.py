"""What a HorizontalPodAutoscaler may say, in its v2 shape (the original's apis/autoscaling/validation)."""

from __future__ import annotations

from typing import Any

from apimachinery import field, quantity
from apimachinery.field import FieldError
from apimachinery.quantity import QuantityError
from apiserver.registry.kind import Obj
from apiserver.validation import names, resources

_MAX_WINDOW = 3600
_MAX_PERIOD = 1800
_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_FIELDS = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def validate_spec(spec: Obj, old: Obj | None) -> list[FieldError]:
    """old: the stored spec, on an update, some faults of which are tolerated."""
    errors: list[FieldError] = []
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    bound = 0 if old is not None and old.get("minReplicas") == 0 else 1
    if low is not None and low < bound:
        errors.append(field.invalid("spec.minReplicas", low, f"must be greater than or equal to {bound}"))
    if high == 0:
        errors.append(field.required("spec.maxReplicas", "must be set and greater than 0"))
    elif high < 1:
        errors.append(field.invalid("spec.maxReplicas", high, "must be greater than or equal to 1"))
    if low is not None and high < low:
        errors.append(field.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    errors += _target(spec.get("scaleTargetRef") or {}, (old or {}).get("scaleTargetRef"))
    metrics = spec.get("metrics") or ()
    for position, metric in enumerate(metrics):
        errors += _metric(metric, f"spec.metrics[{position}]")
    if low == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(field.forbidden("spec.metrics", text))
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if (rules := behavior.get(name)) is not None:
            errors += _scaling_rules(rules, f"spec.behavior.{name}")
    return errors


def _target(reference: Obj, old: Obj | None) -> list[FieldError]:
    errors = _reference(reference, "spec.scaleTargetRef")
    text = _version_fault(reference, group_needed=True)
    if text and not (old is not None and _version_fault(old, group_needed=True)):
        errors.append(field.invalid("spec.scaleTargetRef.apiVersion", reference.get("apiVersion") or "", text))
    return errors


def _version_fault(reference: Obj, *, group_needed: bool) -> str:
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    core = "/" not in version
    if core and group_needed and not (version == "v1" and reference.get("kind") == "ReplicationController"):
        return "apiVersion must specify API group"
    return ""


def _reference(reference: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("kind", "name"):
        value = reference.get(name) or ""
        if not value:
            errors.append(field.required(f"{path}.{name}"))
        errors += [field.invalid(f"{path}.{name}", value, text) for text in names.path_segment(value)]
    return errors


def _scaling_rules(rules: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    window, at = rules.get("stabilizationWindowSeconds"), path + ".stabilizationWindowSeconds"
    if window is not None and window < 0:
        errors.append(field.invalid(at, window, "must be greater than or equal to zero"))
    if window is not None and window > _MAX_WINDOW:
        errors.append(field.invalid(at, window, f"must be less than or equal to {_MAX_WINDOW}"))
    choice = rules.get("selectPolicy")
    if choice is not None and choice not in ("Max", "Min", "Disabled"):
        errors.append(field.not_supported(path + ".selectPolicy", choice, ["Disabled", "Max", "Min"]))
    policies = rules.get("policies") or ()
    if not policies:
        errors.append(field.required(path + ".policies", "must specify at least one Policy"))
    for position, policy in enumerate(policies):
        errors += _policy(policy, f"{path}.policies[{position}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and _sign(tolerance) < 0:
        errors.append(field.invalid(path + ".tolerance", tolerance, "must be greater than or equal to 0"))
    return errors


def _policy(policy: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, value, period = policy.get("type") or "", policy.get("value") or 0, policy.get("periodSeconds") or 0
    if kind not in ("Pods", "Percent"):
        errors.append(field.not_supported(path + ".type", kind, ["Percent", "Pods"]))
    if value <= 0:
        errors.append(field.invalid(path + ".value", value, "must be greater than zero"))
    if period <= 0:
        errors.append(field.invalid(path + ".periodSeconds", period, "must be greater than zero"))
    if period > _MAX_PERIOD:
        text = f"must be less than or equal to {_MAX_PERIOD}"
        errors.append(field.invalid(path + ".periodSeconds", period, text))
    return errors


def _metric(metric: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = metric.get("type") or ""
    if not kind:
        errors.append(field.required(path + ".type", "must specify a metric source type"))
    unknown = field.not_supported(path + ".type", kind, _TYPES)
    if kind not in _TYPES:
        errors.append(unknown)
    present = [name for name in _FIELDS.values() if metric.get(name) is not None]
    if present:
        errors += _SOURCES[present[0]](metric[present[0]], f"{path}.{present[0]}")
    expected = _FIELDS.get(kind)
    if expected is None:
        errors.append(unknown)
    elif expected not in present:
        text = "must populate information for the given metric source"
        errors.append(field.required(f"{path}.{expected}", text))
    if len(present) > 1:
        text = "must populate the given metric source only"
        errors += [field.forbidden(f"{path}.{name}", text) for name in present if name != expected]
    return errors


def _object(source: Obj, path: str) -> list[FieldError]:
    reference = source.get("describedObject") or {}
    errors = _reference(reference, path + ".describedObject")
    if text := _version_fault(reference, group_needed=False):
        errors.append(field.invalid(path + ".describedObject.apiVersion", reference["apiVersion"], text))
    errors += _identifier(source, path)
    target = source.get("target") or {}
    errors += _metric_target(target, path + ".target")
    if target.get("value") is None and target.get("averageValue") is None:
        text = "must set either a target value or averageValue"
        errors.append(field.required(path + ".target.averageValue", text))
    return errors


def _external(source: Obj, path: str) -> list[FieldError]:
    errors = _identifier(source, path)
    target = source.get("target") or {}
    errors += _metric_target(target, path + ".target")
    value, average = target.get("value"), target.get("averageValue")
    if value is None and average is None:
        text = "must set either a target value for metric or a per-pod target"
        errors.append(field.required(path + ".target.averageValue", text))
    if value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(field.forbidden(path + ".target.value", text))
    return errors


def _pods(source: Obj, path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors = _identifier(source, path) + _metric_target(target, path + ".target")
    if target.get("averageValue") is None:
        text = "must specify a positive target averageValue"
        errors.append(field.required(path + ".target.averageValue", text))
    return errors


def _resource(source: Obj, path: str) -> list[FieldError]:
    errors = [] if source.get("name") else [field.required(path + ".name", "must specify a resource name")]
    return errors + _utilization(source.get("target") or {}, path + ".target")


def _container_resource(source: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, container = source.get("name") or "", source.get("container") or ""
    if not name:
        errors.append(field.required(path + ".name", "must specify a resource name"))
    else:
        errors += resources.validate_name(resources.container_name_texts, name, path + ".name")
    if not container:
        errors.append(field.required(path + ".container", "must specify a container"))
    else:
        errors += [field.invalid(path + ".container", container, text) for text in names.dns_label(container)]
    return errors + _utilization(source.get("target") or {}, path + ".target")


_SOURCES = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


def _utilization(target: Obj, path: str) -> list[FieldError]:
    errors = _metric_target(target, path)
    share, value = target.get("averageUtilization"), target.get("averageValue")
    if share is None and value is None:
        text = "must set either a target raw value or a target utilization"
        errors.append(field.required(path + ".averageUtilization", text))
    if share is not None and value is not None:
        text = "may not set both a target raw value and a target utilization"
        errors.append(field.forbidden(path + ".averageValue", text))
    return errors


def _sign(value: Any) -> int:
    try:
        return quantity.parse(value).sign()
    except QuantityError:
        return 0


def _metric_target(target: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = target.get("type") or ""
    if not kind:
        errors.append(field.required(path + ".type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        errors.append(field.invalid(path + ".type", kind, "must be either Utilization, Value, or AverageValue"))
    for name in ("value", "averageValue"):
        value = target.get(name)
        if value is not None and _sign(value) != 1:
            errors.append(field.invalid(f"{path}.{name}", value, "must be positive"))
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        errors.append(field.invalid(path + ".averageUtilization", share, "must be greater than 0"))
    return errors


def _identifier(source: Obj, path: str) -> list[FieldError]:
    name = (source.get("metric") or {}).get("name") or ""
    if not name:
        return [field.required(path + ".metric.name", "must specify a metric name")]
    return [field.invalid(path + ".metric.name", name, text) for text in names.path_segment(name)]
