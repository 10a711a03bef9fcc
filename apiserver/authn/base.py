"""What an authenticator is, what it is told of a request, and what it answers.

    class Authenticator:                       one file each, listed in apiserver/authn/__init__.py
        async def authenticate(self, credentials) -> Response | None
None means "these are not my credentials"; AuthenticationError means "they are, and they are bad". Neither is told to
the client, who only ever sees 401 Unauthorized: the text goes to the log and never contains a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from multidict import MultiMapping

from apimachinery.field import go_quote
from apiserver.authn.user import User


class AuthenticationError(Exception):
    """Credentials were recognised and refused. The text names no secret."""


Headers = MultiMapping[str]  # request headers: case-insensitive, several values per name


def _no_more() -> Sequence[bytes]:
    return ()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brought to prove who it is from.

    headers: of the request. path: of the request, decoded. certificate: the client's own, in DER; TLS has proved that the client
    holds its key. None without one. intermediates: the further certificates that it sent, asked for only when the first is not
    yet known.
    """

    headers: Headers
    certificate: bytes | None = None
    intermediates: Callable[[], Sequence[bytes]] = _no_more
    path: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """An authenticated identity and the audiences (of those asked for) that the credential is good for.

    audiences: () when the credential says nothing of audiences. warnings, annotations: what the client and the audit are told
    of the credential.
    """

    user: User
    audiences: Sequence[str] = ()
    warnings: Sequence[str] = ()
    annotations: Mapping[str, str] | None = None


class RequestAuthenticator(Protocol):
    async def authenticate(self, credentials: Credentials) -> Response | None: ...


class TokenAuthenticator(Protocol):
    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        """audiences: those the caller accepts; empty for the API server's own."""


def quoted(texts: Sequence[str]) -> str:
    """Several texts as the original's errors list them."""
    return "[" + " ".join(map(go_quote, texts)) + "]"


CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
