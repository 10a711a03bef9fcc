"""Puts the authorizers together, behind system:masters, and offers what the rest of the server asks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.clock import Clock
from apiserver.authz import Config
from apiserver.authz.base import Attributes, Authorizer, Decision
from apiserver.authz.escalation import MASTERS, EscalationCheck
from apiserver.authz.node import NodeAuthorizer
from apiserver.authz.nodegraph import NodeGraph
from apiserver.authz.policy import Policy
from apiserver.authz.rbac import RBACAuthorizer
from apiserver.authz.reviews import Reviews
from apiserver.authz.rules import compile_rules
from apiserver.bootstrap import rbac as bootstrap
from apiserver.registry.kind import NotifyingReader

MODES = ("Node", "RBAC", "AlwaysAllow", "AlwaysDeny")
_PRIVILEGED = Decision("allow")


class _AlwaysAllow:
    async def authorize(self, a: Attributes) -> Decision:
        return _PRIVILEGED


class _AlwaysDeny:
    async def authorize(self, a: Attributes) -> Decision:
        return Decision("none", "Everything is forbidden.")


class Authorization:
    """All authorizers in order. Built by build(); see the package's docstring for what others call."""

    def __init__(self, authorizers: Sequence[Authorizer], rbac: RBACAuthorizer, node: NodeAuthorizer | None) -> None:
        self._authorizers = tuple(authorizers)
        uses_rbac = rbac in self._authorizers
        self._reviews = Reviews(self, rbac if uses_rbac else None, node)
        self.escalation = EscalationCheck(self, rbac)
        self._checks = uses_rbac

    async def authorize(self, a: Attributes) -> Decision:
        """The first opinion; without one a refusal with everybody's reasons."""
        if MASTERS in a.user.groups:
            return _PRIVILEGED
        reasons: list[str] = []
        problems: list[str] = []
        for authorizer in self._authorizers:
            decision = await authorizer.authorize(a)
            if decision.verdict != "none":
                return decision
            if decision.reason:
                reasons.append(decision.reason)
            if decision.error:
                problems.append(decision.error)
        if not reasons and not problems:
            return _NOBODY
        return Decision("none", "\n".join(reasons), "; ".join(problems))

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
        if self._checks:
            await self.escalation.role(ctx.user, kind, ctx.namespace or "", obj, old)

    async def _binding_check(self, ctx: Any, kind: str, obj: Any, old: Any) -> None:
        if self._checks:
            await self.escalation.binding(ctx.user, kind, ctx.namespace or "", obj, old)


_NOBODY = Decision("none")


def build(config: Config, reader: NotifyingReader, clock: Clock) -> Authorization:
    """See apiserver/authz/__init__.py."""
    modes = list(config.authorization_mode)
    if not modes:
        raise ValueError("at least one authorization mode must be passed")
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f'authorization-mode "{mode}" is not a valid mode')
        if modes.count(mode) > 1:
            raise ValueError(f'authorization-mode "{mode}" has mode specified more than once')
    rbac = RBACAuthorizer(Policy(reader))
    node = NodeAuthorizer(NodeGraph(reader), compile_rules(bootstrap.node_rules())) if "Node" in modes else None
    chosen: dict[str, Authorizer | None] = {
        "Node": node,
        "RBAC": rbac,
        "AlwaysAllow": _AlwaysAllow(),
        "AlwaysDeny": _AlwaysDeny(),
    }
    return Authorization([authorizer for mode in modes if (authorizer := chosen[mode]) is not None], rbac, node)
