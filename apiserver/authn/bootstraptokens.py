"""Users by bootstrap token: secrets of type bootstrap.kubernetes.io/token in kube-system, for nodes that join."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from apimachinery import bootstraptokens
from apimachinery.clock import Clock
from apiserver.authn.base import AuthenticationError, Response
from apiserver.authn.user import User
from apiserver.registry.kind import Reader


class BootstrapTokenAuthenticator:
    """Tokens `<id>.<secret>`, good for the API server's own audiences."""

    def __init__(self, api_audiences: Sequence[str], reader: Reader, clock: Clock) -> None:
        self._audiences = tuple(api_audiences)
        self._reader = reader
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        parts = bootstraptokens.split(token)
        if parts is None:
            return None
        wanted = audiences or self._audiences
        shared = tuple(a for a in wanted if a in self._audiences)
        if wanted and not shared:
            return None
        token_id, token_secret = parts
        secret = await self._reader.get(
            "", "secrets", bootstraptokens.SECRET_NAMESPACE, bootstraptokens.SECRET_PREFIX + token_id
        )
        if (
            secret is None
            or secret["metadata"].get("deletionTimestamp")
            or secret.get("type") != bootstraptokens.SECRET_TYPE
        ):
            return None
        data = bootstraptokens.texts(secret)
        if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
            return None
        if (
            data.get("token-id") != token_id
            or bootstraptokens.expired(data, self._clock.time())
            or data.get("usage-bootstrap-authentication") != "true"
        ):
            return None
        return Response(User(f"system:bootstrap:{token_id}", groups=_groups(data)), shared)


def _groups(data: dict[str, str]) -> list[str]:
    groups = {bootstraptokens.DEFAULT_GROUP}
    for group in filter(None, data.get("auth-extra-groups", "").split(",")):
        if not bootstraptokens.is_group(group):
            raise AuthenticationError(f"bootstrap group {group!r} is invalid")
        groups.add(group)
    return sorted(groups)
