"""The audit policy: a file of kind Policy (audit.k8s.io/v1), and the first of its rules that a request matches.

    policy = load(path)                      # PolicyError with the original's complaints
    what = policy.evaluate(user, info)       # a level, the stages to leave out, whether managedFields go

Pure. A request that no rule matches is not recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.authn.user import User
from apiserver.requestinfo import RequestInfo
from apiserver.validation import names

log = logging.getLogger(__name__)

NONE, METADATA, REQUEST, REQUEST_RESPONSE = range(4)
LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
_VERSION = "audit.k8s.io/v1"
_STRING_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
_RULE = frozenset(("level", "resources", "omitManagedFields", *_STRING_LISTS))
_POLICY = frozenset(("kind", "apiVersion", "metadata", "rules", "omitStages", "omitManagedFields"))
_RESOURCES = frozenset(("group", "resources", "resourceNames"))


class PolicyError(ValueError):
    """A policy file that cannot be used; the text says which and why."""

    plain = True  # users need no traceback


@dataclass(frozen=True, slots=True)
class Recorded:
    """What to record of a request. level: an index of LEVELS. omitted: stages that are not told."""

    level: int
    omitted: frozenset[str] = frozenset()
    drop_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; empty tuples match everything."""

    recorded: Recorded
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[Resources, ...] = ()
    namespaces: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def matches(self, user: User, info: RequestInfo) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.groups and not any(group in self.groups for group in user.groups):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return info.is_resource and self._resource(info)
        if self.urls:
            return not info.is_resource and any(_path_matches(info.path, url) for url in self.urls)
        return True

    def _resource(self, info: RequestInfo) -> bool:
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        return not self.resources or any(_among(entry, info) for entry in self.resources)


def _path_matches(path: str, url: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def _among(entry: Resources, info: RequestInfo) -> bool:
    if entry.group not in ("*", info.group):
        return False
    if not entry.resources:
        return True
    if entry.names and info.name not in entry.names:
        return False
    sub = info.subresource
    whole = f"{info.resource}/{sub}" if sub else info.resource
    return any(
        resource in ("*", whole)
        or (bool(sub) and resource == f"*/{sub}")
        or (resource.endswith("/*") and resource[:-2] == info.resource)
        for resource in entry.resources
    )


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[Rule, ...]
    otherwise: Recorded

    def evaluate(self, user: User, info: RequestInfo) -> Recorded:
        for rule in self.rules:
            if rule.matches(user, info):
                return rule.recorded
        return self.otherwise


def load(path: Path) -> Policy:
    """The policy in that file. PolicyError."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise PolicyError(f"loading audit policy file: failed to read file path {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"loading audit policy file: failed decoding: {error}: from file {path}") from error
    try:
        return parse(document)
    except ValueError as error:
        raise PolicyError(f"loading audit policy file: {error}: from file {path}") from error


def parse(document: Any) -> Policy:
    """A policy from its document; unknown fields are complained of in the log alone, as by the original."""
    if not isinstance(document, dict):
        raise ValueError("failed decoding: the file holds no object")
    if document.get("apiVersion") != _VERSION or document.get("kind") != "Policy":
        kind, version = document.get("kind") or "", document.get("apiVersion") or ""
        raise ValueError(f'no kind "{kind}" is registered for version "{version}": want kind Policy of {_VERSION}')
    problems: list[FieldError] = []
    _unknown(document, _POLICY, "")
    rules = document.get("rules") or []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ValueError("failed decoding: rules must be a list of objects")
    for at, rule in enumerate(rules):
        problems += _check_rule(rule, f"rules[{at}]")
    omitted = _strings(document, "omitStages", "")
    problems += _check_stages(omitted, "omitStages")
    if problems:
        texts = [str(problem) for problem in problems]
        raise ValueError(texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
    if not rules:
        raise ValueError("loaded illegal policy with 0 rules")
    drop = bool(document.get("omitManagedFields"))
    made = tuple(_rule(rule, frozenset(omitted), drop) for rule in rules)
    return Policy(made, Recorded(NONE, frozenset(omitted), drop))


def _rule(rule: dict[str, Any], omitted: frozenset[str], drop: bool) -> Rule:
    own = rule.get("omitManagedFields")
    recorded = Recorded(
        LEVELS.index(rule["level"]),
        omitted | frozenset(rule.get("omitStages") or ()),
        drop if own is None else bool(own),
    )
    return Rule(
        recorded,
        users=tuple(rule.get("users") or ()),
        groups=tuple(rule.get("userGroups") or ()),
        verbs=tuple(rule.get("verbs") or ()),
        resources=tuple(
            Resources(
                entry.get("group") or "", tuple(entry.get("resources") or ()), tuple(entry.get("resourceNames") or ())
            )
            for entry in rule.get("resources") or ()
        ),
        namespaces=tuple(rule.get("namespaces") or ()),
        urls=tuple(rule.get("nonResourceURLs") or ()),
    )


def _unknown(obj: dict[str, Any], known: frozenset[str], path: str) -> None:
    for name in obj:
        if name not in known:
            log.warning('the audit policy has an unknown field "%s%s", which is ignored', path, name)


def _strings(obj: dict[str, Any], name: str, path: str) -> list[str]:
    values = obj.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"failed decoding: {path}{name} must be a list of strings")
    return values


def _check_rule(rule: dict[str, Any], path: str) -> list[FieldError]:
    _unknown(rule, _RULE, path + ".")
    for name in _STRING_LISTS:
        _strings(rule, name, path + ".")
    problems: list[FieldError] = []
    level = rule.get("level") or ""
    if not level:
        problems.append(field.required(path + ".level"))
    elif level not in LEVELS:
        problems.append(field.not_supported(path + ".level", level, LEVELS))
    urls = rule.get("nonResourceURLs") or []
    for at, url in enumerate(urls):
        here = f"{path}.nonResourceURLs[{at}]"
        if url != "*" and not url.startswith("/"):
            problems.append(field.invalid(here, url, "non-resource URL rules must begin with a '/' character"))
        if "*" in url[:-1]:
            text = "non-resource URL wildcards '*' must be the final character of the rule"
            problems.append(field.invalid(here, url, text))
    problems += _check_resources(rule, path + ".resources")
    problems += _check_stages(rule.get("omitStages") or [], path + ".omitStages")
    if urls and (rule.get("resources") or rule.get("namespaces")):
        text = "rules cannot apply to both regular resources and non-resource URLs"
        problems.append(field.invalid(path + ".nonResourceURLs", urls, text))
    return problems


def _check_resources(rule: dict[str, Any], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    entries = rule.get("resources") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"failed decoding: {path} must be a list of objects")
    for entry in entries:
        _unknown(entry, _RESOURCES, path + ".")
        for name in ("resources", "resourceNames"):
            _strings(entry, name, path + ".")
        group = entry.get("group") or ""
        if group not in ("", "*") and (faults := names.dns_subdomain(group)):
            problems.append(field.invalid(path + ".group", group, ",".join(faults)))
        if entry.get("resourceNames") and not entry.get("resources"):
            text = "using resourceNames requires at least one resource"
            problems.append(field.invalid(path + ".resourceNames", entry["resourceNames"], text))
    return problems


def _check_stages(stages: Sequence[str], path: str) -> list[FieldError]:
    text = "allowed stages are " + ",".join(STAGES)
    return [field.invalid(f"{path}[{at}]", stage, text) for at, stage in enumerate(stages) if stage not in STAGES]
