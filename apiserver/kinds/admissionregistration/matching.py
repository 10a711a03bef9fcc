"""Rules, selectors and match conditions that webhooks and policies share (apis/admissionregistration of the original)."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.registry.kind import Obj
from apiserver.validation import expressions, labels, names
from apiserver.validation.expressions import Scope

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
_MAX_CONDITIONS = 64


# -- defaults


def default_rules(rules: Sequence[Obj] | None) -> None:
    for rule in rules or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


def default_match_resources(match: Obj | None) -> None:
    if match is None:
        return
    if match.get("matchPolicy") is None:
        match["matchPolicy"] = "Equivalent"
    for name in ("namespaceSelector", "objectSelector"):
        if match.get(name) is None:
            match[name] = {}
    default_rules(match.get("resourceRules"))
    default_rules(match.get("excludeResourceRules"))


# -- validation


def validate_rule(rule: Obj, path: str) -> list[FieldError]:
    """A RuleWithOperations."""
    errors: list[FieldError] = []
    operations, at = rule.get("operations") or [], path + ".operations"
    if not operations:
        errors.append(field.required(at))
    errors += _lonely_wildcard(operations, at, "operations")
    for position, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            errors.append(field.not_supported(f"{at}[{position}]", operation, _OPERATIONS))
    for name, words in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(name) or []
        if not values:
            errors.append(field.required(f"{path}.{name}"))
        errors += _lonely_wildcard(values, f"{path}.{name}", words)
    for position, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            errors.append(field.required(f"{path}.apiVersions[{position}]"))
    errors += _resources(rule.get("resources") or [], path + ".resources")
    scope = rule.get("scope")
    if scope is not None and scope not in _SCOPES:
        errors.append(field.not_supported(path + ".scope", scope, _SCOPES))
    return errors


def _lonely_wildcard(values: Sequence[str], path: str, words: str) -> list[FieldError]:
    if len(values) < 2 or "*" not in values:
        return []
    return [field.invalid(path, values, f"if '*' is present, must not specify other {words}")]


def _resources(resources: Sequence[str], path: str) -> list[FieldError]:
    errors = [] if resources else [field.required(path)]
    all_subresources: set[str] = set()
    all_resources: set[str] = set()
    plain = False
    for position, text in enumerate(resources):
        at = f"{path}[{position}]"
        if not text:
            errors.append(field.required(at))
            continue
        resource, slash, sub = text.partition("/")
        if not slash:
            plain = text != "*"
            continue
        if resource in all_subresources:
            errors.append(field.invalid(at, text, f"if '{resource}/*' is present, must not specify {text}"))
        if sub in all_resources:
            errors.append(field.invalid(at, text, f"if '*/{sub}' is present, must not specify {text}"))
        if sub == "*":
            all_subresources.add(resource)
        if resource == "*":
            all_resources.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(field.invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(field.invalid(path, resources, text))
    return errors


def validate_match_resources(match: Obj | None, path: str) -> list[FieldError]:
    if match is None:
        return []
    errors = choice(match.get("matchPolicy"), path + ".matchPolicy", MATCH_POLICIES)
    for name in ("namespaceSelector", "objectSelector"):
        if match.get(name) is None:
            errors.append(field.required(f"{path}.{name}"))
        else:
            errors += labels.validate_label_selector(match[name], f"{path}.{name}")
    for name in ("resourceRules", "excludeResourceRules"):
        for position, rule in enumerate(match.get(name) or ()):
            errors += _named_rule(rule, f"{path}.{name}[{position}]")
    return errors


def _named_rule(rule: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = rule.get("resourceNames") or []
    for position, name in enumerate(given):
        at = f"{path}.resourceNames[{position}]"
        errors += [field.invalid(at, name, text) for text in names.path_segment(name)]
        if name in given[:position]:
            errors.append(field.duplicate(at, name))
    return errors + validate_rule(rule, path)


def choice(value: str | None, path: str, allowed: Sequence[str]) -> list[FieldError]:
    """A required value out of several."""
    if value is None:
        return [field.required(path)]
    return [] if value in allowed else [field.not_supported(path, value, allowed)]


def validate_conditions(conditions: Sequence[Obj], path: str, scope: Scope | None = None) -> list[FieldError]:
    """Match conditions: named CEL expressions, names unique. scope: what they see, a webhook's unless given."""
    scope = scope or Scope()
    errors: list[FieldError] = []
    if len(conditions) > _MAX_CONDITIONS:
        errors.append(field.too_many(path, len(conditions), _MAX_CONDITIONS))
    seen: set[str] = set()
    for position, condition in enumerate(conditions):
        at, name = f"{path}[{position}]", condition.get("name") or ""
        if not (condition.get("expression") or "").strip():
            errors.append(field.required(at + ".expression"))
        else:
            found = scope.compile(condition["expression"], expressions.BOOL)
            errors += expressions.errors_of(found, at + ".expression")
        if not name:
            errors.append(field.required(at + ".name"))
        else:
            errors += [field.invalid(at + ".name", name, text) for text in names.qualified_name(name)]
        if name and name in seen:
            errors.append(field.duplicate(at + ".name", name))
        seen.add(name)
    return errors
