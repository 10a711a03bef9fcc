"""Checks of role rules and of subjects, shared by the four kinds of the group."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.registry.kind import Obj
from apiserver.validation import names

GROUP = "rbac.authorization.k8s.io"


def validate_rules(rules: Sequence[Obj] | None, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, rule in enumerate(rules or ()):
        errors += _rule(rule, namespaced, f"rules[{position}]")
    return errors


def _rule(rule: Obj, namespaced: bool, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not rule.get("verbs"):
        errors.append(field.required(path + ".verbs", "verbs must contain at least one value"))
    if urls := rule.get("nonResourceURLs"):
        at = path + ".nonResourceURLs"
        if namespaced:
            errors.append(field.invalid(at, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(field.invalid(at, urls, text))
        return errors
    if not rule.get("apiGroups"):
        errors.append(field.required(path + ".apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(field.required(path + ".resources", "resource rules must supply at least one resource"))
    return errors


def validate_role_ref(ref: Obj, kinds: Sequence[str]) -> list[FieldError]:
    """kinds: what a binding of this kind may refer to."""
    errors: list[FieldError] = []
    if (group := ref.get("apiGroup") or "") != GROUP:
        errors.append(field.not_supported("roleRef.apiGroup", group, [GROUP]))
    if (kind := ref.get("kind") or "") not in kinds:
        errors.append(field.not_supported("roleRef.kind", kind, kinds))
    name = ref.get("name") or ""
    if not name:
        errors.append(field.required("roleRef.name"))
    return errors + [field.invalid("roleRef.name", name, text) for text in names.path_segment(name)]


def validate_subjects(subjects: Sequence[Obj] | None, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, subject in enumerate(subjects or ()):
        errors += _subject(subject, namespaced, f"subjects[{position}]")
    return errors


def _subject(subject: Obj, namespaced: bool, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, kind, group = subject.get("name") or "", subject.get("kind") or "", subject.get("apiGroup") or ""
    if not name:
        errors.append(field.required(path + ".name"))
    if kind == "ServiceAccount":
        if name:
            errors += [field.invalid(path + ".name", name, text) for text in names.dns_subdomain(name)]
        if group:
            errors.append(field.not_supported(path + ".apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            errors.append(field.required(path + ".namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.append(field.not_supported(path + ".apiGroup", group, [GROUP]))
    else:
        errors.append(field.not_supported(path + ".kind", kind, ["ServiceAccount", "User", "Group"]))
    return errors


def default_binding(obj: Obj) -> None:
    """The group of roles and of users and groups goes without saying."""
    ref = obj["roleRef"] = obj.get("roleRef") or {}
    ref["apiGroup"] = ref.get("apiGroup") or GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP
