"""Pod templates as workloads use them: matching the selector, restart policy, deadlines; the pod itself is core's.

Called by the kinds of apps and batch.
"""

from __future__ import annotations

from typing import Any

from apimachinery import field, selectors
from apimachinery.field import FieldError
from apimachinery.selectors import LabelSelector, SelectorError
from apiserver.kinds.core import pod_features, podtemplate_defaults
from apiserver.registry.kind import Obj
from apiserver.validation import claims, gostruct, labels, meta, podspec
from apiserver.validation.pod import warnings as pod_warnings


def selector_of(selector: Obj | None) -> LabelSelector | None:
    """The parsed LabelSelector (a missing one selects nothing), or None when it is malformed."""
    try:
        return selectors.from_object(selector)
    except SelectorError:
        return None


def template_labels(template: Obj) -> dict[str, str] | None:
    labels: dict[str, str] | None = (template.get("metadata") or {}).get("labels")
    return labels


def mismatch(selector: LabelSelector, template: Obj, path: str) -> list[FieldError]:
    """The template's labels must match the selector; path: the template's."""
    labels = template_labels(template)
    if selector.matches(labels):
        return []
    shown = dict(sorted(labels.items())) if labels is not None else None
    return [field.invalid(path + ".metadata.labels", shown, "`selector` does not match template `labels`")]


def default_template(spec: Obj) -> None:
    """Defaults of the pod template in a workload's spec."""
    podtemplate_defaults.default_pod_template(spec.setdefault("template", {}))


def prepare(obj: Obj, *parents: str) -> None:
    """What a write of a workload forgets in its template: fields of features that are switched off."""
    holder: Obj = obj
    for name in parents or ("spec",):
        holder = holder.get(name) or {}
    pod_features.drop(pod_features.template_spec(holder))


def default_claim(claim: Obj) -> None:
    """Defaults of a claim in a StatefulSet, where it is a whole object, whatever the client called it."""
    claim["kind"], claim["apiVersion"] = "PersistentVolumeClaim", "v1"
    status = claim["status"] = claim.get("status") or {}
    status["phase"] = status.get("phase") or "Pending"
    spec = claim["spec"] = claim.get("spec") or {}
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    for amounts in ("limits", "requests"):
        podtemplate_defaults.default_resource_list((spec.get("resources") or {}).get(amounts))


def validate_claim(claim: Obj, path: str) -> list[FieldError]:
    """A claim in a StatefulSet."""
    return claims.validate_claim_spec(claim.get("spec") or {}, path + ".spec")


def validate_template(template: Obj, path: str, old: Obj | None) -> list[FieldError]:
    """A PodTemplateSpec. old: the stored one, on an update, whose faults are tolerated."""
    return podspec.validate_pod_template(template, path, old)


def warnings(obj: Obj, old: Obj | None, *parents: str) -> list[str]:
    """Warnings about the pod template in a workload's spec (or below `parents`); on an update only when it counted as one."""
    if old is not None and obj["metadata"].get("generation") == old["metadata"].get("generation"):
        return []
    holder: Obj = obj
    for name in parents or ("spec",):
        holder = holder.get(name) or {}
    return pod_warnings.template_warnings(holder.get("template"), ".".join((*(parents or ("spec",)), "template")))


def validate_replicated(template: Obj, selector: LabelSelector, path: str, old: Obj | None) -> list[FieldError]:
    """The template of a ReplicaSet or Deployment. old: the stored template, on an update."""
    errors: list[FieldError] = []
    if not selector.empty:
        errors += mismatch(selector, template, path)
    errors += validate_template(template, path, old)
    return errors + endless(template, path, "ReplicaSet")


def drawn_selector(selector: Obj | None) -> Any:
    """As messages show it."""
    return gostruct.value("apps/v1/Deployment", "spec", "selector")(selector)


def fixed_selector(spec: Obj, old: Obj) -> list[FieldError]:
    return meta.validate_immutable(spec.get("selector"), old.get("selector"), "spec.selector", drawn_selector)


def validate_selector_and_template(spec: Obj, old: Obj | None) -> list[FieldError]:
    """The selector of a Deployment or ReplicaSet, and the template that it must match (the original words both alike)."""
    errors: list[FieldError] = []
    selector = spec.get("selector")
    if selector is None:
        errors.append(field.required("spec.selector"))
    else:
        errors += labels.validate_label_selector(selector, "spec.selector")
        if labels.is_empty(selector):
            errors.append(
                field.invalid("spec.selector", drawn_selector(selector), "empty selector is invalid for deployment")
            )
    parsed = selector_of(selector)
    if parsed is None:
        return [*errors, field.invalid("spec.selector", drawn_selector(selector), "invalid label selector")]
    template = spec.get("template") or {}
    old_template = old and old.get("template")
    return errors + validate_replicated(template, parsed, "spec.template", old_template)


def endless(template: Obj, path: str, kind: str) -> list[FieldError]:
    """A template whose pods run forever: always restarted, no deadline."""
    spec: dict[str, Any] = template.get("spec") or {}
    errors: list[FieldError] = []
    policy = spec.get("restartPolicy") or ""
    if policy != "Always":
        errors.append(field.not_supported(path + ".spec.restartPolicy", policy, ["Always"]))
    if spec.get("activeDeadlineSeconds") is not None:
        at = path + ".spec.activeDeadlineSeconds"
        errors.append(field.forbidden(at, f"activeDeadlineSeconds in {kind} is not Supported"))
    return errors
