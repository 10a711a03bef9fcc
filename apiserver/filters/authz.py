"""May this user do this: passes the request on, or raises 403 in the original's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from apimachinery import selectors
from apimachinery.field import go_quote
from apiserver.authz import base
from apiserver.filters.errors import PlainText

if TYPE_CHECKING:
    from apimachinery.clock import Clock
    from apiserver.authz.base import Authorizer
    from apiserver.filters.base import Proceed, Request
    from apiserver.requestinfo import RequestInfo
    from serving.metrics import Histogram
    from serving.reply import Reply

T = TypeVar("T")


_ATTRIBUTES = 4096  # kept questions: clients ask the same again and again, and users and targets are shared objects


def attributes(request: Request) -> base.Attributes:
    """The request as authorisation sees it. Selectors that do not parse are as good as absent, as in the original."""
    info, user = request.info, request.user
    if request.raw_query:
        return _attributes(request)  # parsed anew for every request: nothing to find again
    key = (id(user), id(info))
    known = _known.get(key)
    if known is not None and known[0] is info and known[1].user is user:
        return known[1]
    made = _attributes(request)
    if len(_known) >= _ATTRIBUTES:
        _known.clear()
    _known[key] = (info, made)
    return made


_known: dict[tuple[int, int], tuple[RequestInfo, base.Attributes]] = {}


def _attributes(request: Request) -> base.Attributes:
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


NO_SNIFFING = ("X-Content-Type-Options", "nosniff")  # of refusals, whose texts hold what clients sent


_ALLOWED, _DENIED, _NO_OPINION, _ERROR = ("allowed",), ("denied",), ("no-opinion",), ("error",)


class AuthorizationFilter:
    """Asks the authorizers once per request."""

    def __init__(self, authorizer: Authorizer, seconds: Histogram, clock: Clock) -> None:
        """seconds: how long it took, by what was said."""
        self._authorizer = authorizer
        self._observe = seconds.observe
        self._now = clock.monotonic

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        asked = attributes(request)
        begun = self._now()
        decision = await self._authorizer.authorize(asked)
        took = self._now() - begun
        if decision.allowed:
            self._observe(took, _ALLOWED)
            request.annotations["authorization.k8s.io/decision"] = "allow"
            request.annotations["authorization.k8s.io/reason"] = decision.reason
            return await proceed(request)
        if decision.error:
            self._observe(took, _ERROR)
            request.annotations["authorization.k8s.io/reason"] = "internal error"
            raise _undecided(request, decision.error)
        self._observe(took, _DENIED if decision.verdict == "deny" else _NO_OPINION)
        request.annotations["authorization.k8s.io/decision"] = "forbid"
        request.annotations["authorization.k8s.io/reason"] = decision.reason
        request.reply_headers = (*request.reply_headers, NO_SNIFFING)
        raise base.forbidden(asked, decision.reason)


def _undecided(request: Request, problem: str) -> PlainText:
    """Nobody allowed it, and somebody could not tell: in plain text, as the original answers that."""
    target = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
    return PlainText(500, base.sanitize(f"Internal Server Error: {go_quote(target)}: {problem}\n"))
