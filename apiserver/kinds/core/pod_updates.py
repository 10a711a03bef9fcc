"""What may change in a pod: by updates, by its ephemeralcontainers and resize subresources, by binding.

Called by the Pod kind. Specs compare as the API's values do: quantities by amount, missing and empty as the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import field, pods
from apimachinery.field import FieldError
from apiserver.kinds import strategy
from apiserver.registry.kind import Obj
from apiserver.validation import gostruct, names
from apiserver.validation.diff import diff
from apiserver.validation.pod import annotations as pod_annotations
from apiserver.validation.pod import scheduling

_MAX_INT32 = 2**31 - 1
_UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_NOWHERE = "[]"  # how the original draws the path of no field
_RESIZED_GROUPS = ("containers", "initContainers")
_RESOURCES_ONLY = "only cpu and memory resources are mutable"
_SAME_SPEC = gostruct.same("v1/Pod", "spec")
_SAME_AFFINITY = gostruct.same("v1/Pod", "spec", "affinity", "nodeAffinity")
_SAME_CONTAINERS = gostruct.same("v1/Pod", "spec", "containers")
_SAME_EPHEMERAL = gostruct.same("v1/Pod", "spec", "ephemeralContainers")
_SAME_RESOURCES = gostruct.same("v1/Pod", "spec", "resources")


def refusal(subresource: str, old: Obj) -> list[FieldError]:
    """Why a pod has no such subresource, whatever else is wrong; [] where it has."""
    mirror = pod_annotations.MIRROR in (old["metadata"].get("annotations") or ())
    if subresource == "ephemeralcontainers" and mirror:
        return [field.forbidden(_NOWHERE, "static pods do not support ephemeral containers")]
    if subresource == "resize" and mirror:
        return [field.forbidden(_NOWHERE, "static pods cannot be resized")]
    if subresource == "resize" and (old["spec"].get("os") or {}).get("name") == "windows":
        return [field.forbidden(_NOWHERE, "windows pods cannot be resized")]
    return []


# -- updates of the pod itself


def validate_update(new: Obj, old: Obj) -> list[FieldError]:
    """What an ordinary update may not change; the new spec itself was checked before."""
    spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    errors: list[FieldError] = []
    for group in ("containers", "initContainers"):
        containers, old_containers = spec.get(group) or (), old_spec.get(group) or ()
        if len(containers) != len(old_containers):
            errors.append(field.forbidden(f"spec.{group}", "pod updates may not add or remove containers"))
            return errors
        for position, container in enumerate(containers):
            image = container.get("image") or ""
            if not image:
                errors.append(field.required(f"spec.{group}[{position}].image"))
            if image != image.strip():
                text = "must not have leading or trailing whitespace"
                errors.append(field.invalid(f"spec.{group}[{position}].image", image, text))
    deadline, stop = _deadline(spec.get("activeDeadlineSeconds"), old_spec.get("activeDeadlineSeconds"))
    errors += deadline
    if stop:
        return errors
    errors += _tolerations(spec.get("tolerations") or (), old_spec.get("tolerations") or ())
    errors += _gates(spec.get("schedulingGates") or (), old_spec.get("schedulingGates") or ())
    if _SAME_SPEC(spec, old_spec):
        return errors
    masked, found = _masked(spec, old_spec)
    errors += found
    if not _SAME_SPEC(masked, old_spec):
        text = f"pod updates may not change fields other than {','.join(_UPDATABLE)}\n{_diff(old_spec, masked)}"
        errors.append(field.forbidden("spec", text))
    return errors


def _diff(old: Obj, new: Obj) -> str:
    return diff(gostruct.pod_spec(old), gostruct.pod_spec(new))


def _deadline(new: int | None, old: int | None) -> tuple[list[FieldError], bool]:
    """It may be set, and then only shortened."""
    path = "spec.activeDeadlineSeconds"
    if new is not None:
        if not 0 <= new <= _MAX_INT32:
            return [field.invalid(path, new, names.range_text(0, _MAX_INT32))], True
        if old is not None and old < new:
            return [field.invalid(path, new, "must be less than or equal to previous value")], True
    elif old is not None:
        return [field.invalid(path, None, "must not update from a positive integer to nil value")], False
    return [], False


def _tolerations(new: Sequence[Obj], old: Sequence[Obj]) -> list[FieldError]:
    """They may be added, and their seconds changed."""
    if new == old:
        return []

    def without_seconds(toleration: Obj) -> Obj:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    present = [without_seconds(toleration) for toleration in new]
    if any(without_seconds(toleration) not in present for toleration in old):
        text = "existing toleration can not be modified except its tolerationSeconds"
        return [field.forbidden("spec.tolerations", text)]
    return scheduling.validate_tolerations(new, "spec.tolerations")


def _gates(new: Sequence[Obj], old: Sequence[Obj]) -> list[FieldError]:
    """They may only go. A new one that is there twice is told once, where it is last."""
    known = {gate.get("name") or "" for gate in old}
    last = {gate.get("name") or "": position for position, gate in enumerate(new)}
    return [
        field.forbidden(
            f"spec.schedulingGates[{position}].name",
            f"only deletion is allowed, but found new scheduling gate '{name}'",
        )
        for name, position in last.items()
        if name not in known
    ]


def _masked(spec: Obj, old: Obj) -> tuple[Obj, list[FieldError]]:
    """The new spec with the old values of what may change, and what is wrong with changes of a gated pod."""
    errors: list[FieldError] = []
    masked = dict(spec)
    for group in ("containers", "initContainers"):
        if masked.get(group):
            masked[group] = [
                {**container, "image": before.get("image")}
                for container, before in zip(masked[group], old[group], strict=True)
            ]
        else:
            masked.pop(group, None)
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _take(masked, old, name)
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and masked.get("terminationGracePeriodSeconds") == 1:
        _take(masked, old, "terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        selector, old_selector = masked.get("nodeSelector") or {}, old.get("nodeSelector") or {}
        if selector != old_selector:
            if any(selector.get(key) != value for key, value in old_selector.items()):
                text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
                errors.append(field.invalid("spec.nodeSelector", dict(sorted(selector.items())), text))
            _take(masked, old, "nodeSelector")
        errors += _masked_affinity(masked, old)
    return masked, errors


def _take(target: Obj, source: Obj, name: str) -> None:
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)


def _masked_affinity(masked: Obj, old: Obj) -> list[FieldError]:
    affinity, old_affinity = masked.get("affinity"), old.get("affinity")
    node, old_node = (affinity or {}).get("nodeAffinity"), (old_affinity or {}).get("nodeAffinity")
    if _SAME_AFFINITY(node, old_node):
        return []
    errors = _node_affinity_change(node, old_node)
    if affinity is None:
        masked["affinity"] = {"nodeAffinity": old_node}
    elif old_affinity is None and affinity.get("podAffinity") is None and affinity.get("podAntiAffinity") is None:
        del masked["affinity"]
    else:
        masked["affinity"] = dict(affinity)
        _take(masked["affinity"], old_affinity or {}, "nodeAffinity")
    return errors


def _node_affinity_change(new: Obj | None, old: Obj | None) -> list[FieldError]:
    """Requirements of a gated pod may be narrowed, not widened."""
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    before = (old or {}).get(required)
    if before is None:
        return []
    path = f"spec.affinity.nodeAffinity.{required}.nodeSelectorTerms"
    old_terms = before.get("nodeSelectorTerms") or []
    terms = ((new or {}).get(required) or {}).get("nodeSelectorTerms") or []
    if old_terms and len(terms) != len(old_terms):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [field.invalid(path, [gostruct.node_selector_term(term) for term in terms] or None, text)]
    text = "only additions are allowed (no mutations or deletions)"
    return [
        field.invalid(f"{path}[{position}]", gostruct.node_selector_term(term), text)
        for position, (term, before) in enumerate(zip(terms, old_terms, strict=False))
        if not _only_added(term, before)
    ]


def _only_added(new: Obj, old: Obj) -> bool:
    if not old.get("matchExpressions") and not old.get("matchFields"):
        return not new.get("matchExpressions") and not new.get("matchFields")
    for name in ("matchExpressions", "matchFields"):
        before = old.get(name) or []
        if (new.get(name) or [])[: len(before)] != before:
            return False
    return True


# -- ephemeral containers


def validate_ephemeral_containers(new: Obj, old: Obj) -> list[FieldError]:
    """They may be added, never changed or removed."""
    errors: list[FieldError] = []
    present = {container.get("name"): container for container in new["spec"].get("ephemeralContainers") or ()}
    for container in old["spec"].get("ephemeralContainers") or ():
        name = field.go_quote(container.get("name") or "")
        found = present.get(container.get("name"))
        if found is None:
            text = f"existing ephemeral containers {name} may not be removed\n"
            errors.append(field.forbidden("spec.ephemeralContainers", text))
        elif not _SAME_EPHEMERAL([found], [container]):
            changes = diff(gostruct.ephemeral_container(container), gostruct.ephemeral_container(found))
            text = f"existing ephemeral containers {name} may not be changed\n{changes}"
            errors.append(field.forbidden("spec.ephemeralContainers", text))
    return errors


# -- resize


def keep_all_but_resources(new: Obj, old: Obj) -> None:
    """Drop what a resize does not change; containers that were added, renamed or reordered are left to validation."""
    spec, old_spec = new["spec"], old["spec"]
    if any(len(spec.get(group) or ()) != len(old_spec.get(group) or ()) for group in _RESIZED_GROUPS):
        return
    strategy.keep_metadata(new, old)
    merged = dict(old_spec)
    for group in _RESIZED_GROUPS:
        pairs = list(zip(spec.get(group) or (), old_spec.get(group) or (), strict=True))
        if any(container.get("name") != before.get("name") for container, before in pairs):
            merged[group] = spec[group]
        elif pairs:
            merged[group] = [_resized(container, before) for container, before in pairs]
    _take(merged, spec, "resources")
    new["spec"] = merged


def _resized(container: Obj, old: Obj) -> Obj:
    out = dict(old)
    _take(out, container, "resources")
    _take(out, container, "resizePolicy")
    return out


def validate_resize(new: Obj, old: Obj, errors: list[FieldError]) -> list[FieldError]:
    """Only cpu and memory of containers (and of the pod) may change, and the QoS class may not. errors: those of the new
    pod, to which these are added."""
    spec, old_spec = new["spec"], old["spec"]
    if pods.qos_class(old) != pods.compute_qos_class(new):
        value = (new.get("status") or {}).get("qosClass") or ""
        errors.append(field.invalid("spec", value, "Pod QOS Class may not change as a result of resizing"))
    if not _node_can_resize(old):
        errors.append(field.forbidden("spec", "Pod running on node without support for resize"))
    masked = dict(spec)
    errors += _pod_level(spec.get("resources"), old_spec.get("resources"), masked)
    if (old.get("status") or {}).get("nodeAllocatableResourceClaimStatuses"):
        errors.append(field.forbidden("spec", "pods with node allocatable resource claims cannot be resized"))
    if found := _container_order(spec, old_spec):
        return errors + found
    for group in ("initContainers", "containers"):
        if spec.get(group):
            masked[group] = [
                _with_old_amounts(container, before)
                for container, before in zip(spec[group], old_spec[group], strict=True)
            ]
            errors += _container_changes(group, spec[group], old_spec[group], masked[group])
    if not errors and not _SAME_SPEC(masked, old_spec):
        errors.append(field.forbidden("spec", _RESOURCES_ONLY))
    return errors


def _node_can_resize(pod: Obj) -> bool:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if (status.get("state") or {}).get("running") is not None:
            return status.get("resources") is not None
    return True


def _container_order(spec: Obj, old: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    for group in ("containers", "initContainers"):
        containers, before = spec.get(group) or (), old.get(group) or ()
        if len(containers) != len(before):
            errors.append(field.forbidden(f"spec.{group}", f"{group} may not be added or removed on resize"))
            continue
        for position, (container, was) in enumerate(zip(containers, before, strict=True)):
            if container.get("name") != was.get("name"):
                text = f"{group} may not be renamed or reordered on resize"
                errors.append(field.forbidden(f"spec.{group}[{position}].name", text))
    return errors


def _container_changes(
    group: str, containers: Sequence[Obj], old: Sequence[Obj], masked: Sequence[Obj]
) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, (container, before, rest) in enumerate(zip(containers, old, masked, strict=True)):
        at = f"spec.{group}[{position}]"
        requirements, was = container.get("resources") or {}, before.get("resources") or {}
        for part in ("requests", "limits"):
            if _removed(requirements.get(part), was.get(part)):
                text = f"resource {part} cannot be removed"
                errors.append(field.forbidden(f"{at}.resources.{part}", text))
        if group == "containers":
            if not _SAME_CONTAINERS([rest], [before]):
                errors.append(field.forbidden("spec", _RESOURCES_ONLY))
            continue
        if not _SAME_CONTAINERS([rest], [before]):
            text = "only cpu and memory resources for init or sidecar containers are mutable"
            errors.append(field.forbidden(at, text))
        if not pods.is_sidecar(container) and not _SAME_CONTAINERS([container], [before]):
            text = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            errors += [
                field.forbidden(at, text)
                for policy in container.get("resizePolicy") or ()
                if policy.get("restartPolicy") == "RestartContainer"
            ]
    return errors


def _removed(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> bool:
    return any(name not in (new or ()) for name in old or ())


def _with_old_amounts(container: Obj, old: Obj) -> Obj:
    """The container with the old amounts of cpu and memory."""
    requirements, was = container.get("resources") or {}, old.get("resources") or {}
    merged = {part: _mask_amounts(requirements.get(part), was.get(part)) for part in ("limits", "requests")}
    return {**container, "resources": {part: amounts for part, amounts in merged.items() if amounts}}


def _mask_amounts(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> dict[str, Any]:
    masked = {name: value for name, value in (new or {}).items() if name not in ("cpu", "memory")}
    masked.update({name: value for name, value in (old or {}).items() if name in ("cpu", "memory")})
    return masked


def _pod_level(new: Obj | None, old: Obj | None, masked: Obj) -> list[FieldError]:
    """spec.resources; `masked` gets the old amounts."""
    if not any((part or {}).get(name) for part in (new, old) for name in ("requests", "limits")):
        return []
    if old is not None and new is None:
        return [field.forbidden("spec.resources", "pod-level resources cannot be removed")]
    errors: list[FieldError] = []
    for part in ("requests", "limits"):
        if old is not None and _removed((new or {}).get(part), old.get(part)):
            text = f"pod-level resource {part} cannot be removed"
            errors.append(field.forbidden(f"spec.resources.{part}", text))
    before = old or {}
    merged = {part: _mask_amounts((new or {}).get(part), before.get(part)) for part in ("limits", "requests")}
    level = {**(new or {}), **merged}
    masked["resources"] = {name: value for name, value in level.items() if value}
    if old is None and not masked["resources"]:
        del masked["resources"]
    if not _SAME_RESOURCES(masked.get("resources"), old):
        errors.append(field.forbidden("spec", "only cpu and memory resources are mutable at pod-level"))
    return errors
