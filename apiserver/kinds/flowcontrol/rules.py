"""Policy rules with subjects, as flow schemas have them (the original's apis/flowcontrol/validation)."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.registry.kind import Obj
from apiserver.validation import names

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_KINDS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_NAMESPACE_INTRO = "each member of this list must be '*' or a DNS-1123 label; "


def validate_rule(rule: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    subjects = rule.get("subjects") or ()
    for position, subject in enumerate(subjects):
        errors += _subject(subject, f"{path}.subjects[{position}]")
    if not subjects:
        errors.append(field.required(path + ".subjects", "subjects must contain at least one value"))
    resources, paths = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not paths:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.append(field.required(path, text))
    for position, entry in enumerate(resources):
        errors += _resource_rule(entry, f"{path}.resourceRules[{position}]")
    for position, entry in enumerate(paths):
        errors += _path_rule(entry, f"{path}.nonResourceRules[{position}]")
    return errors


def _subject(subject: Obj, path: str) -> list[FieldError]:
    kind = subject.get("kind") or ""
    if kind not in _KINDS:
        return [field.not_supported(path + ".kind", kind, sorted(_KINDS))]
    own = _KINDS[kind]
    errors = _subject_body(subject.get(own), kind, f"{path}.{own}")
    for other_kind in ("ServiceAccount", "User", "Group"):
        other = _KINDS[other_kind]
        if other != own and subject.get(other) is not None:
            text = f"{other} is forbidden when subject kind is not '{other_kind}'"
            errors.append(field.forbidden(f"{path}.{other}", text))
    return errors


def _subject_body(body: Obj | None, kind: str, path: str) -> list[FieldError]:
    if body is None:
        return [field.required(path, f"{_KINDS[kind]} is required when subject kind is '{kind}'")]
    errors: list[FieldError] = []
    name = body.get("name") or ""
    if not name:
        errors.append(field.required(path + ".name"))
    if kind != "ServiceAccount":
        return errors
    if name and name != "*":
        errors += [field.invalid(path + ".name", name, text) for text in names.dns_subdomain(name)]
    namespace, at = body.get("namespace") or "", path + ".namespace"
    if not namespace:
        errors.append(field.required(at, "must specify namespace for service account"))
    else:
        errors += [field.invalid(at, namespace, text) for text in names.dns_label(namespace)]
    return errors


def _verbs(verbs: Sequence[str], path: str) -> list[FieldError]:
    if not verbs:
        return [field.required(path, "verbs must contain at least one value")]
    if "*" in verbs:
        text = "if '*' is present, must not specify other verbs"
        return [field.invalid(path, verbs, text)] if len(verbs) > 1 else []
    if any(verb not in _VERBS for verb in verbs):
        return [field.not_supported(path, verbs, _VERBS)]
    return []


def _path_rule(rule: Obj, path: str) -> list[FieldError]:
    errors = _verbs(rule.get("verbs") or [], path + ".verbs")
    urls, at = rule.get("nonResourceURLs") or [], path + ".nonResourceURLs"
    if not urls:
        errors.append(field.required(at, "nonResourceURLs must contain at least one value"))
    elif "*" in urls:
        if len(urls) > 1:
            text = "if '*' is present, must not specify other non-resource URLs"
            errors.append(field.invalid(at, urls, text))
    else:
        for position, url in enumerate(urls):
            if text := _path_fault(url):
                errors.append(field.invalid(f"{at}[{position}]", url, text))
    return errors


def _path_fault(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    return "wildcard can only do suffix matching" if stars > 1 or (stars == 1 and not url.endswith("/*")) else ""


def _resource_rule(rule: Obj, path: str) -> list[FieldError]:
    errors = _verbs(rule.get("verbs") or [], path + ".verbs")
    for name, words, other in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(name) or []
        if not values:
            text = f"resource rules must supply at least one {words}"
            errors.append(field.required(f"{path}.{name}", text))
        elif len(values) > 1 and "*" in values:
            text = f"if '*' is present, must not specify other {other}"
            errors.append(field.invalid(f"{path}.{name}", values, text))
    namespaces, at = rule.get("namespaces") or [], path + ".namespaces"
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(field.required(at, text))
    elif "*" in namespaces:
        if len(namespaces) > 1:
            text = "if '*' is present, must not specify other namespaces"
            errors.append(field.invalid(at, namespaces, text))
    else:
        for position, namespace in enumerate(namespaces):
            for text in names.dns_label(namespace):
                errors.append(field.invalid(f"{at}[{position}]", namespace, _NAMESPACE_INTRO + text))
    return errors


def validate_conditions(status: Obj) -> list[FieldError]:
    """Conditions of both kinds: a type each, none twice."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, condition in enumerate(status.get("conditions") or ()):
        path, kind = f"status.conditions[{position}].type", condition.get("type") or ""
        if kind in seen:
            errors.append(field.duplicate(path, kind))
        seen.add(kind)
        if not kind:
            errors.append(field.required(path))
    return errors
