"""Resource names and quantities: requirements of containers and pods, quotas, limit ranges, capacities.

Texts are those of the original's pkg/apis/core/validation. What is wrong with a name is cached, so the common
`{"cpu": "1", "memory": "1Gi"}` costs look-ups only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from apimachinery import field, memo, quantity
from apimachinery.field import FieldError
from apimachinery.quantity import Quantity, QuantityError
from apiserver.validation import names

Texts = tuple[str, ...]
NameTexts = Callable[[str], Texts]

NOT_NEGATIVE = "must be greater than or equal to 0"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_OBJECTS = (
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
)
_SCOPED = (*(f"requests.{name}" for name in _COMPUTE), *(f"limits.{name}" for name in _COMPUTE))
_QUOTA = frozenset((*_COMPUTE, *_SCOPED, "requests.storage", *_OBJECTS))
_STANDARD = _QUOTA | {"storage"}
_INTEGER = frozenset(_OBJECTS)


# -- names


def is_native(name: str) -> bool:
    """Whether Kubernetes itself defines the resource: no prefix, or one of its own."""
    return "/" not in name or "kubernetes.io/" in name


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_extended(name: str) -> bool:
    """Whether it is a device plugin's or administrator's countable resource."""
    return not is_native(name) and not name.startswith("requests.") and not names.qualified_name("requests." + name)


def is_overcommit_allowed(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


def is_quota_name(name: str) -> bool:
    """Whether a quota may name it without a prefix of its own."""
    return name in _QUOTA or name.startswith(("hugepages-", "requests.hugepages-"))


@memo.short(2048)
def _is_integer(name: str) -> bool:
    return name in _INTEGER or is_extended(name)


@memo.short(2048)
def name_texts(name: str) -> Texts:
    """What is wrong with the name of any resource."""
    texts = tuple(names.qualified_name(name))
    if not texts and "/" not in name and name not in _STANDARD and not is_quota_name(name):
        return ("must be a standard resource type or fully qualified",)
    return texts


@memo.short(2048)
def container_name_texts(name: str) -> Texts:
    """As name_texts, for what a container may ask for."""
    texts = name_texts(name)
    if "/" not in name:
        if name not in _COMPUTE and not is_huge_page(name):
            return (*texts, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        return (*texts, "doesn't follow extended resource name standard")
    return texts


@memo.short(2048)
def quota_name_texts(name: str) -> Texts:
    """As name_texts, for what a quota may count."""
    texts = name_texts(name)
    if "/" not in name and not is_quota_name(name):
        return (*texts, "must be a standard resource for quota")
    return texts


def validate_name(texts: NameTexts, name: str, path: str) -> list[FieldError]:
    return [field.invalid(path, name, text) for text in texts(name)]


def _container_name(name: str, path: str) -> list[FieldError]:
    return validate_name(container_name_texts, name, path) if container_name_texts(name) else []


def _pod_level_name(name: str, path: str) -> list[FieldError]:
    if errors := validate_name(name_texts, name, path):
        return errors
    if name not in ("cpu", "memory") and not is_huge_page(name):
        return [field.not_supported(path, name, ("cpu", "hugepages-", "memory"))]
    return []


# -- quantities


def parse(value: Any) -> Quantity:
    """A quantity from a decoded object; what is none counts as zero (decoding refuses it)."""
    try:
        return quantity.parse(value)
    except QuantityError:
        return quantity.ZERO


@memo.small(8192)
def _is_plain(name: str, value: str) -> bool:
    """Whether a value of that resource is beyond doubt: neither negative nor a fraction of what is counted in wholes."""
    parsed = parse(value)
    return parsed.sign() >= 0 and not (_is_integer(name) and parsed.milli_value() % 1000)


def validate_quantity(name: str, value: Any, path: str) -> list[FieldError]:
    """A value of a named resource: not negative, whole where it counts things."""
    if type(value) is str and _is_plain(name, value):
        return []
    parsed, errors = parse(value), []
    if parsed.sign() < 0:
        errors.append(field.invalid(path, str(parsed), NOT_NEGATIVE))
    if _is_integer(name) and parsed.milli_value() % 1000:
        errors.append(field.invalid(path, str(parsed), "must be an integer"))
    return errors


def validate_positive(value: Any, path: str) -> list[FieldError]:
    parsed = parse(value)
    return [] if parsed.sign() > 0 else [field.invalid(path, str(parsed), "must be greater than zero")]


def validate_basic(value: Any, path: str) -> list[FieldError]:
    """A capacity: any quantity that is not negative."""
    number = parse(value).value()
    return [field.invalid(path, number, "must be a valid resource quantity")] if number < 0 else []


def is_divisible(name: str, value: Any) -> bool:
    """Whether an amount of huge pages is a whole number of pages."""
    try:
        page = quantity.parse(name.removeprefix("hugepages-")).value()
    except QuantityError:
        return False
    return page > 0 and parse(value).value() % page == 0


# -- requirements


def validate_requirements(
    requirements: Mapping[str, Any] | None,
    path: str,
    claims: Collection[str] = (),
    *,
    pod_level: bool = False,
    allow_indivisible: bool = False,
) -> list[FieldError]:
    """A container's (or pod's) resources. claims: names of the pod's resource claims.

    allow_indivisible: the stored object has huge pages that are no multiple of their size.
    """
    if not requirements:
        return []
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    used = requirements.get("claims")
    if not used and _are_good(tuple(limits.items()), tuple(requests.items()), pod_level, allow_indivisible):
        return []
    errors = _amounts(limits, requests, path, pod_level, allow_indivisible)
    return errors + _claims(used, claims, path + ".claims") if used else errors


@memo.small(4096)
def _are_good(
    limits: tuple[tuple[str, Any], ...], requests: tuple[tuple[str, Any], ...], pod_level: bool, allow_indivisible: bool
) -> bool:
    """Most containers ask for what others have asked for before."""
    return not _amounts(dict(limits), dict(requests), "", pod_level, allow_indivisible)


def _amounts(
    limits: Mapping[str, Any], requests: Mapping[str, Any], path: str, pod_level: bool, allow_indivisible: bool
) -> list[FieldError]:
    check_name = _pod_level_name if pod_level else _container_name
    errors: list[FieldError] = []
    for name, value in limits.items():
        errors += check_name(name, f"{path}.limits[{name}]") + _amount(
            name, value, f"{path}.limits[{name}]", allow_indivisible
        )
    for name, value in requests.items():
        at = f"{path}.requests[{name}]"
        errors += check_name(name, at)
        errors += validate_quantity(name, value, at)
        if name in limits:
            if value != limits[name]:
                errors += _request_and_limit(name, value, limits[name], path + ".requests")
        elif not is_overcommit_allowed(name):
            errors.append(field.required(path + ".limits", "Limit must be set for non overcommitable resources"))
        errors += _pages(name, value, at, allow_indivisible)
    everything = limits.keys() | requests.keys()
    if any(map(is_huge_page, everything)) and "cpu" not in everything and "memory" not in everything:
        errors.append(field.forbidden(path, "HugePages require cpu or memory"))
    return errors


def _amount(name: str, value: Any, path: str, allow_indivisible: bool) -> list[FieldError]:
    return validate_quantity(name, value, path) + _pages(name, value, path, allow_indivisible)


def _pages(name: str, value: Any, path: str, allow_indivisible: bool) -> list[FieldError]:
    if is_huge_page(name) and not allow_indivisible and not is_divisible(name, value):
        text = str(parse(value))
        return [field.invalid(path, text, f"{text} is not positive integer multiple of {name}")]
    return []


def _request_and_limit(name: str, request: Any, limit: Any, path: str) -> list[FieldError]:
    asked, bound = parse(request), parse(limit)
    if asked != bound and not is_overcommit_allowed(name):
        return [field.invalid(path, str(asked), f"must be equal to {name} limit of {bound}")]
    if asked > bound:
        return [field.invalid(path, str(asked), f"must be less than or equal to {name} limit of {bound}")]
    return []


def _claims(used: Sequence[Mapping[str, Any]], claims: Collection[str], path: str) -> list[FieldError]:
    """References to the pod's resource claims: each whole claim, or each of its requests, once."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, claim in enumerate(used):
        at, name, request = f"{path}[{position}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            errors.append(field.required(at))
            continue
        if name in seen:
            errors.append(field.duplicate(at, name))
        else:
            key = name
            if request:
                errors += [field.invalid(at + ".request", request, text) for text in names.dns_label(request)]
                key = f"{name}/{request}"
            if key in seen:
                errors.append(field.duplicate(at, key))
            elif not request:
                errors += [field.duplicate(at, name) for other in seen if other.partition("/")[0] == name]
            seen.add(key)
        if name not in claims:
            known = ": " + ", ".join(sorted(set(claims))) if claims else " which is empty"
            errors.append(field.not_found(at, name, "must be one of the names in pod.spec.resourceClaims" + known))
    return errors
