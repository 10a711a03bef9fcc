"""Bearer tokens: where a request carries one, and the authenticators that may know it."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.authn import jose
from apiserver.authn.base import AuthenticationError, Credentials, Headers, Response, TokenAuthenticator

_INVALID = "invalid bearer token"
EXTRA_SPACE = "the provided Authorization header contains extra space before the bearer token, and is ignored"
_SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."


def from_header(headers: Headers) -> str:
    """The token of an Authorization header; "" when it has none or is of another scheme."""
    value = (headers.get("Authorization") or "").strip()
    if not value:
        return ""
    parts = value.split(" ", 2)
    if len(parts) < 2 or parts[0].lower() != "bearer":
        return ""
    return parts[1]


def has_extra_space(headers: Headers) -> bool:
    """Whether an Authorization header holds a token that is not seen because of a second space before it."""
    parts = (headers.get("Authorization") or "").strip().split(" ", 2)
    return len(parts) == 3 and parts[0].lower() == "bearer" and not parts[1]


def from_websocket(headers: Headers) -> str:
    """The token that a browser's WebSocket carries as a subprotocol; "" without one."""
    if (
        "upgrade" not in (headers.get("Connection") or "").lower()
        or (headers.get("Upgrade") or "").lower() != "websocket"
    ):
        return ""
    protocols = [p.strip() for value in headers.getall("Sec-WebSocket-Protocol", []) for p in value.split(",")]
    tokens = [p[len(_SUBPROTOCOL) :] for p in protocols if p.startswith(_SUBPROTOCOL)]
    if not tokens:
        return ""
    if len(tokens) > 1:
        raise AuthenticationError("multiple base64.bearer.authorization tokens specified")
    if len(protocols) == 1:
        raise AuthenticationError("missing additional subprotocol")
    try:
        return jose.decode(tokens[0]).decode()
    except (jose.BadToken, UnicodeDecodeError) as error:
        raise AuthenticationError("invalid base64.bearer.authorization token encoding") from error


class BearerAuthenticator:
    """Asks each token authenticator in turn; a token that nobody knows is an error, never anonymous."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, credentials: Credentials) -> Response | None:
        token = from_header(credentials.headers) or from_websocket(credentials.headers)
        if not token:
            return None
        return await self.authenticate_token(token, ())

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response:
        """The token's user. Raises AuthenticationError with everyone's reasons when there is none."""
        problems = [_INVALID]
        for authenticator in self._authenticators:
            try:
                response = await authenticator.authenticate_token(token, audiences)
            except AuthenticationError as error:
                problems.append(str(error))
                continue
            if response is not None:
                return response
        unique = list(dict.fromkeys(problems))
        raise AuthenticationError("[" + ", ".join(unique) + "]" if len(unique) > 1 else _INVALID)
