"""All issuers of a configuration, and how the file's new content takes the place of the old.

A new configuration is taken when it is valid, keeps the file's anonymous section, and all of its issuers could be discovered
within a minute; else the old one stays. The old issuers serve requests under way for another minute.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from apimachinery import clock as clocks
from apimachinery import field, filewatch
from apimachinery.clock import Clock
from apiserver.authn import jose
from apiserver.authn.base import Response
from apiserver.authn.metrics import AuthenticationMetrics, IssuerMetrics
from apiserver.authn.oidc import configuration as configurations
from apiserver.authn.oidc import validation
from apiserver.authn.oidc.authenticator import JwtAuthenticator
from apiserver.authn.oidc.configuration import Configuration
from apiserver.configscheme import ConfigError, aggregate

log = logging.getLogger(__name__)

_GOOGLE, _GOOGLE_OF_OLD = "https://accounts.google.com", "accounts.google.com"
_PATIENCE = 60.0  # seconds for the issuers of a new configuration
_LINGER = 60.0  # seconds that those of an old one live on
_RETRY = 60.0  # seconds until a configuration whose issuers could not be discovered is tried again


class _Issuers:
    """The issuers of one configuration, and the tasks they have started."""

    def __init__(
        self, configuration: Configuration, disallowed: Sequence[str], clock: Clock, metrics: AuthenticationMetrics
    ) -> None:
        """ConfigError for what only shows when it is to be used."""
        self.by_url: dict[str, JwtAuthenticator] = {}
        self._metrics: dict[str, IssuerMetrics] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        for jwt in configuration.jwt:
            compiled, problems = validation.compile_jwt(jwt, "", disallowed)
            if problems:
                raise ConfigError(aggregate(problems))
            if jwt.issuer.egress_selector_type:
                kind = field.go_quote(jwt.issuer.egress_selector_type)
                raise ConfigError(f"oidc: egress lookup required with egress selector type {kind}")
            unknown = set(configuration.algorithms) - set(configurations.ALGORITHMS)
            if unknown:
                raise ConfigError(f"oidc: unsupported signing alg: {field.go_quote(sorted(unknown)[0])}")
            counted = self._metrics[jwt.issuer.url] = metrics.issuer(jwt.issuer.url)
            try:
                self.by_url[jwt.issuer.url] = JwtAuthenticator(
                    jwt, compiled, configuration.algorithms, clock, self._spawn, counted
                )
            except (ssl.SSLError, ValueError) as error:
                issuer = field.go_quote(jwt.issuer.url)
                raise ConfigError(f"the certificate authority of issuer {issuer} cannot be used: {error}") from None

    @property
    def urls(self) -> set[str]:
        return set(self._metrics)

    @property
    def problem(self) -> str:
        """What keeps an issuer from being usable; "" when all are."""
        problems = [one.problem for one in self.by_url.values() if one.problem]
        return problems[0] if len(problems) < 2 else "[" + ", ".join(problems) + "]" if problems else ""

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def initialise(self) -> None:
        await asyncio.gather(*(one.initialise() for one in self.by_url.values()))

    async def close(self, still_there: set[str]) -> None:
        for url, counted in self._metrics.items():
            counted.stop(forget=url not in still_there)
        for task in list(self._tasks):
            task.cancel()
        for one in self.by_url.values():
            await one.close()


class JwtAuthenticators:
    """The token authenticator over all issuers. run() discovers them and follows the file."""

    def __init__(
        self,
        configuration: Configuration,
        raw: bytes | None,
        *,
        path: Path | None,
        disallowed: Sequence[str],
        api_audiences: Sequence[str],
        clock: Clock,
        metrics: AuthenticationMetrics,
    ) -> None:
        """raw: the file's bytes, None when flags configure it."""
        self._configuration = configuration
        self._path = path
        self._raw = raw
        self._disallowed = tuple(disallowed)
        self._audiences = tuple(api_audiences)
        self._clock = clock
        self._metrics = metrics
        self.changed: Callable[[], None] = lambda: None  # called when another configuration is in force
        self.initialised = asyncio.Event()  # all issuers of the first configuration have been discovered
        self._issuers = _Issuers(configuration, disallowed, clock, metrics)
        if raw is not None:
            metrics.configured(raw)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        shared = tuple(a for a in audiences if a in self._audiences) if audiences else self._audiences
        if self._audiences and not shared:
            return None
        issuer = jose.peek_issuer(token)
        if issuer is None:
            return None
        authenticator = self._issuers.by_url.get(_GOOGLE if issuer == _GOOGLE_OF_OLD else issuer)
        return None if authenticator is None else Response(await authenticator.authenticate_token(token), shared)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._initialise(self._issuers), name="issuers")
                if self._path is not None and self._raw is not None:
                    await self._follow(group, filewatch.WatchedFile(self._path, self._raw))
                await asyncio.Event().wait()
        finally:
            await self._issuers.close(self._issuers.urls)

    async def _initialise(self, issuers: _Issuers) -> None:
        await issuers.initialise()
        self.initialised.set()

    async def _follow(self, group: asyncio.TaskGroup, file: filewatch.WatchedFile) -> None:
        wait = 0.0
        pending = False
        while True:
            await self._clock.sleep(max(wait, filewatch.SECONDS))
            wait = 0.0
            try:
                if not await file.changed() and not pending:
                    continue
            except OSError as error:
                log.error("failed to read authentication config file: %s", error)
                self._metrics.config_read(None)
                wait = _RETRY
                continue
            pending = not await self._take(group, file.content)
            wait = _RETRY if pending else 0.0

    async def _take(self, group: asyncio.TaskGroup, raw: bytes) -> bool:
        """Put a new configuration in force, if it is good. False when it may become so."""
        if raw == self._raw:
            return True
        try:
            configuration, issuers = await asyncio.to_thread(self._built, raw)
        except ConfigError as error:
            log.error("failed to load authentication config, the old one stays: %s", error)
            self._metrics.config_read(None)
            return True
        try:
            await clocks.wait_for(self._clock, issuers.initialise(), _PATIENCE)
        except TimeoutError:
            log.error("failed to update authentication config, the old one stays: %s", issuers.problem)
            self._metrics.config_read(None)
            await issuers.close(self._issuers.urls)
            return False
        old, self._issuers = self._issuers, issuers
        self._configuration, self._raw = configuration, raw
        self.changed()
        self._metrics.config_read(raw)
        log.info("reloaded authentication config")
        group.create_task(self._retire(old), name="old-issuers")
        return True

    def _built(self, raw: bytes) -> tuple[Configuration, _Issuers]:
        """The configuration in a file's bytes, and its issuers. Runs in a thread: there may be many expressions to compile."""
        configuration = configurations.parse(raw)
        problems = validation.check(configuration, self._disallowed)
        if configuration.anonymous != self._configuration.anonymous:
            problems.append(field.forbidden("anonymous", "changed from initial configuration file"))
        if problems:
            raise ConfigError(aggregate(problems))
        return configuration, _Issuers(configuration, self._disallowed, self._clock, self._metrics)

    async def _retire(self, old: _Issuers) -> None:
        await self._clock.sleep(_LINGER)
        await old.close(self._issuers.urls)
