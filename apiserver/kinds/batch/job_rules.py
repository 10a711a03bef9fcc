"""What a JobSpec may say (the original's apis/batch/validation). Called by Job and, for its template, by CronJob."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds import podtemplates
from apiserver.kinds.batch import indexes
from apiserver.registry.kind import Obj
from apiserver.validation import gostruct, labels, names, numbers

_MAX_PARALLELISM_INDEXED = 100_000
_MAX_FAILED_INDEXES = 100_000
_MANY_COMPLETIONS = 100_000
_LIMIT_FOR_MANY = 10_000
_MAX_RULES = 20
_MAX_EXIT_CODES = 255
_MAX_PATTERNS = 20
_MAX_MANAGED_BY = 63
_MAX_SUCCEEDED_INDEXES = 64 * 1024

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")


def _valid_values(values: Sequence[str]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def draw(name: str) -> Callable[[Any], Any]:
    """How messages show a field of a JobSpec that is an internal struct."""
    return gostruct.value("batch/v1/Job", "spec", name)


def warnings(obj: Obj, old: Obj | None, *parents: str) -> list[str]:
    """About a JobSpec, which lies below `parents`; on an update only when that counted as one."""
    if old is not None and obj["metadata"].get("generation") == old["metadata"].get("generation"):
        return []
    spec: Obj = obj
    for name in parents:
        spec = spec.get(name) or {}
    texts: list[str] = []
    many = (spec.get("completions") or 0) > _MANY_COMPLETIONS and (spec.get("parallelism") or 0) > _LIMIT_FOR_MANY
    if many and spec.get("completionMode") == "Indexed":
        texts.append(
            f"{'.'.join(parents)}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher "
            "than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    return texts + podtemplates.warnings(obj, old, *parents)


def validate_spec(spec: Obj, path: str, old: Obj | None) -> list[FieldError]:
    """A whole JobSpec: the template's rules and its selector. old: the stored spec, on an update."""
    errors = validate_template_spec(spec, path, old)
    selector, template = spec.get("selector"), spec.get("template") or {}
    if selector is None:
        errors.append(field.required(path + ".selector"))
    else:
        allow = old is not None and labels.has_invalid_values(old.get("selector"))
        errors += labels.validate_label_selector(selector, path + ".selector", allow_invalid_values=allow)
    parsed = podtemplates.selector_of(selector)
    if parsed is not None:
        errors += podtemplates.mismatch(parsed, template, path + ".template")
    return errors


def validate_template_spec(spec: Obj, path: str, old: Obj | None) -> list[FieldError]:
    """A JobSpec without its selector (a CronJob's template has none)."""
    counts = (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    )
    errors = numbers.non_negative_fields(spec, path, *counts)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(field.required(path + ".backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if (manager := spec.get("managedBy")) is not None:
        errors += _managed_by(manager, path + ".managedBy")
    errors += _completion_mode(spec, path)
    if (policy := spec.get("podFailurePolicy")) is not None:
        errors += _failure_policy(spec, policy, path + ".podFailurePolicy.rules")
    if (success := spec.get("successPolicy")) is not None:
        if spec.get("completionMode") != "Indexed":
            drawn = draw("successPolicy")(success)
            errors.append(field.invalid(path + ".successPolicy", drawn, "requires indexed completion mode"))
        else:
            errors += _success_policy(spec, success.get("rules") or (), path + ".successPolicy.rules")
    errors += _replacement_policy(spec, path + ".podReplacementPolicy")
    template = spec.get("template") or {}
    errors += podtemplates.validate_template(template, path + ".template", old and old.get("template"))
    return errors + _restart_policy(spec, template, path + ".template.spec.restartPolicy")


def _managed_by(manager: str, path: str) -> list[FieldError]:
    errors = names.domain_prefixed_path(manager, path)
    if len(manager.encode()) > _MAX_MANAGED_BY:
        errors.append(field.too_long(path, _MAX_MANAGED_BY))
    return errors


def _completion_mode(spec: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    mode = spec.get("completionMode")
    if mode is not None and mode not in ("NonIndexed", "Indexed"):
        errors.append(field.not_supported(path + ".completionMode", mode, ["NonIndexed", "Indexed"]))
    if mode == "Indexed":
        return errors + _indexed(spec, path)
    if mode in (None, "NonIndexed"):
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if (value := spec.get(name)) is not None:
                errors.append(field.invalid(f"{path}.{name}", value, "requires indexed completion mode"))
    return errors


def _indexed(spec: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed = spec.get("maxFailedIndexes")

    def above(name: str, value: int | None, limit: int, text: str) -> None:
        if value is not None and value > limit:
            errors.append(field.invalid(f"{path}.{name}", value, f"must be less than or equal to {text}"))

    if completions is None:
        errors.append(field.required(path + ".completions", "when completion mode is Indexed"))
    limit = _MAX_PARALLELISM_INDEXED
    above("parallelism", parallelism, limit, f"{limit} when completion mode is Indexed")
    if completions is not None:
        above("maxFailedIndexes", failed, completions, "completions")
    above("maxFailedIndexes", failed, _MAX_FAILED_INDEXES, str(_MAX_FAILED_INDEXES))
    if completions is not None and completions > _MANY_COMPLETIONS and spec.get("backoffLimitPerIndex") is not None:
        if failed is None:
            text = f"must be specified when completions is above {_MANY_COMPLETIONS}"
            errors.append(field.required(path + ".maxFailedIndexes", text))
        text = f"{_LIMIT_FOR_MANY} when completions are above {_MANY_COMPLETIONS} and used with backoff limit per index"
        above("parallelism", parallelism, _LIMIT_FOR_MANY, text)
        above("maxFailedIndexes", failed, _LIMIT_FOR_MANY, text)
    return errors


def _failure_policy(spec: Obj, policy: Obj, path: str) -> list[FieldError]:
    rules = policy.get("rules") or ()
    errors = [field.too_many(path, len(rules), _MAX_RULES)] if len(rules) > _MAX_RULES else []
    pod: dict[str, Any] = (spec.get("template") or {}).get("spec") or {}
    known = {c.get("name", "") for group in ("containers", "initContainers") for c in pod.get(group) or ()}
    for position, rule in enumerate(rules):
        errors += _failure_rule(spec, rule, f"{path}[{position}]", known)
    return errors


def _failure_rule(spec: Obj, rule: Obj, path: str, known: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    action = rule.get("action")
    if not action:
        errors.append(field.required(path + ".action", _valid_values(_ACTIONS)))
    elif action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            errors.append(field.invalid(path + ".action", action, "requires the backoffLimitPerIndex to be set"))
    elif action not in _ACTIONS:
        errors.append(field.not_supported(path + ".action", action, _ACTIONS))
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if codes is not None:
        errors += _exit_codes(codes, path + ".onExitCodes", known)
    if patterns:
        errors += _pod_conditions(patterns, path + ".onPodConditions")
    if codes is not None and patterns:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(field.invalid(path, field.OMITTED, text))
    if codes is None and not patterns:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(field.invalid(path, field.OMITTED, text))
    return errors


def _exit_codes(codes: Obj, path: str, known: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    operator = codes.get("operator")
    if not operator:
        errors.append(field.required(path + ".operator", _valid_values(_OPERATORS)))
    elif operator not in _OPERATORS:
        errors.append(field.not_supported(path + ".operator", operator, _OPERATORS))
    name = codes.get("containerName")
    if name is not None and name not in known:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(field.invalid(path + ".containerName", name, text))
    values = codes.get("values") or []
    if not values:
        errors.append(field.invalid(path + ".values", codes.get("values"), "at least one value is required"))
    elif len(values) > _MAX_EXIT_CODES:
        errors.append(field.too_many(path + ".values", len(values), _MAX_EXIT_CODES))
    seen: set[int] = set()
    for position, value in enumerate(values):
        at = f"{path}.values[{position}]"
        if operator == "In" and value == 0:
            errors.append(field.invalid(at, value, "must not be 0 for the In operator"))
        if value in seen:
            errors.append(field.duplicate(at, value))
        seen.add(value)
    if values != sorted(values):
        errors.append(field.invalid(path + ".values", values, "must be ordered"))
    return errors


def _pod_conditions(patterns: Sequence[Obj], path: str) -> list[FieldError]:
    errors = [field.too_many(path, len(patterns), _MAX_PATTERNS)] if len(patterns) > _MAX_PATTERNS else []
    for position, pattern in enumerate(patterns):
        at = f"{path}[{position}]"
        kind, status = pattern.get("type") or "", pattern.get("status")
        errors += [field.invalid(at + ".type", kind, text) for text in names.qualified_name(kind)]
        if not status:
            errors.append(field.required(at + ".status", _valid_values(_STATUSES)))
        elif status not in _STATUSES:
            errors.append(field.not_supported(at + ".status", status, _STATUSES))
    return errors


def _success_policy(spec: Obj, rules: Sequence[Obj], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        errors.append(field.required(path, text))
    if len(rules) > _MAX_RULES:
        errors.append(field.too_many(path, len(rules), _MAX_RULES))
    for position, rule in enumerate(rules):
        errors += _success_rule(spec.get("completions") or 0, rule, f"{path}[{position}]")
    return errors


def _success_rule(completions: int, rule: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    count, chosen = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and chosen is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        errors.append(field.required(path, text))
    total = 0
    if chosen is not None:
        if len(chosen) > _MAX_SUCCEEDED_INDEXES:
            errors.append(field.too_long(path + ".succeededIndexes", _MAX_SUCCEEDED_INDEXES))
        try:
            total = indexes.count(chosen, completions)
        except ValueError as problem:
            text = f"error parsing succeededIndexes: {problem}"
            errors.append(field.invalid(path + ".succeededIndexes", chosen, text))
    if count is not None:
        at = path + ".succeededCount"
        errors += numbers.non_negative(count, at)
        if count > completions:
            text = f"must be less than or equal to {completions} (the number of specified completions)"
            errors.append(field.invalid(at, count, text))
        if chosen is not None and count > total:
            text = (
                f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            )
            errors.append(field.invalid(at, count, text))
    return errors


def _replacement_policy(spec: Obj, path: str) -> list[FieldError]:
    policy = spec.get("podReplacementPolicy")
    supported = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    if policy is None or policy in supported:
        return []
    return [field.not_supported(path, policy, supported)]


def _restart_policy(spec: Obj, template: Obj, path: str) -> list[FieldError]:
    policy = (template.get("spec") or {}).get("restartPolicy") or ""
    if policy in ("", "Always"):
        return [field.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [field.not_supported(path, policy, ["OnFailure", "Never"])]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        return [field.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []
