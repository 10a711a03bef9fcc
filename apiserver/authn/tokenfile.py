"""Static tokens: --token-auth-file, read once at start.

Tokens are looked up by a keyed hash, so that the time a look-up takes says nothing of how much of a guess was right.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

from apiserver.authn.base import Response
from apiserver.authn.metrics import HIT, AuthenticationMetrics
from apiserver.authn.user import User

log = logging.getLogger(__name__)


def read_csv(path: Path) -> dict[str, User]:
    """Token -> user. Raises ValueError for files that cannot be read or have records of fewer than three columns."""
    users: dict[str, User] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, record in enumerate(csv.reader(file, strict=True), 1):
                if not record:
                    continue
                if len(record) < 3:
                    raise ValueError(
                        f"token file '{path}' must have at least 3 columns (token, user name, user uid), "
                        f"found {len(record)}"
                    )
                token, name, uid = (field.lstrip(" ") for field in record[:3])
                if not token:
                    log.warning("empty token has been found in token file %r, record number %d", str(path), number)
                    continue
                if token in users:
                    log.warning("duplicate token has been found in token file %r, record number %d", str(path), number)
                groups = tuple(record[3].split(",")) if len(record) > 3 else ()
                users[token] = User(name, uid, groups)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read token file {str(path)!r}: {error}") from error
    return users


class TokenFileAuthenticator:
    """Users by static token. Good for the API server's own audiences only."""

    def __init__(self, users: dict[str, User], api_audiences: Sequence[str], metrics: AuthenticationMetrics) -> None:
        self._key = secrets.token_bytes(32)
        self._users = {self._digest(token): user for token, user in users.items()}
        self._audiences = tuple(api_audiences)
        self._metrics = metrics
        self._usual = {digest: Response(user, self._audiences) for digest, user in self._users.items()}

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "surrogateescape"), key=self._key, digest_size=32).digest()

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        response = self._usual.get(self._digest(token))
        if response is not None:
            self._metrics.cache_requests.add(HIT)
        if response is None or not audiences or not self._audiences:
            return response
        shared = tuple(a for a in audiences if a in self._audiences)
        return Response(response.user, shared) if shared else None
