"""POST serviceaccounts/<name>/token: a TokenRequest, answered with a signed token."""

from __future__ import annotations

from apiserver.authn.issuer import DEFAULT_SECONDS
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
    posted = await body.read(scope, request, _EXPECTED, preconditions=True)
    spec = posted.obj.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = DEFAULT_SECONDS
    posted.obj["status"] = {"token": "", "expirationTimestamp": None}
    if request.audit is not None:
        request.audit.request_object(posted.obj)
    posted = body.own(scope, request, posted, _EXPECTED)
    a = body.attributes(scope, request, posted, request.info.name)
    admission = scope.store.environment.admission
    await admission.admit(a)
    assert a.obj is not None

    async def validate() -> None:
        await admission.validate(a)

    answer = await issuer.token_request(
        request.info.namespace,
        request.info.name,
        a.obj,
        warnings=request.warnings,
        annotations=request.annotations,
        validate=validate,
    )
    return scope.reply_object(posted.form, answer, 201)


ENDPOINTS = {"POST": request_token}
