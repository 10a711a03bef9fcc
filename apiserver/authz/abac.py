"""ABAC: a file of policies, one JSON object a line, each of which allows some subject some requests.

Read once, at start. A policy of abac.authorization.kubernetes.io/v1beta1 has its properties in `spec`; one that says no version is
of the old form, in which what is not said matches everything. Empty lines and lines that begin with # are skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiserver.authn.user import User
from apiserver.authz.base import Attributes, Decision, Rules
from apiserver.configscheme import ConfigError, Entry, Scheme, Types, Unregistered, file_error

log = logging.getLogger(__name__)

_AUTHENTICATED = "system:authenticated"
_READ = ("get", "list", "watch")
_LONGEST = 64 * 1024  # bytes of a line, as the original's scanner
_GROUP = "abac.authorization.kubernetes.io"
_OLD = {name: ["s", "string"] for name in ("user", "group", "resource", "namespace")} | {"readonly": ["b", "bool"]}
_TYPES: Types = {
    "Policy": {"spec": ["#PolicySpec", "PolicySpec"]},
    "PolicySpec": {**_OLD, "apiGroup": ["s", "string"], "nonResourcePath": ["s", "string"]},
    "v0.Policy": _OLD,
}
_SCHEME = Scheme(
    "pkg/apis/abac/register.go:33",
    _TYPES,
    {(f"{_GROUP}/v1beta1", "Policy"): Entry("Policy", ""), (f"{_GROUP}/v0", "Policy"): Entry("v0.Policy", "v0")},
    strict=False,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """A line. An empty property matches nothing but an empty value; "*" everything."""

    user: str = ""
    group: str = ""
    read_only: bool = False
    api_group: str = ""
    resource: str = ""
    namespace: str = ""
    path: str = ""

    def concerns(self, user: User) -> bool:
        if self.user and self.user not in ("*", user.name):
            return False
        if self.group and self.group != "*" and self.group not in user.groups:
            return False
        return bool(self.user or self.group)

    def allows(self, a: Attributes) -> bool:
        if not self.concerns(a.user) or (self.read_only and a.verb not in _READ):
            return False
        if not a.resource_request:
            return _path_matches(self.path, a.path)
        return (
            self.namespace in ("*", a.namespace)
            and self.resource in ("*", a.plural)
            and self.api_group in ("*", a.group)
        )


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


class ABACAuthorizer:
    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = tuple(policies)

    async def authorize(self, a: Attributes) -> Decision:
        return _ALLOW if any(policy.allows(a) for policy in self._policies) else _NONE

    async def rules(self, user: User, namespace: str) -> Rules:
        resources: list[dict[str, Any]] = []
        paths: list[dict[str, Any]] = []
        for policy in self._policies:
            if not policy.concerns(user) or policy.namespace not in ("*", namespace):
                continue
            verbs = list(_READ) if policy.read_only else ["*"]
            if policy.resource:
                resources.append({"verbs": verbs, "apiGroups": [policy.api_group], "resources": [policy.resource]})
            if policy.path:
                paths.append({"verbs": verbs, "nonResourceURLs": [policy.path]})
        return Rules(resources, paths)


_ALLOW, _NONE = Decision("allow"), Decision("none", "No policy matched.")


def load(path: Path) -> ABACAuthorizer:
    """The policies of a file. ConfigError, which names the line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(file_error(error)) from None
    policies = []
    old = False
    for number, line in enumerate(raw.split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if len(line) >= _LONGEST:
            raise ConfigError(f"error reading policy file {path}: bufio.Scanner: token too long")
        stripped = line.strip()
        if not stripped or stripped.startswith(b"#"):
            continue
        try:
            policy, unversioned = _policy(line)
        except ConfigError as error:
            shown = line.decode("utf-8", "replace")
            raise ConfigError(f"error reading policy file {path}, line {number}: {shown}: {error}") from None
        old = old or unversioned
        policies.append(policy)
    if old:
        log.warning("policy file %s has rules without a version", path)
    return ABACAuthorizer(policies)


def _policy(line: bytes) -> tuple[Policy, bool]:
    """The policy of a line, and whether it says no version."""
    try:
        found = _SCHEME.read(line)
    except Unregistered as error:
        # What is not said is taken to be what the old form would say.
        version, kind = error.version or f"{_GROUP}/v0", error.kind or "Policy"
        if (version, kind) == (f"{_GROUP}/v1beta1", "Policy"):
            raise ConfigError("converting (v1beta1.Policy) to (v0.Policy): unknown conversion") from None
        if (version, kind) != (f"{_GROUP}/v0", "Policy"):
            raise ConfigError(_SCHEME.unregistered(version, kind)) from None
        return _unversioned(_SCHEME.read_as("v0.Policy", line)), True
    if found.entry.go == "v0":
        return _unversioned(found.obj), False
    spec = found.obj.get("spec") or {}
    policy = Policy(
        spec.get("user", ""),
        spec.get("group", ""),
        bool(spec.get("readonly")),
        spec.get("apiGroup", ""),
        spec.get("resource", ""),
        spec.get("namespace", ""),
        spec.get("nonResourcePath", ""),
    )
    return _whoever(policy), False


def _whoever(policy: Policy) -> Policy:
    """Everybody is everybody who is authenticated."""
    if "*" not in (policy.user, policy.group):
        return policy
    return Policy("", _AUTHENTICATED, *(getattr(policy, name) for name in Policy.__slots__[2:]))


def _unversioned(old: dict[str, Any]) -> Policy:
    """The old form: what is not said matches everything."""
    user, group = old.get("user", ""), old.get("group", "")
    namespace, resource = old.get("namespace", ""), old.get("resource", "")
    return _whoever(
        Policy(
            user,
            group or ("" if user else _AUTHENTICATED),
            bool(old.get("readonly")),
            "*",
            resource or "*",
            namespace or "*",
            "" if namespace or resource else "*",
        )
    )
