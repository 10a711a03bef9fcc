"""Each controller as its own service account: who did what stays visible, and each may do only what its role allows.

Called by the manager. The manager's own identity creates the service accounts in kube-system and asks for their tokens
(TokenRequest), as the original does with --use-service-account-credentials.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from client.api import Client
from client.resources import SERVICE_ACCOUNTS

log = logging.getLogger(__name__)

Obj = dict[str, Any]

NAMESPACE = "kube-system"
LIFETIME = 3600  # seconds a token is asked for
_RENEW_AT = 0.8  # share of its life after which a token is replaced


class ServiceAccountToken:
    """A token of one service account, asked for when needed and again in good time."""

    def __init__(self, manager: Client, name: str, clock: Clock) -> None:
        self._manager = manager
        self._name = name
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        if self._clock.time() >= self._renew_at:
            async with self._asking:
                if self._clock.time() >= self._renew_at:
                    await self._ask()
        return self._token

    def rejected(self) -> bool:
        """The account was deleted and made again, or the signing key changed: ask anew."""
        self._renew_at = 0.0
        return True

    async def _ask(self) -> None:
        request: Obj = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFETIME},
        }
        try:
            answer = await self._request(request)
        except ApiError as error:
            if error.code != 404:
                raise
            await self._create()
            answer = await self._request(request)
        status = answer["status"]
        now = self._clock.time()
        self._token = status["token"]
        self._renew_at = now + (times.parse_time(status["expirationTimestamp"]) - now) * _RENEW_AT

    async def _request(self, request: Obj) -> Obj:
        return await self._manager.create(SERVICE_ACCOUNTS, request, NAMESPACE, name=self._name, subresource="token")

    async def _create(self) -> None:
        account = {"metadata": {"name": self._name, "namespace": NAMESPACE}}
        try:
            await self._manager.create(SERVICE_ACCOUNTS, account)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
