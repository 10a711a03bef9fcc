"""Whether a request may be made: system:masters, and a chain of RBAC, Node, webhooks, ABAC.

`build` is for apiserver/server.py; the authz and impersonation filters, the review kinds and admission use what it
returns. Importing this package imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apimachinery.clock import Clock
    from apiserver.authz.service import Authorization
    from apiserver.registry.kind import NotifyingReader

__all__ = ["Config", "build"]


@dataclass(frozen=True, slots=True)
class Config:
    """Each field is kube-apiserver's flag of the same name. Files must exist and parse: anything else is an error at start."""

    authorization_mode: Sequence[str] | None = None
    # Who decides, in the order asked: Node, RBAC, Webhook, ABAC, AlwaysDeny. (default Node,RBAC without
    # --authorization-config). AlwaysAllow is refused.
    authorization_policy_file: Path | None = None
    # Policies of mode ABAC, one JSON object a line.
    authorization_webhook_config_file: Path | None = None
    # Kubeconfig of the server that mode Webhook asks.
    authorization_webhook_version: str = ""
    # Version of the SubjectAccessReview that is sent to it and expected back: v1 or v1beta1. (default v1beta1)
    authorization_webhook_cache_authorized_ttl: float | None = None
    # Seconds for which what it allowed is remembered; 0: not at all. (default 5m)
    authorization_webhook_cache_unauthorized_ttl: float | None = None
    # Seconds for which what it did not allow is remembered; 0: not at all. (default 30s)
    authorization_config: Path | None = None
    # AuthorizationConfiguration (apiserver.config.k8s.io/v1): the chain of authorizers, with any number of webhooks and the
    # conditions under which they are asked. Read again when it changes. Not beside --authorization-mode and
    # --authorization-webhook-*.

    @property
    def modes(self) -> Sequence[str]:
        return ("Node", "RBAC") if self.authorization_mode is None else self.authorization_mode

    def flags_set(self) -> bool:
        """Whether anything was said that a configuration file says instead."""
        told = (
            self.authorization_mode,
            self.authorization_webhook_config_file,
            self.authorization_webhook_cache_authorized_ttl,
            self.authorization_webhook_cache_unauthorized_ttl,
        )
        return bool(self.authorization_webhook_version) or any(value is not None for value in told)


def build(config: Config, reader: NotifyingReader, clock: Clock) -> Authorization:
    """Put the authorizers together in the configured order, behind system:masters.

    Raises ConfigError (a ValueError) for what cannot be used. The result:

        await authorization.authorize(authz.base.Attributes(...)) -> Decision
        authorization.reloading     None, or what follows the configuration's file: `await reloading.run()`
        await authorization.close() ends what authorizers hold open
        authorization.services()    entries for ctx.services: review answers and escalation checks, see service.py
    """
    from apiserver.authz import service

    return service.build(config, reader, clock)
