"""RBAC: allowed is what some rule of some role allows that some binding gives to the user.

Decisions are remembered per user, verb, resource and namespace. Objects' names play no part in that unless a rule lists
resourceNames, and then the decision holds the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from apiserver.authn.lru import LRU
from apiserver.authn.user import User
from apiserver.authz.base import NO_OPINION, Attributes, Decision, Rules
from apiserver.authz.policy import Policy, aggregate
from apiserver.authz.rules import Rule

_CACHE = 16384


@dataclass(frozen=True, slots=True)
class _Answer:
    """What RBAC says of a verb on a resource: for some names, and for all others."""

    others: Decision
    named: Mapping[str, Decision] = field(default_factory=dict)


class RBACAuthorizer:
    """Answers from a Policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._cache: LRU[tuple[object, ...], _Answer] = LRU(_CACHE)
        policy.listeners.append(self._cache.clear)

    async def authorize(self, a: Attributes) -> Decision:
        if not self.policy.current:
            await self.policy.refresh()
        user = a.user
        if a.resource_request:
            key: tuple[object, ...] = (
                user.name,
                tuple(user.groups),
                a.verb,
                a.group,
                a.plural,
                a.subresource,
                a.namespace,
            )
        else:
            key = (user.name, tuple(user.groups), a.verb, a.path)
        answer = self._cache.get(key)
        if answer is None:
            answer = self._resource(a) if a.resource_request else self._path(a)
            self._cache.put(key, answer)
        if answer.named:
            return answer.named.get(a.name, answer.others)
        return answer.others

    def _resource(self, a: Attributes) -> _Answer:
        combined = f"{a.plural}/{a.subresource}" if a.subresource else a.plural
        named: dict[str, Decision] = {}
        problems: list[str] = []
        for binding, subject in self.policy.bindings_for(a.user, a.namespace):
            rules = self.policy.role_rules(binding.role_kind, binding.role_name, binding.key[0])
            if isinstance(rules, str):
                problems.append(rules)
                continue
            for rule in rules:
                if not rule.allows_resource(a.verb, a.group, combined, a.subresource):
                    continue
                allowed = Decision("allow", f"RBAC: allowed by {binding.describe(subject)}")
                if not rule.names:
                    return _Answer(allowed, named)
                for name in rule.names:
                    named.setdefault(name, allowed)
        return _Answer(_refusal(problems), named)

    def _path(self, a: Attributes) -> _Answer:
        problems: list[str] = []
        for binding, subject in self.policy.bindings_for(a.user, ""):
            rules = self.policy.role_rules(binding.role_kind, binding.role_name, "")
            if isinstance(rules, str):
                problems.append(rules)
            elif any(rule.allows_path(a.verb, a.path) for rule in rules):
                return _Answer(Decision("allow", f"RBAC: allowed by {binding.describe(subject)}"))
        return _Answer(_refusal(problems))

    async def rules_for(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """Everything RBAC lets a user do in a namespace, and what could not be found out."""
        if not self.policy.current:
            await self.policy.refresh()
        return self.policy.rules_for(user, namespace)

    async def rules(self, user: User, namespace: str) -> Rules:
        resources = []
        paths = []
        rules, problems = await self.rules_for(user, namespace)
        for rule in rules:
            raw = rule.raw
            if raw.get("resources"):
                resources.append({name: list(raw[name]) for name in _RESOURCE_FIELDS if raw.get(name)})
            if raw.get("nonResourceURLs"):
                paths.append({name: list(raw[name]) for name in ("verbs", "nonResourceURLs") if raw.get(name)})
        problem = (aggregate(problems),) if problems else ()
        return Rules(resources, paths, problems=problem)


_RESOURCE_FIELDS = ("verbs", "apiGroups", "resources", "resourceNames")


def _refusal(problems: list[str]) -> Decision:
    return Decision("none", f"RBAC: {aggregate(problems)}") if problems else NO_OPINION
