"""Who sent the request: sets request.user and request.authenticated, or raises 401."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apimachinery.errors import ApiError
from apiserver.authn import bearer
from apiserver.authn.base import Credentials
from serving import tls

if TYPE_CHECKING:
    from apiserver.authn.service import Authentication
    from apiserver.filters.audit import AuditFilter
    from apiserver.filters.base import Proceed, Request
    from serving.reply import Reply


class AuthenticationFilter:
    """Asks authentication once per request."""

    def __init__(self, authentication: Authentication, audit: AuditFilter | None = None) -> None:
        self._authentication = authentication
        self._audit = audit

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        credentials = Credentials(
            request.headers, request.peer_certificate(), lambda: _intermediates(request), request.info.path
        )
        try:
            user, response = await self._authentication.identify(credentials)
            request.user = request.authenticated = user
            if response is None:
                _warn(request)
            elif response.annotations or response.warnings:
                request.annotations.update(response.annotations or {})
                request.warnings.extend(response.warnings)
        except ApiError as error:
            _warn(request)
            if self._audit is not None:
                await self._audit.unauthenticated(request, error)
            raise
        return await proceed(request)


def _warn(request: Request) -> None:
    """Tell a client without identity why its token was not seen, if that is easily said."""
    if bearer.has_extra_space(request.headers):
        request.warnings.append(bearer.EXTRA_SPACE)


def _intermediates(request: Request) -> Sequence[bytes]:
    """The certificates that the client sent after its own, in DER."""
    transport = request.http.transport
    return tls.peer_chain(transport.get_extra_info("ssl_object") if transport is not None else None)[1:]
