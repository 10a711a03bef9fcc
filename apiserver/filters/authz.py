"""May this user do this: passes the request on, or raises 403 in the original's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from apimachinery import errors, selectors
from apiserver.authz import base

if TYPE_CHECKING:
    from apiserver.authz.base import Authorizer
    from apiserver.filters.base import Proceed, Request
    from serving.reply import Reply

T = TypeVar("T")


def attributes(request: Request) -> base.Attributes:
    """The request as authorisation sees it. Selectors that do not parse are as good as absent, as in the original."""
    info = request.info
    if not info.is_resource:
        return base.Attributes(request.user, info.verb, resource_request=False, path=info.path)
    return base.Attributes(
        user=request.user,
        verb=info.verb,
        group=info.group,
        version=info.version,
        plural=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
        path=info.path,
        field_selector=_parsed(selectors.parse_fields, info.field_selector),
        label_selector=_parsed(selectors.parse_labels, info.label_selector),
    )


def _parsed(parse: Callable[[str], T], text: str) -> T | None:
    if not text:
        return None
    try:
        return parse(text)
    except selectors.SelectorError:
        return None


class AuthorizationFilter:
    """Asks the authorizers once per request."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        asked = attributes(request)
        decision = await self._authorizer.authorize(asked)
        if decision.allowed:
            request.annotations["authorization.k8s.io/decision"] = "allow"
            request.annotations["authorization.k8s.io/reason"] = decision.reason
            return await proceed(request)
        request.annotations["authorization.k8s.io/decision"] = "forbid"
        request.annotations["authorization.k8s.io/reason"] = decision.reason
        if decision.error:
            raise errors.internal_error(decision.error)
        raise base.forbidden(asked, decision.reason)
