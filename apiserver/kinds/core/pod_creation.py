"""What the server adds to a pod when it is created: status, merged selectors, AppArmor profiles from old annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apimachinery import pods
from apiserver.kinds.core import pod_features
from apiserver.kinds.core.pod_binding import set_condition
from apiserver.registry.kind import Ctx, Obj
from apiserver.validation.pod import security
from apiserver.validation.pod.annotations import APPARMOR, profile_of_annotation
from apiserver.validation.pod.options import containers

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def prepare(ctx: Ctx, pod: Obj) -> None:
    """Status, conditions and derived fields of a new pod."""
    spec = pod["spec"]
    status: Obj = {"phase": "Pending", "qosClass": pods.compute_qos_class(pod)}
    pod["status"] = status
    pod_features.drop(spec)
    if spec.get("schedulingGates"):
        text = "Scheduling is blocked due to non-empty scheduling gates"
        condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": text}
        set_condition(status, condition, ctx.clock)
    labels = pod["metadata"].get("labels") or {}
    if affinity := spec.get("affinity"):
        for side in ("podAffinity", "podAntiAffinity"):
            terms = affinity.get(side) or {}
            for term in terms.get(_REQUIRED) or ():
                _merge_keys(term, labels)
            for weighted in terms.get(_PREFERRED) or ():
                _merge_keys(weighted.get("podAffinityTerm") or {}, labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_keys(constraint, labels)
    annotations = pod["metadata"].get("annotations")
    if annotations and any(key.startswith(APPARMOR) for key in annotations):
        _adopt_profiles(ctx, annotations, spec)


def _merge_keys(term: Obj, labels: Mapping[str, str]) -> None:
    """matchLabelKeys and mismatchLabelKeys become requirements with the pod's own values."""
    selector = term.get("labelSelector")
    if selector is None:
        return
    _add(selector, term.get("matchLabelKeys") or (), "In", labels)
    _add(selector, term.get("mismatchLabelKeys") or (), "NotIn", labels)


def _add(selector: Obj, keys: Iterable[str], operator: str, labels: Mapping[str, str]) -> None:
    for key in keys:
        if key in labels:
            requirement = {"key": key, "operator": operator, "values": [labels[key]]}
            selector.setdefault("matchExpressions", []).append(requirement)


def _adopt_profiles(ctx: Ctx, annotations: Mapping[str, str], spec: Obj) -> None:
    """AppArmor profiles that only an annotation names become fields."""
    if (spec.get("os") or {}).get("name") == "windows":
        return
    pod_profile = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container in containers(spec):
        key = APPARMOR + (container.get("name") or "")
        if key not in annotations or (container.get("securityContext") or {}).get("appArmorProfile") is not None:
            continue
        profile = profile_of_annotation(annotations[key])
        if profile and security.validate_app_armor(profile, ""):
            profile = None
        if profile is not None and profile == pod_profile:
            continue
        if profile is not None and isinstance(container, dict):
            container.setdefault("securityContext", {})["appArmorProfile"] = profile
        text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
        ctx.warnings.append(f"metadata.annotations[{key}]: {text}")
