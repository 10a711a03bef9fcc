"""Whether a request may be made: RBAC, the Node authorizer, and system:masters.

`build` is for apiserver/server.py; the authz and impersonation filters, the review kinds and admission use what it
returns. Importing this package imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apimachinery.clock import Clock
    from apiserver.authz.service import Authorization
    from apiserver.registry.kind import NotifyingReader

__all__ = ["Config", "build"]


@dataclass(frozen=True, slots=True)
class Config:
    """Each field is kube-apiserver's flag of the same name."""

    authorization_mode: Sequence[str] = ("Node", "RBAC")
    # In the order asked: Node, RBAC, AlwaysAllow, AlwaysDeny. An unknown or repeated name is an error.


def build(config: Config, reader: NotifyingReader, clock: Clock) -> Authorization:
    """Put the authorizers together in the configured order, behind system:masters.

    Raises ValueError for unknown modes. The result:

        await authorization.authorize(authz.base.Attributes(...)) -> Decision
        authorization.services()    entries for ctx.services: review answers and escalation checks, see service.py
    """
    from apiserver.authz import service

    return service.build(config, reader, clock)
