"""The documents by which others verify our service-account tokens: issuer discovery and key set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import orjson

from apiserver.filters.base import Request
from apiserver.filters.errors import page_not_found
from serving.reply import Reply

if TYPE_CHECKING:
    from apiserver.authn.service import Authentication

_CACHE = ("Cache-Control", "public, max-age=3600")


def paths(
    authentication: Authentication, address: Callable[[], str]
) -> Iterable[tuple[str, Callable[[Request], Awaitable[Reply]]]]:
    """Path and handler of both; 404 where the server signs no tokens."""

    async def configuration(request: Request) -> Reply:
        document = authentication.openid_configuration(address())
        if document is None:
            raise page_not_found()
        return Reply(200, orjson.dumps(document), headers=[_CACHE])

    async def keys(request: Request) -> Reply:
        document = authentication.jwks()
        if document is None:
            raise page_not_found()
        return Reply(200, orjson.dumps(document), "application/jwk-set+json", [_CACHE])

    return (("/.well-known/openid-configuration", configuration), ("/openid/v1/jwks", keys))
