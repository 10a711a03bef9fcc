"""What a ResourceSlice says of a pool, its devices and their counters."""

from __future__ import annotations

import itertools
import re
from typing import Any

from apimachinery import field, quantity
from apimachinery.field import FieldError
from apimachinery.quantity import Quantity, QuantityError
from apiserver.kinds.resource import common
from apiserver.registry.kind import Obj
from apiserver.validation import meta, names
from apiserver.validation.pod import scheduling

_MAX_DEVICES = 128
_MAX_DEVICES_WITH_TAINTS = 64
_MAX_PROPERTIES = 32
_MAX_COUNTER_SETS = 8
_MAX_COUNTERS = 32
_MAX_CONSUMPTIONS = 2
_MAX_TAINTS = 16
_MAX_VALUE = 64
_MAX_OPTIONS = 10
_NUMBER = r"(0|[1-9]\d*)"
_PRERELEASE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = "[0-9a-zA-Z-]+"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII
)
_CHOICES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_DEVICE_CHOICES = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)


def default_slice(spec: Obj, now: str) -> None:
    for device in spec.get("devices") or ():
        for taint in device.get("taints") or ():
            taint["timeAdded"] = taint.get("timeAdded") or now


def validate_spec(spec: Obj, old: Obj | None) -> list[FieldError]:
    errors = common.driver_name(spec.get("driver") or "", "spec.driver")
    pool = spec.get("pool") or {}
    errors += common.pool_name(pool.get("name"), "spec.pool.name")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        errors.append(field.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        errors.append(field.invalid("spec.pool.generation", generation, "must be greater than or equal to zero"))
    if old is not None:
        before = (old.get("pool") or {}).get("name")
        errors += meta.validate_immutable(pool.get("name"), before, "spec.pool.name")
        for name in ("driver", "nodeName"):
            errors += meta.validate_immutable(spec.get(name), old.get(name), f"spec.{name}")
    errors += _placement(spec)
    devices, counters = spec.get("devices"), spec.get("sharedCounters")
    if devices is not None and counters is not None:
        errors.append(field.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    costly = any(device.get("taints") or device.get("consumesCounters") for device in devices or ())
    limit = _MAX_DEVICES_WITH_TAINTS if costly else _MAX_DEVICES
    per_device = spec.get("perDeviceNodeSelection") is True
    errors += common.unique(devices or (), "spec.devices", limit, lambda d, p: _device(d, p, per_device), _name)
    return errors + common.unique(counters or (), "spec.sharedCounters", _MAX_COUNTER_SETS, _counter_set, _name)


def _name(item: Obj) -> str:
    return item.get("name") or ""


def _placement(spec: Obj) -> list[FieldError]:
    """Which nodes reach the devices: said in one of four ways."""
    errors, chosen = _nodes(spec, "spec", "must be either unset or set to a non-empty string", single=True)
    per_device = spec.get("perDeviceNodeSelection")
    if per_device:
        chosen.append("`perDeviceNodeSelection`")
    elif per_device is not None:
        errors.append(field.invalid("spec.perDeviceNodeSelection", False, "must be either unset or set to true"))
    if not chosen:
        errors.append(field.required("spec", _CHOICES))
    elif len(chosen) > 1:
        value = "{" + ", ".join(chosen) + "}"
        errors.append(field.invalid("spec", value, _CHOICES + ", but multiple fields are set"))
    return errors


def _nodes(obj: Obj, path: str, empty: str, *, single: bool) -> tuple[list[FieldError], list[str]]:
    """(errors, which of nodeName, nodeSelector and allNodes are given). single: the selector has one term."""
    errors: list[FieldError] = []
    chosen: list[str] = []
    node, selector, everywhere = obj.get("nodeName"), obj.get("nodeSelector"), obj.get("allNodes")
    if node:
        chosen.append("`nodeName`")
        errors += [field.invalid(path + ".nodeName", node, text) for text in names.dns_subdomain(node)]
    elif node is not None:
        errors.append(field.invalid(path + ".nodeName", node, empty))
    if selector is not None:
        chosen.append("`nodeSelector`")
        errors += scheduling.validate_node_selector(selector, path + ".nodeSelector")
        terms = selector.get("nodeSelectorTerms") or []
        if single and len(terms) != 1:
            text = "must have exactly one node selector term"
            errors.append(field.invalid(path + ".nodeSelector.nodeSelectorTerms", terms, text))
    if everywhere:
        chosen.append("`allNodes`")
    elif everywhere is not None:
        errors.append(field.invalid(path + ".allNodes", False, "must be either unset or set to true"))
    return errors, chosen


def _counter_set(counters: Obj, path: str) -> list[FieldError]:
    name = counters.get("name")
    errors = common.label(name, path + ".name") if name else [field.required(path + ".name")]
    return errors + _counters(counters.get("counters") or {}, path + ".counters")


def _counters(counters: dict[str, Any], path: str) -> list[FieldError]:
    if not counters:
        return [field.required(path)]
    return common.mapped(counters, path, _MAX_COUNTERS, common.label, lambda _c, _p: [])


def _device(device: Obj, path: str, per_device: bool) -> list[FieldError]:
    errors = common.label(device.get("name"), path + ".name")
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    total = len(attributes) + len(capacity)
    if total > _MAX_PROPERTIES:
        text = f"the total number of attributes and capacities must not exceed {_MAX_PROPERTIES}"
        errors.append(field.invalid(path, total, text))
    errors += common.mapped(attributes, path + ".attributes", -1, common.qualified_name, _attribute)
    check = _shared_capacity if device.get("allowMultipleAllocations") else _own_capacity
    errors += common.mapped(capacity, path + ".capacity", -1, common.qualified_name, check)
    errors += common.listed(device.get("taints") or (), path + ".taints", _MAX_TAINTS, common.taint)
    errors += common.unique(
        device.get("consumesCounters") or (),
        path + ".consumesCounters",
        _MAX_CONSUMPTIONS,
        _consumption,
        lambda item: item.get("counterSet") or "",
    )
    if per_device:
        found, chosen = _nodes(device, path, "must not be empty", single=False)
        errors += found
        if not chosen:
            errors.append(field.required(path, _DEVICE_CHOICES))
        elif len(chosen) > 1:
            errors.append(field.invalid(path, "{" + ", ".join(chosen) + "}", _DEVICE_CHOICES))
    elif any(device.get(name) is not None for name in ("nodeName", "nodeSelector", "allNodes")):
        text = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in "
            "the ResourceSlice spec"
        )
        errors.append(field.invalid(path, None, text))
    return errors + common.binding_conditions(device, path)


def _consumption(item: Obj, path: str) -> list[FieldError]:
    name = item.get("counterSet")
    errors = common.label(name, path + ".counterSet") if name else [field.required(path + ".counterSet")]
    return errors + _counters(item.get("counters") or {}, path + ".counters")


def _attribute(attribute: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [name for name in ("bool", "int", "string", "version") if attribute.get(name) is not None]
    for name in ("string", "version"):
        value = attribute.get(name)
        if value is None:
            continue
        if name == "version" and not _SEMVER.fullmatch(value):
            text = "must be a string compatible with semver.org spec 2.0.0"
            errors.append(field.invalid(path + ".version", value, text))
        if len(value.encode()) > _MAX_VALUE:
            errors.append(field.too_long(f"{path}.{name}", _MAX_VALUE))
    if len(given) != 1:
        errors.append(field.invalid(path, attribute if given else "", "exactly one value must be specified"))
    return errors


# -- capacities


def _own_capacity(capacity: Obj, path: str) -> list[FieldError]:
    if capacity.get("requestPolicy") is None:
        return []
    return [field.forbidden(path + ".requestPolicy", "allowMultipleAllocations must be true")]


def _shared_capacity(capacity: Obj, path: str) -> list[FieldError]:
    if (policy := capacity.get("requestPolicy")) is None:
        return []
    at = path + ".requestPolicy"
    values, bounds, default = policy.get("validValues") or [], policy.get("validRange"), policy.get("default")
    if values and bounds is not None:
        text = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        return [field.forbidden(at, text)]
    word = "validValues" if values else "validRange" if bounds is not None else ""
    if not word:
        return []
    if default is None:
        return [field.required(at + ".default", f"required when {word} is defined")]
    try:
        total, wanted = quantity.parse(capacity.get("value") or 0), quantity.parse(default)
        if values:
            return _options([quantity.parse(value) for value in values], wanted, total, at + ".validValues")
        return _range({name: quantity.parse(value) for name, value in (bounds or {}).items()}, wanted, total, at)
    except QuantityError:
        return []  # decoding has refused what is no quantity


def _options(values: list[Quantity], default: Quantity, total: Quantity, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, (left, right) in enumerate(itertools.pairwise(values)):
        if right < left:
            text = "values must be sorted in ascending order"
            errors.append(field.invalid(f"{path}[{position + 1}]", str(right), text))

    def check(value: Quantity, at: str) -> list[FieldError]:
        text = f"option is larger than capacity value: {total}"
        return [field.invalid(at, str(value), text)] if total < value else []

    errors += common.unique(values, path, _MAX_OPTIONS, check, lambda value: str(value.value()))
    if default not in values:
        text = "default value is not valid according to the requestPolicy"
        errors.append(field.invalid(path, str(default), text))
    return errors


def _range(bounds: dict[str, Quantity], default: Quantity, total: Quantity, path: str) -> list[FieldError]:
    at = path + ".validRange"
    low, high, step = bounds.get("min"), bounds.get("max"), bounds.get("step")
    if low is None:
        return [field.required(at + ".min", "required when validRange is defined")]
    errors: list[FieldError] = []
    if total < low:
        errors.append(field.invalid(at + ".min", str(low), f"min is larger than capacity value: {total}"))
    if default < low:
        errors.append(field.invalid(at + ".min", str(default), f"default is less than min: {low}"))
    if high is not None:
        if high < low:
            errors.append(field.invalid(at + ".max", str(low), f"min is larger than max: {high}"))
        if total < high:
            errors.append(field.invalid(at + ".max", str(high), f"max is larger than capacity value: {total}"))
        if high < default:
            errors.append(field.invalid(at + ".max", str(default), f"default is more than max: {high}"))
    if step is not None:
        if total < low + step:
            text = f"one step {low + step} is larger than capacity value: {total}"
            errors.append(field.invalid(at + ".step", str(step), text))
        for value in (default, *([high] if high is not None else [])):
            if step.value() and (value.value() - low.value()) % step.value():
                text = f"value is not a multiple of a given step ({step}) from ({low})"
                errors.append(field.invalid(at + ".step", str(value), text))
    return errors
