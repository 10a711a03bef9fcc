"""Where a pod may run: affinity, node selectors, tolerations and taints, topology spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import field, memo
from apimachinery.field import FieldError
from apiserver.validation import labels, names
from apiserver.validation.pod.options import PodOptions

Obj = Mapping[str, Any]

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_IN_BOTH = "exists in both matchLabelKeys and labelSelector"
_NO_SELECTOR = "must not be specified when labelSelector is not set"


# -- node selectors


def validate_node_selector(selector: Obj, path: str, *, allow_invalid_values: bool = False) -> list[FieldError]:
    """A NodeSelector: of node affinity, of a persistent volume."""
    terms = selector.get("nodeSelectorTerms") or ()
    at = path + ".nodeSelectorTerms"
    if not terms:
        return [field.required(at, "must have at least one node selector term")]
    errors: list[FieldError] = []
    for position, term in enumerate(terms):
        errors += validate_node_selector_term(term, f"{at}[{position}]", allow_invalid_values=allow_invalid_values)
    return errors


def validate_node_selector_term(term: Obj, path: str, *, allow_invalid_values: bool = False) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, requirement in enumerate(term.get("matchExpressions") or ()):
        errors += _node_expression(requirement, f"{path}.matchExpressions[{position}]", allow_invalid_values)
    for position, requirement in enumerate(term.get("matchFields") or ()):
        errors += _node_field(requirement, f"{path}.matchFields[{position}]")
    return errors


def _node_expression(requirement: Obj, path: str, allow_invalid_values: bool) -> list[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or ()
    at = path + ".values"
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(field.required(at, "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(field.forbidden(at, text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(field.required(at, text))
    else:
        errors.append(field.invalid(path + ".operator", operator, "not a valid selector operator"))
    errors += labels.validate_label_name(requirement.get("key") or "", path + ".key")
    if not allow_invalid_values:
        for position, value in enumerate(values):
            errors += [field.invalid(f"{at}[{position}]", value, text) for text in names.label_value(value)]
    return errors


def _node_field(requirement: Obj, path: str) -> list[FieldError]:
    operator, values, key = (
        requirement.get("operator") or "",
        requirement.get("values") or (),
        requirement.get("key") or "",
    )
    errors: list[FieldError] = []
    if operator not in ("In", "NotIn"):
        errors.append(field.invalid(path + ".operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(field.required(path + ".values", text))
    if key != "metadata.name":
        errors.append(field.invalid(path + ".key", key, "not a valid field selector key"))
        return errors
    for position, value in enumerate(values):
        errors += [field.invalid(f"{path}.values[{position}]", value, text) for text in names.dns_subdomain(value)]
    return errors


# -- affinity


def validate_affinity(affinity: Obj, path: str, options: PodOptions) -> list[FieldError]:
    errors: list[FieldError] = []
    if node := affinity.get("nodeAffinity"):
        at = path + ".nodeAffinity"
        if (selector := node.get(_REQUIRED)) is not None:
            allow = options.invalid_node_affinity_values
            errors += validate_node_selector(selector, f"{at}.{_REQUIRED}", allow_invalid_values=allow)
        for position, term in enumerate(node.get(_PREFERRED) or ()):
            where = f"{at}.{_PREFERRED}[{position}]"
            errors += _weight(term, where)
            preference = term.get("preference") or {}
            errors += validate_node_selector_term(preference, where + ".preference", allow_invalid_values=True)
    for side in ("podAffinity", "podAntiAffinity"):
        if terms := affinity.get(side):
            errors += _pod_terms(terms, f"{path}.{side}", options.invalid_selector_values)
    return errors


def _weight(term: Obj, path: str) -> list[FieldError]:
    weight = term.get("weight") or 0
    return [] if 0 < weight <= 100 else [field.invalid(path + ".weight", weight, "must be in the range 1-100")]


def _pod_terms(terms: Obj, path: str, allow_invalid_values: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, term in enumerate(terms.get(_REQUIRED) or ()):
        errors += _pod_term(term, f"{path}.{_REQUIRED}[{position}]", allow_invalid_values)
    for position, weighted in enumerate(terms.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{position}]"
        errors += _weight(weighted, at)
        errors += _pod_term(weighted.get("podAffinityTerm") or {}, at + ".podAffinityTerm", allow_invalid_values)
    return errors


def _pod_term(term: Obj, path: str, allow_invalid_values: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("labelSelector", "namespaceSelector"):
        if selector := term.get(name):
            at = f"{path}.{name}"
            errors += labels.validate_label_selector(selector, at, allow_invalid_values=allow_invalid_values)
    for namespace in term.get("namespaces") or ():
        errors += [field.invalid(path + ".namespace", namespace, text) for text in names.dns_label(namespace)]
    match, mismatch = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    if match or mismatch:
        errors += validate_match_keys(match, mismatch, term.get("labelSelector"), path)
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(field.required(path + ".topologyKey", "can not be empty"))
    return errors + labels.validate_label_name(key, path + ".topologyKey")


def validate_match_keys(
    match: Sequence[str], mismatch: Sequence[str], selector: Obj | None, path: str
) -> list[FieldError]:
    """Keys whose values the server copied from the pod's labels into the selector. path: that of the term."""
    errors: list[FieldError] = []
    for keys, name in ((match, "matchLabelKeys"), (mismatch, "mismatchLabelKeys")):
        if keys and selector is None:
            errors.append(field.forbidden(f"{path}.{name}", _NO_SELECTOR))
        elif keys:
            for position, key in enumerate(keys):
                errors += labels.validate_label_name(key, f"{path}.{name}[{position}]")
    if selector is not None:
        positions = {key: position for position, key in enumerate(match)}
        present = set(selector.get("matchLabels") or ())
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key") or ""
            if key in positions and key in present:
                errors.append(field.invalid(f"{path}[{positions[key]}]", key, _IN_BOTH))
            present.add(key)
    both = set(mismatch)
    for position, key in enumerate(match):
        if key in both:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(field.invalid(f"{path}.matchLabelKeys[{position}]", key, text))
    return errors


# -- topology spread


def validate_spread(constraints: Sequence[Obj], path: str, options: PodOptions) -> list[FieldError]:
    """spec.topologySpreadConstraints."""
    errors: list[FieldError] = []
    for position, constraint in enumerate(constraints):
        at = f"{path}[{position}]"
        action, key = constraint.get("whenUnsatisfiable") or "", constraint.get("topologyKey") or ""
        errors += _positive(constraint.get("maxSkew") or 0, at + ".maxSkew")
        if not key:
            errors.append(field.required(at + ".topologyKey", "can not be empty"))
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            allowed = ("DoNotSchedule", "ScheduleAnyway")
            errors.append(field.not_supported(at + ".whenUnsatisfiable", action, allowed))
        rest = constraints[position + 1 :]
        if any((c.get("topologyKey") or "") == key and (c.get("whenUnsatisfiable") or "") == action for c in rest):
            errors.append(field.duplicate(at + ".{topologyKey, whenUnsatisfiable}", f"{{{key}, {action}}}"))
        if (domains := constraint.get("minDomains")) is not None:
            errors += _positive(domains, at + ".minDomains")
            if action != "DoNotSchedule":
                text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.append(field.invalid(at + ".minDomains", domains, text))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if (policy := constraint.get(name)) is not None and policy not in ("Honor", "Ignore"):
                errors.append(field.not_supported(f"{at}.{name}", policy, ("Honor", "Ignore")))
        selector = constraint.get("labelSelector")
        if keys := constraint.get("matchLabelKeys"):
            errors += (
                _spread_keys(keys, selector, at + ".matchLabelKeys")
                if options.spread_keys_without_merge
                else validate_match_keys(keys, (), selector, at)
            )
        if selector and not options.invalid_spread_selectors:
            errors += labels.validate_label_selector(selector, at + ".labelSelector")
    return errors


def _positive(value: int, path: str) -> list[FieldError]:
    return [] if value > 0 else [field.invalid(path, value, "must be greater than zero")]


def _spread_keys(keys: Sequence[str], selector: Obj | None, path: str) -> list[FieldError]:
    """The rule of before 1.34, when keys were not copied into the selector."""
    errors: list[FieldError] = []
    present: set[str] = set()
    if selector is None:
        errors.append(field.forbidden(path, _NO_SELECTOR))
    else:
        present.update(selector.get("matchLabels") or ())
        present.update(expression.get("key") or "" for expression in selector.get("matchExpressions") or ())
    for position, key in enumerate(keys):
        errors += labels.validate_label_name(key, f"{path}[{position}]")
        if key in present:
            errors.append(field.invalid(f"{path}[{position}]", key, _IN_BOTH))
    return errors


# -- tolerations and taints


def validate_tolerations(tolerations: Sequence[Obj], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, toleration in enumerate(tolerations):
        if not _is_good(tuple(toleration.items())):
            errors += _toleration(toleration, f"{path}[{position}]")
    return errors


@memo.small(1024)
def _is_good(toleration: tuple[tuple[str, Any], ...]) -> bool:
    """Every pod has the same few tolerations."""
    return not _toleration(dict(toleration), "")


def _toleration(toleration: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    if key:
        errors += labels.validate_label_name(key, path + ".key")
    elif operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        errors.append(field.invalid(path + ".operator", operator, text))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors.append(field.invalid(path + ".effect", effect, text))
    if operator == "Exists":
        if value:
            text = "value must be empty when `operator` is 'Exists'"
            errors.append(field.invalid(path + ".operator", value, text))
    elif operator in ("", "Equal"):
        if value and (texts := names.label_value(value)):
            errors.append(field.invalid(path + ".operator", value, ";".join(texts)))
    else:
        allowed = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
        errors.append(field.not_supported(path + ".operator", operator, allowed))
    if effect and effect not in TAINT_EFFECTS:
        errors.append(field.not_supported(path + ".effect", effect, TAINT_EFFECTS))
    return errors


def validate_taints(taints: Sequence[Obj], path: str) -> list[FieldError]:
    """A node's taints."""
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for position, taint in enumerate(taints):
        at = f"{path}[{position}]"
        key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
        errors += labels.validate_label_name(key, at + ".key")
        if value and (texts := names.label_value(value)):
            errors.append(field.invalid(at + ".value", value, ";".join(texts)))
        if not effect:
            errors.append(field.required(at + ".effect"))
        elif effect not in TAINT_EFFECTS:
            errors.append(field.not_supported(at + ".effect", effect, TAINT_EFFECTS))
        if (effect, key) in seen:
            drawn = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            errors.append(field.duplicate(at, drawn, "taints must be unique by key and effect pair"))
        seen.add((effect, key))
    return errors
