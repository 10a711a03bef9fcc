"""Puts the authorizers together, behind system:masters, and offers what the rest of the server asks of them.

The chain may be replaced while the server runs (reload.py); RBAC, Node and ABAC, which hold state, are built once and stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.clock import Clock
from apiserver.authn.user import User
from apiserver.authz import Config, abac, configuration
from apiserver.authz.base import Attributes, Decision, Resolver, Rules
from apiserver.authz.configuration import Authorizer
from apiserver.authz.escalation import MASTERS, EscalationCheck
from apiserver.authz.metrics import AuthorizationMetrics
from apiserver.authz.node import NodeAuthorizer
from apiserver.authz.nodegraph import NodeGraph
from apiserver.authz.policy import Policy
from apiserver.authz.rbac import RBACAuthorizer
from apiserver.authz.reload import Reloading
from apiserver.authz.reviews import Reviews
from apiserver.authz.rules import compile_rules
from apiserver.authz.webhook import WebhookAuthorizer
from apiserver.bootstrap import rbac as bootstrap
from apiserver.configscheme import ConfigError, aggregate
from apiserver.registry.kind import NotifyingReader
from serving.metrics import Labels

_PRIVILEGED = Decision("allow")
_NOBODY = Decision("none")
_DENIED = Decision("none", "Everything is forbidden.")


class _AlwaysDeny:
    async def authorize(self, a: Attributes) -> Decision:
        return _DENIED

    async def rules(self, user: User, namespace: str) -> Rules:
        return Rules()


class _Link:
    """One authorizer of the chain, with what its decisions are counted under."""

    __slots__ = ("allowed", "authorize", "denied", "resolver")

    def __init__(self, stated: Authorizer, resolver: Resolver) -> None:
        self.resolver = resolver
        self.authorize = resolver.authorize
        self.allowed: Labels = (stated.type, stated.name, "allowed")
        self.denied: Labels = (stated.type, stated.name, "denied")


class Authorization:
    """All authorizers in order. Built by build(); see the package's docstring for what others call."""

    def __init__(self, config: Config, reader: NotifyingReader, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self.metrics = AuthorizationMetrics()
        self._count = self.metrics.decisions.add
        self._rbac = RBACAuthorizer(Policy(reader))
        self._reader = reader
        self._lasting: dict[str, Resolver] = {"RBAC": self._rbac, "AlwaysDeny": _AlwaysDeny()}
        self._links: tuple[_Link, ...] = ()
        self._started: set[str] = set()
        self.reloading: Reloading | None = None  # where the chain comes from a file
        self._reviews = Reviews(self)
        self.escalation = EscalationCheck(self, self._rbac)

    def start_with(self, stated: Sequence[Authorizer]) -> None:
        """The first chain: with what it names of ABAC and Node, which later ones can use only then. ConfigError."""
        for authorizer in stated:
            if authorizer.type == "Node":
                rules = compile_rules(bootstrap.node_rules())
                self._lasting["Node"] = NodeAuthorizer(NodeGraph(self._reader), rules)
            elif authorizer.type == configuration.ABAC:
                path = self._config.authorization_policy_file
                if path is None:
                    raise ConfigError("open : no such file or directory")
                self._lasting[configuration.ABAC] = abac.load(path)
        self._started = {authorizer.type for authorizer in stated}
        self._links = self._build(stated)

    async def replace(self, stated: Sequence[Authorizer]) -> None:
        """Another chain from the next question on. ConfigError, and the old one stays."""
        links = await asyncio.to_thread(self._build, stated)  # webhooks' kubeconfigs are read
        before, self._links = self._links, links
        await _close(before)

    def _build(self, stated: Sequence[Authorizer]) -> tuple[_Link, ...]:
        links = []
        for authorizer in stated:
            if authorizer.webhook is not None:
                resolver: Resolver = WebhookAuthorizer(authorizer.name, authorizer.webhook, self._clock, self.metrics)
            elif authorizer.type != "AlwaysDeny" and authorizer.type not in self._started:
                text = (
                    f"authorizer type {authorizer.type} is not allowed if it was not enabled at initial server startup"
                )
                raise ConfigError(text)
            else:
                resolver = self._lasting[authorizer.type]
            links.append(_Link(authorizer, resolver))
        return tuple(links)

    async def close(self) -> None:
        await _close(self._links)

    async def authorize(self, a: Attributes) -> Decision:
        """The first opinion; without one a refusal with everybody's reasons."""
        if MASTERS in a.user.groups:
            return _PRIVILEGED
        reasons: list[str] = []
        problems: list[str] = []
        for link in self._links:
            decision = await link.authorize(a)
            if decision.verdict != "none":
                self._count(link.allowed if decision.verdict == "allow" else link.denied)
                return decision
            if decision.reason:
                reasons.append(decision.reason)
            if decision.error:
                problems.append(decision.error)
        if not reasons and not problems:
            return _NOBODY
        return Decision("none", "\n".join(reasons), aggregate(problems) if problems else "")

    async def rules(self, user: User, namespace: str) -> Rules:
        """What all authorizers allow a user in a namespace, as far as they can tell."""
        found = [await link.resolver.rules(user, namespace) for link in self._links]
        return Rules(
            [rule for rules in found for rule in rules.resources],
            [rule for rules in found for rule in rules.paths],
            any(rules.incomplete for rules in found),
            [problem for rules in found for problem in rules.problems],
        )

    def services(self) -> Mapping[str, Any]:
        """What kinds look up in ctx.services: the review answers by their names (see reviews.py), and

        "rbac-role-check", "rbac-binding-check": async (ctx, kind name, obj, old or None), raising 403 on escalation.
        """
        return {
            **self._reviews.services(),
            "rbac-role-check": self._role_check,
            "rbac-binding-check": self._binding_check,
        }

    async def _role_check(self, ctx: Any, kind: str, obj: Any, old: Any) -> None:
        await self.escalation.role(ctx.user, kind, ctx.namespace or "", obj, old)

    async def _binding_check(self, ctx: Any, kind: str, obj: Any, old: Any) -> None:
        await self.escalation.binding(ctx.user, kind, ctx.namespace or "", obj, old)


async def _close(links: Sequence[_Link]) -> None:
    for link in links:
        if isinstance(link.resolver, WebhookAuthorizer):
            await link.resolver.close()


def build(config: Config, reader: NotifyingReader, clock: Clock) -> Authorization:
    """See apiserver/authz/__init__.py."""
    path = config.authorization_config
    if path is None:
        stated = configuration.from_flags(config)
        raw = b""
    else:
        if config.flags_set():
            raise ConfigError(
                "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags "
                "are defined"
            )
        raw = configuration.read(path)
        stated = configuration.load(raw)
    authorization = Authorization(config, reader, clock)
    try:
        authorization.start_with(stated)
    except ConfigError as error:
        raise ConfigError(f"invalid authorization config: {error}") from None
    if path is not None:
        authorization.reloading = Reloading(authorization, path, raw, stated, clock)
    return authorization
