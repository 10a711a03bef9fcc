"""POST serviceaccounts/<name>/token: a TokenRequest, answered with a signed token."""

from __future__ import annotations

from apiserver.filters.base import Request
from apiserver.filters.errors import route_not_found
from apiserver.handlers.scope import Expected, Scope
from apiserver.handlers.subresources import body
from serving.reply import Reply

_EXPECTED = Expected("TokenRequest", "authentication.k8s.io", "v1")


async def request_token(scope: Scope, request: Request) -> Reply:
    """201 with the token in status; 404 on a server without a signing key."""
    issuer = scope.server.services.get("token-issuer")
    if issuer is None:
        raise route_not_found()
    posted = await body.read(scope, request, _EXPECTED)
    obj = await body.admit(scope, request, posted, request.info.name)
    answer = await issuer.token_request(request.info.namespace, request.info.name, obj, request.warnings)
    return scope.reply_object(posted.form, answer, 201)


ENDPOINTS = {"POST": request_token}
