"""Who a request comes from: certificates, tokens, front-proxy headers, or nobody in particular.

`build` is for apiserver/server.py; the authn filter and the review kinds use what it returns. Importing this package
imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiserver.authn.config import Config

if TYPE_CHECKING:
    from apimachinery.clock import Clock
    from apiserver.authn.service import Authentication
    from apiserver.registry.kind import NotifyingReader, Writer

__all__ = ["Config", "build"]


def build(config: Config, reader: NotifyingReader, clock: Clock, writer: Writer | None = None) -> Authentication:
    """Read keys, certificates and the token file, and put the authenticators together in the original's order.

    writer: marks tokens of old as used. Raises ValueError (with the file's name) for files that are missing or do not parse,
    and for flags that contradict each other. The result:

        await authentication.identify(Credentials(headers, peer_chain)) -> (User, Response)     401 ApiError when refused
        authentication.work, close()    what must run while the server serves, by name; what ends it
        authentication.metrics.all()    for /metrics
        authentication.services()    entries for ctx.services: token-review, self-subject-review, token-issuer
        authentication.jwks()    authentication.openid_configuration()    documents as dicts, None without a signing key
    """
    from apiserver.authn import assembly

    return assembly.build(config, reader, clock, writer)
