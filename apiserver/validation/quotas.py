"""LimitRanges and ResourceQuotas. Called by their kinds; what quotas mean is the admission plugin's matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apimachinery.quantity import Quantity
from apiserver.validation import gostruct, meta, names, resources

Obj = Mapping[str, Any]

# -- limit ranges

_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_MAX_MILLI_VALUE = (2**63 - 1) // 1000


def validate_limits(limits: Sequence[Obj]) -> list[FieldError]:
    """spec.limits of a LimitRange."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, limit in enumerate(limits):
        path, kind = f"spec.limits[{position}]", limit.get("type") or ""
        errors += _limit_type(kind, path + ".type")
        if kind in seen:
            errors.append(field.duplicate(path + ".type", kind))
        seen.add(kind)
        errors += _limit(limit, kind, path)
    return errors


def _limit_type(kind: str, path: str) -> list[FieldError]:
    errors = [field.invalid(path, kind, text) for text in names.qualified_name(kind)]
    if not errors and "/" not in kind and kind not in _LIMIT_TYPES:
        errors.append(field.invalid(path, kind, "must be a standard limit type or fully qualified"))
    return errors


def _limit(limit: Obj, kind: str, path: str) -> list[FieldError]:
    texts = resources.container_name_texts if kind in ("Pod", "Container") else resources.name_texts
    errors: list[FieldError] = []
    amounts: dict[str, dict[str, Quantity]] = {}
    for part in _LISTS:
        given = limit.get(part) or {}
        if kind == "Pod" and part in ("default", "defaultRequest"):
            if given:
                errors.append(field.forbidden(f"{path}.{part}", "may not be specified when `type` is 'Pod'"))
            given = {}
        for name in given:
            errors += resources.validate_name(texts, name, f"{path}.{part}[{name}]")
        amounts[part] = {name: resources.parse(value) for name, value in given.items()}
    if kind == "PersistentVolumeClaim" and "storage" not in amounts["min"] and "storage" not in amounts["max"]:
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(field.required(path + ".limits", text))
    for name in dict.fromkeys(name for given in amounts.values() for name in given):
        errors += _amounts(name, *(amounts[part].get(name) for part in _LISTS), path=path)
    return errors


def _amounts(
    name: str,
    most: Quantity | None,
    least: Quantity | None,
    default: Quantity | None,
    request: Quantity | None,
    ratio: Quantity | None,
    *,
    path: str,
) -> list[FieldError]:
    """How the amounts of one resource must compare. The values shown are the original's choice."""
    errors: list[FieldError] = []
    for low, high, shown, part, text in (
        (least, most, least, "min", "min value {} is greater than max value {}"),
        (least, request, request, "defaultRequest", "min value {} is greater than default request value {}"),
        (request, most, request, "defaultRequest", "default request value {} is greater than max value {}"),
        (
            request,
            default,
            request,
            "defaultRequest",
            "default request value {} is greater than default limit value {}",
        ),
        (least, default, least, "default", "min value {} is greater than default value {}"),
        (default, most, most, "default", "default value {} is greater than max value {}"),
    ):
        if low is not None and high is not None and low > high:
            errors.append(field.invalid(f"{path}.{part}[{name}]", str(shown), text.format(low, high)))
    if ratio is not None:
        errors += _ratio(ratio, least, most, f"{path}.maxLimitRequestRatio[{name}]")
    if default is not None and request is not None and default != request and not resources.is_overcommit_allowed(name):
        text = f"default value {default} must equal to defaultRequest value {request} in {name}"
        errors.append(field.invalid(f"{path}.defaultRequest[{name}]", str(request), text))
    return errors


def _ratio(ratio: Quantity, least: Quantity | None, most: Quantity | None, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if ratio.milli_value() < 1000:
        errors.append(field.invalid(path, str(ratio), f"ratio {ratio} is less than 1"))
    if least is None or most is None:
        return errors
    if max(ratio.value(), least.value(), most.value()) < _MAX_MILLI_VALUE:
        bound, low, high = ratio.milli_value() / 1000, least.milli_value(), most.milli_value()
    else:
        bound, low, high = float(ratio.value()), least.value(), most.value()
    possible = high / low if low else float("inf")
    if bound > possible:
        errors.append(field.invalid(path, str(ratio), f"ratio {ratio} is greater than max/min = {possible:f}"))
    return errors


# -- quotas

_POD_SCOPES = ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
_SCOPES = (*_POD_SCOPES, "BestEffort", "VolumeAttributesClass")
_EXISTS_SCOPES = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_POD_RESOURCES = frozenset(("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
_CLAIM_RESOURCES = frozenset(("persistentvolumeclaims", "requests.storage"))
_EXISTS_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def validate_quota(spec: Obj) -> list[FieldError]:
    """The spec of a ResourceQuota."""
    hard = spec.get("hard") or {}
    errors = _counted(hard, "spec.hard") + _scopes(spec.get("scopes") or [], hard)
    selector = spec.get("scopeSelector")
    return errors if selector is None else errors + _selector(selector, spec, hard)


def validate_quota_update(spec: Obj, before: Obj) -> list[FieldError]:
    errors = validate_quota(spec)
    scopes = spec.get("scopes") or []
    if set(scopes) != set(before.get("scopes") or []):
        errors.append(field.invalid("spec.scopes", spec.get("scopes"), meta.IMMUTABLE))
    return errors


def validate_quota_status(status: Obj) -> list[FieldError]:
    return _counted(status.get("hard") or {}, "status.hard") + _counted(status.get("used") or {}, "status.used")


def _counted(amounts: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value in amounts.items():
        at = f"{path}[{name}]"
        if resources.quota_name_texts(name):
            errors += resources.validate_name(resources.quota_name_texts, name, at)
        errors += resources.validate_quantity(name, value, at)
    return errors


def _fits(scope: str, name: str) -> bool:
    if scope in _POD_SCOPES:
        return name in _POD_RESOURCES
    if scope == "BestEffort":
        return name == "pods"
    return scope != "VolumeAttributesClass" or name in _CLAIM_RESOURCES


def _unfit(scope: str, hard: Obj) -> int:
    """How many of the counted resources the scope cannot be applied to."""
    return sum(1 for name in hard if resources.is_quota_name(name) and not _fits(scope, name))


def _scopes(scopes: list[str], hard: Obj) -> list[FieldError]:
    path = "spec.scopes"
    errors: list[FieldError] = []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(field.invalid(path, scopes, "unsupported scope"))
        errors += [field.invalid(path, scopes, "unsupported scope applied to resource")] * _unfit(scope, hard)
    return errors + [field.invalid(path, scopes, "conflicting scopes") for pair in _CONFLICTS if pair <= set(scopes)]


def _selector(selector: Obj, spec: Obj, hard: Obj) -> list[FieldError]:
    path = "spec.scopeSelector.matchExpressions"
    terms = selector.get("matchExpressions") or ()
    errors: list[FieldError] = []
    for term in terms:
        scope = term.get("scopeName") or ""
        if scope not in _SCOPES:
            errors.append(field.invalid(path + ".scopeName", scope, "unsupported scope"))
        if unfit := _unfit(scope, hard):
            shown = gostruct.scope_selector(selector)
            errors += [field.invalid(path, shown, "unsupported scope applied to resource")] * unfit
        errors += _operator(term, scope, path)
    named = {term.get("scopeName") for term in terms}
    scopes = spec.get("scopes") or None
    return errors + [field.invalid(path, scopes, "conflicting scopes") for pair in _CONFLICTS if pair <= named]


def _operator(term: Obj, scope: str, path: str) -> list[FieldError]:
    operator, values = term.get("operator") or "", term.get("values") or []
    errors: list[FieldError] = []
    if scope in _EXISTS_SCOPES and operator != "Exists":
        errors.append(field.invalid(path + ".operator", operator, _EXISTS_TEXT))
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errors.append(field.required(path + ".values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errors.append(field.invalid(path + ".values", values, text))
    else:
        errors.append(field.invalid(path + ".operator", operator, "not a valid selector operator"))
    return errors
