"""What an authenticator is, what it is told of a request, and what it answers.

    class Authenticator:                       one file each, listed in apiserver/authn/__init__.py
        async def authenticate(self, credentials) -> Response | None
None means "these are not my credentials"; AuthenticationError means "they are, and they are bad". Neither is told to the
client, who only ever sees 401 Unauthorized: the text goes to the log and never contains a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from apiserver.authn.user import User


class AuthenticationError(Exception):
    """Credentials were recognised and refused. The text names no secret."""


class Headers(Protocol):
    """Request headers, case-insensitive, several values per name (multidict.CIMultiDictProxy)."""

    def get(self, key: str, default: str = ...) -> str | None: ...

    def getall(self, key: str, default: list[str] = ...) -> list[str]: ...

    def keys(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brought to prove who it is from.

    headers: of the request. peer_chain: the client's certificates in DER, leaf first, as it sent them; empty without one.
    """

    headers: Headers
    peer_chain: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """An authenticated identity and the audiences (of those asked for) that the credential is good for.

    audiences: None when the credential says nothing of audiences. expires: wall time until which the answer may be
    cached, or None.
    """

    user: User
    audiences: Sequence[str] | None = None
    expires: float | None = None


class RequestAuthenticator(Protocol):
    async def authenticate(self, credentials: Credentials) -> Response | None: ...


class TokenAuthenticator(Protocol):
    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        """audiences: those the caller accepts; empty for the API server's own."""


NO_EXTRA: Mapping[str, Sequence[str]] = {}
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
