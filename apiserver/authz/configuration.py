"""AuthorizationConfiguration: the file of --authorization-config, or what the other flags amount to, checked.

    load(raw, …)            ConfigError with everything that is wrong, in the original's words
    from_flags(config)      likewise

The result is a list of what authorizers there are to be; service.py builds them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery import field
from apimachinery.field import FieldError, go_quote
from apiserver.authz import conditions
from apiserver.authz.conditions import Conditions
from apiserver.configscheme import ConfigError, Entry, Scheme, Types, aggregate, file_error
from apiserver.validation import names
from openapi.scalars import format_duration, parse_duration

if TYPE_CHECKING:
    from apiserver.authz import Config

ABAC, WEBHOOK, ALWAYS_ALLOW = "ABAC", "Webhook", "AlwaysAllow"
MODES = (ABAC, ALWAYS_ALLOW, "AlwaysDeny", "Node", "RBAC", WEBHOOK)
NO_ALWAYS_ALLOW = (
    "authorization-mode AlwaysAllow would let everybody, the anonymous too, do everything; there is no such mode here: "
    "bind the role cluster-admin to whom it shall be"
)
_SECOND = 10**9
_LONGEST = 30 * _SECOND
_GROUP = "apiserver.config.k8s.io"
_TYPES: Types = {
    "AuthorizationConfiguration": {
        "authorizers": [["l", "#AuthorizerConfiguration", "atomic"], "[]AuthorizerConfiguration"]
    },
    "AuthorizerConfiguration": {
        "type": ["s", "string"],
        "name": ["s", "string"],
        "webhook": ["#WebhookConfiguration", "*WebhookConfiguration"],
    },
    "WebhookConfiguration": {
        "authorizedTTL": ["D", "v1.Duration"],
        "cacheAuthorizedRequests": ["b", "*bool"],
        "unauthorizedTTL": ["D", "v1.Duration"],
        "cacheUnauthorizedRequests": ["b", "*bool"],
        "timeout": ["D", "v1.Duration"],
        "subjectAccessReviewVersion": ["s", "string"],
        "matchConditionSubjectAccessReviewVersion": ["s", "string"],
        "failurePolicy": ["s", "string"],
        "connectionInfo": ["#WebhookConnectionInfo", "WebhookConnectionInfo"],
        "matchConditions": [["l", "#WebhookMatchCondition", "atomic"], "[]WebhookMatchCondition"],
    },
    "WebhookConnectionInfo": {"type": ["s", "string"], "kubeConfigFile": ["s", "*string"]},
    "WebhookMatchCondition": {"expression": ["s", "string"]},
    "Other": {},
}
_OTHERS = {"AdmissionConfiguration": ("v1",), "AuthenticationConfiguration": ("v1", "v1beta1", "v1alpha1")}
_SCHEME = Scheme(
    "k8s.io/apiserver/pkg/apis/apiserver/load/load.go:32",
    _TYPES,
    {
        **{
            (f"{_GROUP}/{version}", "AuthorizationConfiguration"): Entry("AuthorizationConfiguration", "")
            for version in ("v1", "v1beta1", "v1alpha1")
        },
        **{
            (f"{_GROUP}/{version}", kind): Entry("Other", f"*apiserver.{kind}")
            for kind, versions in _OTHERS.items()
            for version in versions
        },
    },
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Durations in seconds; a TTL of 0 keeps nothing. fails_open: whether without an answer there is no opinion, else a denial."""

    kubeconfig: Path
    version: str
    authorized_ttl: float
    unauthorized_ttl: float
    timeout: float
    fails_open: bool
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True)
class Authorizer:
    """One of the chain. type: as in --authorization-mode."""

    type: str
    name: str
    webhook: Webhook | None = None


# -- from flags


def from_flags(config: Config) -> list[Authorizer]:
    """What --authorization-mode and its companions say. ConfigError."""
    modes = list(config.modes)
    problems = []
    if not modes:
        problems.append("at least one authorization-mode must be passed")
    for mode in modes:
        if mode not in MODES:
            problems.append(f"authorization-mode {go_quote(mode)} is not a valid mode")
        if mode == ALWAYS_ALLOW:
            problems.append(NO_ALWAYS_ALLOW)
        if mode == ABAC and config.authorization_policy_file is None:
            problems.append("authorization-mode ABAC's authorization policy file not passed")
        if mode == WEBHOOK and config.authorization_webhook_config_file is None:
            problems.append("authorization-mode Webhook's authorization config file not passed")
    if config.authorization_policy_file is not None and ABAC not in modes:
        problems.append("cannot specify --authorization-policy-file without mode ABAC")
    if config.authorization_webhook_config_file is not None and WEBHOOK not in modes:
        problems.append("cannot specify --authorization-webhook-config-file without mode Webhook")
    if len(set(modes)) != len(modes):
        shown = " ".join(map(go_quote, modes))
        problems.append(f"authorization-mode [{shown}] has mode specified more than once")
    if problems:
        raise ConfigError(aggregate(problems))
    return [
        Authorizer(mode, "default" if mode == WEBHOOK else mode.lower(), _flag_webhook(mode, config)) for mode in modes
    ]


def _flag_webhook(mode: str, config: Config) -> Webhook | None:
    if mode != WEBHOOK or config.authorization_webhook_config_file is None:
        return None
    version = config.authorization_webhook_version or "v1beta1"
    if version not in ("v1", "v1beta1"):
        text = f'unsupported webhook authorizer version {go_quote(version)}, supported versions are "v1", "v1beta1"'
        raise ConfigError(f"invalid authorization config: {text}")
    return Webhook(
        config.authorization_webhook_config_file,
        version,
        _or(config.authorization_webhook_cache_authorized_ttl, 300),
        _or(config.authorization_webhook_cache_unauthorized_ttl, 30),
        30,
        fails_open=True,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


# -- from a file


def read(path: Path) -> bytes:
    """ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(file_error(error)) from None


def load(raw: bytes, required: Sequence[str] = ()) -> list[Authorizer]:
    """The authorizers of a configuration. required: types that it has to keep. ConfigError."""
    try:
        found = _SCHEME.read(raw) if raw else None
    except ConfigError as error:
        raise ConfigError(f"failed to load AuthorizationConfiguration from file: {error}") from None
    if found is not None and found.entry.go:
        text = f"expected AuthorizationConfiguration, got {found.entry.go}"
        raise ConfigError(f"failed to load AuthorizationConfiguration from file: {text}")
    stated = (found.obj.get("authorizers") if found is not None else None) or []
    problems, compiled = _check(stated)
    if problems:
        raise ConfigError(aggregate(problems))
    _check_names(stated, required)
    return [
        Authorizer(a["type"], a["name"], _webhook(a["webhook"], compiled[at]) if a["type"] == WEBHOOK else None)
        for at, a in enumerate(stated)
    ]


def _check_names(stated: Sequence[Mapping[str, Any]], required: Sequence[str]) -> None:
    others = [a for a in stated if a["type"] != WEBHOOK]
    problems = [
        f"expected name {a['type'].lower()} for authorizer {a['type']} instead of {a['name']}"
        for a in others
        if a["type"].lower() != a["name"]
    ]
    missing = sorted(set(required) - {a["type"] for a in others})
    if missing:
        problems.append(f"missing required types: [{' '.join(missing)}]")
    if any(a["type"] == ALWAYS_ALLOW for a in others):
        problems.append(NO_ALWAYS_ALLOW)
    if problems:
        raise ConfigError(aggregate(problems))


def _check(stated: Sequence[Mapping[str, Any]]) -> tuple[list[FieldError], dict[int, Conditions | None]]:
    problems: list[FieldError] = []
    compiled: dict[int, Conditions | None] = {}
    if not stated:
        problems.append(field.required("authorizers", "at least one authorization mode must be defined"))
    types: set[str] = set()
    taken: set[str] = set()
    for at, a in enumerate(stated):
        path, kind, name = f"authorizers[{at}]", a.get("type") or "", a.get("name") or ""
        if not kind:
            problems.append(field.required(f"{path}.type"))
            continue
        if kind not in MODES:
            problems.append(field.not_supported(f"{path}.type", kind, MODES))
            continue
        if kind in types and kind != WEBHOOK:
            problems.append(field.duplicate(f"{path}.type", kind))
            continue
        types.add(kind)
        problems += _check_name(f"{path}.name", name, taken)
        taken.add(name)
        webhook = a.get("webhook")
        if kind != WEBHOOK:
            if webhook is not None:
                problems.append(field.invalid(f"{path}.webhook", "non-null", "may only be specified when type=Webhook"))
        elif webhook is None:
            problems.append(field.required(f"{path}.webhook", "required when type=Webhook"))
        else:
            found, compiled[at] = _check_webhook(webhook, path)
            problems += found
    return problems, compiled


def _check_name(path: str, name: str, taken: set[str]) -> list[FieldError]:
    if not name:
        return [field.required(path)]
    if name in taken:
        return [field.duplicate(path, name)]
    wrong = names.dns_subdomain(name)
    return [field.invalid(path, name, f"authorizer name is invalid: {', '.join(wrong)}")] if wrong else []


def _nanoseconds(webhook: Mapping[str, Any], name: str, default: int = 0) -> int:
    return parse_duration(webhook.get(name) or "0s") or default


_TTLS = {"authorizedTTL": 300 * _SECOND, "unauthorizedTTL": 30 * _SECOND}


def _check_webhook(webhook: Mapping[str, Any], path: str) -> tuple[list[FieldError], Conditions | None]:
    problems = []
    timeout = _nanoseconds(webhook, "timeout")
    if not timeout:
        problems.append(field.required(f"{path}.timeout"))
    elif not 0 < timeout <= _LONGEST:
        problems.append(field.invalid(f"{path}.timeout", format_duration(timeout), "must be > 0s and <= 30s"))
    for name, default in _TTLS.items():
        ttl = _nanoseconds(webhook, name, default)
        if ttl < 0:
            problems.append(field.invalid(f"{path}.{name}", format_duration(ttl), "must be > 0s"))
    problems += _one_of(webhook, path, "subjectAccessReviewVersion", ("v1", "v1beta1"))
    stated = webhook.get("matchConditions") or ()
    name = "matchConditionSubjectAccessReviewVersion"
    if webhook.get(name):
        problems += _one_of(webhook, path, name, ("v1",))
    elif stated:
        problems.append(field.required(f"{path}.{name}", "required if match conditions are specified"))
    problems += _one_of(webhook, path, "failurePolicy", ("NoOpinion", "Deny"))
    problems += _check_connection(webhook.get("connectionInfo") or {}, f"{path}.connectionInfo")
    found, compiled = conditions.check([c.get("expression") or "" for c in stated], f"{path}.matchConditions")
    return problems + found, compiled


def _one_of(webhook: Mapping[str, Any], path: str, name: str, allowed: Sequence[str]) -> list[FieldError]:
    value = webhook.get(name) or ""
    if not value:
        return [field.required(f"{path}.{name}")]
    return [] if value in allowed else [field.not_supported(f"{path}.{name}", value, allowed)]


def _check_connection(info: Mapping[str, Any], path: str) -> list[FieldError]:
    kind, file = info.get("type") or "", info.get("kubeConfigFile")
    at = f"{path}.kubeConfigFile"
    if not kind:
        return [field.required(f"{path}.type")]
    if kind == "InClusterConfig":
        if file is not None:
            return [field.invalid(at, file, "can only be set when type=KubeConfigFile")]
        # The original takes this here and then ends with a nil pointer: the API server is no client of its own.
        return [field.invalid(f"{path}.type", kind, "is not for the API server itself; use KubeConfigFile")]
    if kind != "KubeConfigFile":
        shown = {"Type": kind, "KubeConfigFile": file}
        return [field.not_supported(f"{path}.type", shown, ("InClusterConfig", "KubeConfigFile"))]
    if not file:
        return [field.required(at)]
    if not os.path.isabs(file):
        return [field.invalid(at, file, "must be an absolute path")]
    try:
        regular = stat.S_ISREG(os.stat(file).st_mode)
    except OSError as error:
        return [field.invalid(at, file, f"error loading file: {file_error(error, 'stat')}")]
    return [] if regular else [field.invalid(at, file, "must be a regular file")]


def _webhook(stated: Mapping[str, Any], compiled: Conditions | None) -> Webhook:
    def ttl(name: str, kept: str) -> float:
        return 0.0 if stated.get(kept) is False else _nanoseconds(stated, name, _TTLS[name]) / _SECOND

    return Webhook(
        Path(stated["connectionInfo"]["kubeConfigFile"]),
        stated["subjectAccessReviewVersion"],
        ttl("authorizedTTL", "cacheAuthorizedRequests"),
        ttl("unauthorizedTTL", "cacheUnauthorizedRequests"),
        _nanoseconds(stated, "timeout") / _SECOND,
        stated["failurePolicy"] == "NoOpinion",
        compiled,
    )
