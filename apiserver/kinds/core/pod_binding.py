"""Binding: putting a pod on a node, for POST pods/<name>/binding and POST bindings. Pure; the handler stores the result."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, field
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.field import FieldError
from apimachinery.times import now
from apiserver.registry.kind import Obj


def validate_binding(binding: Obj) -> list[FieldError]:
    """What is wrong with a Binding; the original answers it with a plain 500."""
    target = binding.get("target") or {}
    found: list[FieldError] = []
    if target.get("kind") not in (None, "", "Node"):
        found.append(field.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        found.append(field.required("target.name"))
    return found


def bind(pod: Obj, binding: Obj, clock: Clock) -> None:
    """Put the pod on the binding's node, with the binding's annotations and labels.

    Raises 409 when it cannot be bound any more.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    name = metadata["name"]
    wanted = binding.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        raise _conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(name, f"pod {name} is already assigned to node {field.go_quote(spec['nodeName'])}")
    if spec.get("schedulingGates"):
        raise _conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for part in ("annotations", "labels"):
        if wanted.get(part):
            metadata.setdefault(part, {}).update(wanted[part])
    status = pod.setdefault("status", {})
    status.pop("nominatedNodeName", None)
    set_condition(status, {"type": "PodScheduled", "status": "True"}, clock)


def set_condition(status: Obj, condition: Obj, clock: Clock) -> None:
    """Set a pod condition; its transition time changes with its status only (podutil.UpdatePodCondition)."""
    conditions: list[Any] = status.setdefault("conditions", [])
    fresh = {"type": condition["type"], "status": condition["status"], "lastProbeTime": None}
    fresh["lastTransitionTime"] = now(clock)
    fresh.update({key: value for key, value in condition.items() if key not in fresh})
    for position, old in enumerate(conditions):
        if old.get("type") == condition["type"]:
            if old.get("status") == condition["status"] and old.get("lastTransitionTime"):
                fresh["lastTransitionTime"] = old["lastTransitionTime"]
            conditions[position] = fresh
            return
    conditions.append(fresh)


def _conflict(name: str, text: str) -> ApiError:
    return errors.conflict("", "pods/binding", name, text)
