"""Building blocks of resource.k8s.io validation: bounded lists and sets, names of devices, pools and attributes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.resource import device_cel
from apiserver.kinds.storage.rules import driver_name
from apiserver.registry.kind import Obj
from apiserver.validation import labels, names

Check = Callable[[Any, str], list[FieldError]]

_POOL_LIMIT = 253
_ID_LIMIT = 32
_DOMAIN_LIMIT = 63
_PARAMETERS_LIMIT = 10 * 1024
EFFECTS = ("NoExecute", "NoSchedule", "None")

__all__ = ["driver_name"]


def listed(items: Sequence[Any], path: str, limit: int, check: Check) -> list[FieldError]:
    """A list of at most `limit` items (negative: of any length), each checked unless there are too many."""
    if 0 <= limit < len(items):
        return [field.too_many(path, len(items), limit)]
    return [error for position, item in enumerate(items) for error in check(item, f"{path}[{position}]")]


def unique(
    items: Sequence[Any], path: str, limit: int, check: Check, key: Callable[[Any], Hashable]
) -> list[FieldError]:
    """As listed, with distinct keys."""
    errors = listed(items, path, limit, check)
    if 0 <= limit < len(items):
        return errors
    seen: set[Hashable] = set()
    for position, item in enumerate(items):
        own = key(item)
        if own in seen:
            errors.append(field.duplicate(f"{path}[{position}]", own))
        seen.add(own)
    return errors


def mapped(items: Mapping[str, Any], path: str, limit: int, check_key: Check, check: Check) -> list[FieldError]:
    """A map of at most `limit` entries (negative: of any size)."""
    if 0 <= limit < len(items):
        return [field.too_many(path, len(items), limit)]
    errors: list[FieldError] = []
    for name, item in items.items():
        at = f"{path}[{name}]"
        errors += check_key(name, at) + check(item, at)
    return errors


def label(name: str | None, path: str) -> list[FieldError]:
    return [field.invalid(path, name or "", text) for text in names.dns_label(name or "")]


def class_name(name: str | None, path: str) -> list[FieldError]:
    if not name:
        return [field.required(path)]
    return [field.invalid(path, name, text) for text in names.dns_subdomain(name)]


def pool_name(name: str | None, path: str) -> list[FieldError]:
    """DNS subdomains joined by slashes."""
    if not name:
        return [field.required(path)]
    errors = [field.too_long(path, _POOL_LIMIT)] if len(name) > _POOL_LIMIT else []
    for part in name.split("/"):
        errors += [field.invalid(path, part, text) for text in names.dns_subdomain(part)]
    return errors


def _identifier(name: str, path: str) -> list[FieldError]:
    errors = [field.too_long(path, _ID_LIMIT)] if len(name) > _ID_LIMIT else []
    return errors + [field.invalid(path, name, text) for text in names.c_identifier(name)]


def qualified_name(name: str, path: str) -> list[FieldError]:
    """An attribute or capacity: a C identifier, with a driver's domain before it or not."""
    parts = name.split("/")
    if len(parts) == 1:
        return _identifier(name, path)
    if len(parts) > 2:
        return []  # the original accepts what has more than one slash
    domain, own = parts
    errors = driver_name(domain, path) if domain else [field.invalid(path, "", "the domain must not be empty")]
    return errors + (_identifier(own, path) if own else [field.invalid(path, "", "the name must not be empty")])


def fully_qualified_name(name: str, path: str) -> list[FieldError]:
    errors = qualified_name(name, path)
    if "/" not in name:
        text = "a fully qualified name must be a domain and a name separated by a slash"
        errors.append(field.invalid(path, name, text))
    return errors


def raw_object(value: Any, path: str, *, stored: bool = False) -> list[FieldError]:
    """Parameters that only a driver understands: a JSON object of bounded size."""
    if value is None:
        return [field.required(path)]
    if not stored:
        import orjson

        if len(orjson.dumps(value)) > _PARAMETERS_LIMIT:
            return [field.too_long(path, _PARAMETERS_LIMIT)]
    if not isinstance(value, dict):
        return [field.invalid(path, "<value omitted>", "must be a valid JSON object")]
    return []


def configuration(config: Obj, path: str, *, stored: bool = False) -> list[FieldError]:
    """A DeviceConfiguration."""
    if (opaque := config.get("opaque")) is None:
        return [field.required(path + ".opaque")]
    errors = driver_name(opaque.get("driver") or "", path + ".opaque.driver")
    return errors + raw_object(opaque.get("parameters"), path + ".opaque.parameters", stored=stored)


def toleration(given: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    key, value, operator = given.get("key") or "", given.get("value") or "", given.get("operator") or ""
    if key:
        errors += labels.validate_label_name(key, path + ".key")
    if operator == "Exists":
        if value:
            errors.append(field.invalid(path + ".value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        errors += [field.invalid(path + ".value", value, text) for text in names.label_value(value)]
    elif not operator:
        errors.append(field.required(path + ".operator"))
    else:
        errors.append(field.not_supported(path + ".operator", operator, ["Equal", "Exists"]))
    effect = given.get("effect")
    if effect and effect not in EFFECTS:
        errors.append(field.not_supported(path + ".effect", effect, EFFECTS))
    return errors


def taint(given: Obj, path: str) -> list[FieldError]:
    errors = labels.validate_label_name(given.get("key") or "", path + ".key")
    if value := given.get("value"):
        errors += [field.invalid(path + ".value", value, text) for text in names.label_value(value)]
    effect = given.get("effect")
    if not effect:
        errors.append(field.required(path + ".effect"))
    elif effect not in EFFECTS:
        errors.append(field.not_supported(path + ".effect", effect, EFFECTS))
    return errors


def selector(given: Obj, path: str) -> list[FieldError]:
    """A DeviceSelector."""
    if (cel := given.get("cel")) is None:
        return [field.required(path + ".cel")]
    expression = cel.get("expression") or ""
    if len(expression.encode()) > _PARAMETERS_LIMIT:
        return [field.too_long(path + ".cel.expression", _PARAMETERS_LIMIT)]
    kind, text = device_cel.problem(expression)
    if kind == "Forbidden":
        return [field.forbidden(path + ".cel.expression", text)]
    if kind == "Internal":
        return [field.internal(path + ".cel.expression", text)]
    return [field.invalid(path + ".cel.expression", expression, text)] if kind else []


def binding_conditions(obj: Obj, path: str) -> list[FieldError]:
    """bindingConditions and bindingFailureConditions: both or none, distinct names."""
    both = ("bindingConditions", "bindingFailureConditions")
    wanted, failures = (obj.get(name) or [] for name in both)
    errors: list[FieldError] = []
    for name, given in zip(both, (wanted, failures), strict=True):
        errors += listed(given, f"{path}.{name}", 4, labels.validate_label_name)
    for name, given in zip(both, (wanted, failures), strict=True):
        for position, condition in enumerate(given):
            where = f"{path}.{name}[{position}]"
            if condition in given[:position]:
                errors.append(field.duplicate(where, condition))
            if given is failures and condition in wanted:
                text = "bindingFailureConditions must not overlap with bindingConditions"
                errors.append(field.invalid(where, condition, text))
    for name, given, other in ((both[0], wanted, failures), (both[1], failures, wanted)):
        if other and not given:
            missing, present = (name, both[1] if name == both[0] else both[0])
            text = f"{missing} are required to use {present}"
            errors.append(field.invalid(f"{path}.{missing}", None, text))
    return errors
