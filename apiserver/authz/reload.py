"""Follows the file of --authorization-config: what it says is in force within a second; what cannot be used changes nothing.

Authorizers other than webhooks that were there at the start must stay, and others cannot be added.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from apimachinery import filewatch
from apimachinery.clock import Clock
from apiserver.authz import configuration
from apiserver.authz.configuration import WEBHOOK, Authorizer
from apiserver.authz.metrics import AuthorizationMetrics
from apiserver.configscheme import ConfigError

log = logging.getLogger(__name__)

_SECONDS = 1.0


class Chain(Protocol):
    """What is told of a new configuration."""

    metrics: AuthorizationMetrics

    async def replace(self, stated: Sequence[Authorizer]) -> None: ...


class Reloading:
    """run() it for as long as the server serves."""

    def __init__(self, chain: Chain, path: Path, raw: bytes, stated: Sequence[Authorizer], clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._path = path
        self._file = filewatch.WatchedFile(path, raw)
        self._required = tuple({authorizer.type for authorizer in stated} - {WEBHOOK})
        chain.metrics.config.applied(raw)

    async def run(self) -> None:
        while True:
            await self._clock.sleep(_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Look once."""
        try:
            if not await self._file.changed():
                return
            raw = self._file.content
            log.info("%s has changed", self._path)
            # In a thread: there may be many expressions to compile.
            await self._chain.replace(await asyncio.to_thread(configuration.load, raw, self._required))
        except (ConfigError, OSError) as error:
            log.error("reloading authorization config: %s", error)
            self._chain.metrics.config.reloaded(self._clock.time(), well=False)
            return
        log.info("the authorizers of %s are in force", self._path)
        self._chain.metrics.config.reloaded(self._clock.time(), well=True)
        self._chain.metrics.config.applied(raw)
