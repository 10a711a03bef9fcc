"""Nodes: validation of new ones and of updates, warnings. Called by kinds/core/node.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import ips, names, resources
from apiserver.validation.pod.scheduling import validate_taints
from openapi import jsontext

Obj = Mapping[str, Any]

_TAINTS = "scheduler.alpha.kubernetes.io/taints"
_AVOID = "scheduler.alpha.kubernetes.io/preferAvoidPods"
_FEATURE = re.compile("[A-Z][A-Za-z0-9]*(/[A-Za-z0-9]+)*")
_ONE_SOURCE = "exactly one reference subfield must be non-nil"


def validate_node(node: Obj) -> list[FieldError]:
    """A node as its owner writes it. The paths of taints and swap are the original's, odd as they are."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    errors = _annotations(node["metadata"].get("annotations") or {})
    if taints := spec.get("taints"):
        errors += validate_taints(taints, "metadata.taints")
    errors += _amounts(status)
    swap = ((status.get("nodeInfo") or {}).get("swap") or {}).get("capacity")
    if swap is not None and swap <= 0:
        errors.append(field.invalid("metadata.nodeSwapStatus.capacity", swap, "must be greater than zero"))
    errors += _features(status.get("declaredFeatures") or ())
    return errors + _ranges(spec.get("podCIDRs") or [])


def validate_update(node: Obj, old: Obj) -> list[FieldError]:
    """The rules of a change, of a node or of its status."""
    spec, before, status = node.get("spec") or {}, old.get("spec") or {}, node.get("status") or {}
    errors = _annotations(node["metadata"].get("annotations") or {})
    errors += _amounts(status)
    errors += _features(status.get("declaredFeatures") or ())
    addresses = status.get("addresses") or ()
    for position, address in enumerate(addresses):
        if address in addresses[:position]:
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            errors.append(field.duplicate(f"status.addresses[{position}]", shown))
    errors += _fixed_ranges(spec.get("podCIDRs") or [], before.get("podCIDRs") or [])
    if before.get("providerID") and before["providerID"] != spec.get("providerID"):
        text = 'node updates may not change providerID except from "" to valid'
        errors.append(field.forbidden("spec.providerID", text))
    errors += _configs(spec, status)
    if taints := spec.get("taints"):
        errors += validate_taints(taints, "metadata.taints")
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        errors.append(field.forbidden("spec.externalID", "may not be updated"))
    return errors


def warnings(node: Obj) -> list[str]:
    spec = node.get("spec") or {}
    found: list[str] = []
    if spec.get("configSource") is not None:
        found.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for position, cidr in enumerate(spec.get("podCIDRs") or ()):
        found += ips.cidr_warnings(f"spec.podCIDRs[{position}]", cidr)
    return found


# -- annotations


def _annotations(annotations: Mapping[str, str]) -> list[FieldError]:
    """Taints and pods to avoid as annotations once held them; they must still make sense."""
    path = "metadata.annotations"
    errors: list[FieldError] = []
    if text := annotations.get(_TAINTS):
        problem = jsontext.error(text)
        if problem:
            errors.append(field.invalid(path, _TAINTS, problem))
        else:
            errors += validate_taints(json.loads(text) or (), f"{path}.{_TAINTS}")
    if text := annotations.get(_AVOID):
        problem = jsontext.error(text)
        if problem:
            errors.append(field.invalid(path + ".AvoidPods", _AVOID, problem))
        else:
            for position, entry in enumerate((json.loads(text) or {}).get("preferAvoidPods") or ()):
                errors += _avoided(entry, f"{path}.{_AVOID}[{position}].PodSignature")
    return errors


def _avoided(entry: Obj, path: str) -> list[FieldError]:
    controller = (entry.get("podSignature") or {}).get("podController")
    if controller is None:
        return [field.required(path)]
    if controller.get("controller") is not True:
        return [field.invalid(path + ".PodController.Controller", False, "must point to a controller")]
    return []


# -- status


def _amounts(status: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    for part in ("capacity", "allocatable"):
        for name, value in (status.get(part) or {}).items():
            errors += resources.validate_quantity(name, value, f"status.{part}.{name}")
    return errors


def _features(features: Sequence[str]) -> list[FieldError]:
    """Sorted, each once, well-formed."""
    errors: list[FieldError] = []
    for position, feature in enumerate(features):
        path = f"status.declaredFeatures[{position}]"
        if position and feature == features[position - 1]:
            errors.append(field.duplicate(path, feature))
        elif position and feature < features[position - 1]:
            errors.append(field.invalid(path, feature, "list must be sorted alphabetically"))
        if len(feature) > 253:
            text = f"invalid feature name {field.go_quote(feature)}: must be no more than 253 characters"
            errors.append(field.invalid(path, feature, text))
        elif not _FEATURE.fullmatch(feature):
            text = (
                f"invalid feature name {field.go_quote(feature)}: must start with an UpperCamelCase segment, with "
                "subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only "
                "alphanumeric characters and slashes"
            )
            errors.append(field.invalid(path, feature, text))
    return errors


# -- spec


def _ranges(ranges: Sequence[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, cidr in enumerate(ranges):
        errors += ips.legacy_cidr(f"spec.podCIDRs[{position}]", cidr)
    if len(ranges) < 2:
        return errors
    families = set()
    for position, cidr in enumerate(ranges):
        if (network := ips.parse_cidr(cidr)) is None:
            why = f"invalid CIDR[{position}]: <nil> (invalid CIDR address: {cidr})"
            text = f"invalid PodCIDRs. failed to check with dual stack with error:{why}"
            errors.append(field.internal("spec.podCIDRs", text))
            break
        families.add(network[1].version)
    if len(ranges) > 2 or len(families) < 2:
        text = "may specify no more than one CIDR for each IP family"
        errors.append(field.invalid("spec.podCIDRs", ranges, text))
    return errors


def _fixed_ranges(now: Sequence[str], then: Sequence[str]) -> list[FieldError]:
    if not then:
        return []
    error = field.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if len(now) != len(then):
        return [error]
    return [error for new, old in zip(now, then, strict=True) if new != old]


def _configs(spec: Obj, status: Obj) -> list[FieldError]:
    """References of the dynamic kubelet configuration, which is gone, but whose fields are still checked."""
    errors: list[FieldError] = []
    if (source := spec.get("configSource")) is not None:
        errors += _config(source, "spec.configSource", _unpinned)
    config = status.get("config") or {}
    for name in ("assigned", "active", "lastKnownGood"):
        if (source := config.get(name)) is not None:
            errors += _config(source, f"status.config.{name}", _pinned)
    return errors


def _config(source: Obj, path: str, pins: Callable[[Obj, str], list[FieldError]]) -> list[FieldError]:
    reference = source.get("configMap")
    if reference is None:
        return [field.invalid(path, {"ConfigMap": None}, _ONE_SOURCE)]
    path += ".configMap"
    errors = pins(reference, path)
    for name, check in (
        ("namespace", names.dns_label),
        ("name", names.dns_subdomain),
        ("kubeletConfigKey", names.config_map_key),
    ):
        value = reference.get(name) or ""
        if not value:
            errors.append(field.required(f"{path}.{name}", f"{name} must be set"))
        else:
            errors += [field.invalid(f"{path}.{name}", value, text) for text in check(value)]
    return errors


def _unpinned(reference: Obj, path: str) -> list[FieldError]:
    return [
        field.forbidden(f"{path}.{name}", f"{name} must not be set in spec")
        for name in ("uid", "resourceVersion")
        if reference.get(name)
    ]


def _pinned(reference: Obj, path: str) -> list[FieldError]:
    return [
        field.required(f"{path}.{name}", f"{name} must be set in status")
        for name in ("uid", "resourceVersion")
        if not reference.get(name)
    ]
