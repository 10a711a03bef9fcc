"""Users by bootstrap token: secrets of type bootstrap.kubernetes.io/token in kube-system, for nodes that join."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from apimachinery import times
from apimachinery.clock import Clock
from apiserver.authn.base import AuthenticationError, Response
from apiserver.authn.user import User
from apiserver.registry.kind import Obj, Reader

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_TYPE = "bootstrap.kubernetes.io/token"
_DEFAULT_GROUP = "system:bootstrappers"


class BootstrapTokenAuthenticator:
    """Tokens `<id>.<secret>`, good for the API server's own audiences."""

    def __init__(self, api_audiences: Sequence[str], reader: Reader, clock: Clock) -> None:
        self._audiences = tuple(api_audiences)
        self._reader = reader
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        wanted = audiences or self._audiences
        shared = tuple(a for a in wanted if a in self._audiences)
        if wanted and not shared:
            return None
        token_id, token_secret = match.groups()
        secret = await self._reader.get("", "secrets", "kube-system", f"bootstrap-token-{token_id}")
        if secret is None or secret["metadata"].get("deletionTimestamp") or secret.get("type") != _TYPE:
            return None
        data = _texts(secret)
        if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
            return None
        if (
            data.get("token-id") != token_id
            or self._expired(data)
            or data.get("usage-bootstrap-authentication") != "true"
        ):
            return None
        return Response(User(f"system:bootstrap:{token_id}", groups=_groups(data)), shared)

    def _expired(self, data: dict[str, str]) -> bool:
        expiration = data.get("expiration")
        if not expiration:
            return False
        try:
            return times.parse_time(expiration) < self._clock.time()
        except ValueError:
            return True


def _texts(secret: Obj) -> dict[str, str]:
    out = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            out[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError):
            continue
    return out


def _groups(data: dict[str, str]) -> list[str]:
    groups = {_DEFAULT_GROUP}
    for group in filter(None, data.get("auth-extra-groups", "").split(",")):
        if not _GROUP.fullmatch(group):
            raise AuthenticationError(f"bootstrap group {group!r} is invalid")
        groups.add(group)
    return sorted(groups)
