"""Users by a server that is asked: --authentication-token-webhook-config-file. A TokenReview goes there, its answer says who.

What it answers is remembered by tokencache.py; apiserver/reviewclient.py knows how to ask, and to ask again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apimachinery.clock import Clock
from apiserver.authn.base import AuthenticationError, Response
from apiserver.authn.user import User
from apiserver.configscheme import ConfigError
from apiserver.reviewclient import ReviewClient, ReviewFailed

log = logging.getLogger(__name__)

_GROUP = "authentication.k8s.io"
VERSIONS = ("v1", "v1beta1")


class WebhookAuthenticator:
    """Asks one server."""

    def __init__(self, path: Path, version: str, api_audiences: Sequence[str], clock: Clock) -> None:
        """ConfigError for a version that is none, or a kubeconfig that cannot be used."""
        if version not in VERSIONS:
            known = ", ".join(f'"{known}"' for known in VERSIONS)
            text = f'unsupported authentication webhook version "{version}", supported versions are {known}'
            raise ConfigError(text)
        self._audiences = tuple(api_audiences)
        self._client = ReviewClient(
            path, f"{_GROUP}/{version}", "TokenReview", clock, status={"user": {}}, type_of=f"{_GROUP}/v1"
        )

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        wanted = tuple(audiences) or self._audiences
        spec: dict[str, Any] = {"token": token}
        if wanted:
            spec["audiences"] = list(wanted)
        try:
            status = await self._client.ask(spec)
        except ReviewFailed as error:
            log.error("Failed to make webhook authenticator request: %s", error)
            raise AuthenticationError(str(error)) from error
        good_for: tuple[str, ...] = ()
        if wanted:
            told = status.get("audiences") or self._audiences
            good_for = tuple(audience for audience in wanted if audience in told)
            if not good_for:
                return None
        if not status.get("authenticated"):
            if problem := status.get("error"):
                raise AuthenticationError(problem)
            return None
        return Response(_user(status.get("user") or {}), good_for)

    async def close(self) -> None:
        await self._client.close()


def _user(told: dict[str, Any]) -> User:
    extra = {key: tuple(values or ()) for key, values in (told.get("extra") or {}).items()}
    return User(told.get("username") or "", told.get("uid") or "", tuple(told.get("groups") or ()), extra)
