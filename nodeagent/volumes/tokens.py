"""Service-account tokens of pods: asked of the API, kept, and replaced before they expire.

Called by projected volumes. A token is replaced when 80 percent of its life is over or after a day, whichever is first,
with a jitter, as the original's token manager does; an old one is kept in use while the API cannot be reached.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from client.api import Client, Unreachable
from client.resources import SERVICE_ACCOUNTS
from nodeagent.volumes.content import VolumeError

log = logging.getLogger(__name__)

Obj = dict[str, Any]

_MAX_AGE, _JITTER = 24 * 3600.0, 10.0
_DEFAULT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    expires: float
    refresh: float


class Tokens:
    """Tokens by pod and request."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[tuple[str, str, str, int], _Token] = {}

    async def get(self, pod: Obj, source: Obj) -> str:
        """A valid token for the pod's service account. VolumeError when there is none to be had."""
        uid = pod["metadata"]["uid"]
        seconds = int(source.get("expirationSeconds") or _DEFAULT_SECONDS)
        key = (uid, pod["spec"].get("serviceAccountName") or "default", source.get("audience") or "", seconds)
        known = self._known.get(key)
        now = self._clock.time()
        if known is not None and now < known.refresh:
            return known.text
        try:
            token = await self._request(pod, source, seconds)
        except (ApiError, Unreachable, TimeoutError) as error:
            if known is not None and now < known.expires:
                log.warning("keeping the token of pod %s: %s", uid, error)
                return known.text
            raise VolumeError(f"failed to fetch token: {error}") from None
        self._known[key] = token
        return token.text

    async def _request(self, pod: Obj, source: Obj, seconds: int) -> _Token:
        metadata = pod["metadata"]
        spec: Obj = {
            "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]},
        }
        if source.get("audience"):
            spec["audiences"] = [source["audience"]]
        answer = await self._client.create(
            SERVICE_ACCOUNTS,
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec},
            metadata["namespace"],
            name=pod["spec"].get("serviceAccountName") or "default",
            subresource="token",
        )
        expires = times.parse_time(answer["status"]["expirationTimestamp"])
        now = self._clock.time()
        life = expires - now
        refresh = min(now + life * 0.8, now + _MAX_AGE) - random.random() * min(_JITTER, life * 0.05)
        return _Token(answer["status"]["token"], expires, refresh)

    def next_refresh(self, uid: str) -> float | None:
        """When (seconds since the epoch) the first of the pod's tokens has to be replaced."""
        return min((token.refresh for key, token in self._known.items() if key[0] == uid), default=None)

    def forget(self, uid: str) -> None:
        for key in [key for key in self._known if key[0] == uid]:
            del self._known[key]
