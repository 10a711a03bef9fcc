"""Encryption at rest: EncryptionConfiguration at work between the watch cache and the storage engine.

configuration.py   the file, read and checked
ciphers.py         aescbc, aesgcm, secretbox, and seeds
kms.py             key management services (KMS v2)
providers.py       which of a rule's providers writes, and which reads
backend.py         the engine before the engine
here               Encryption: makes all of it from the file, and follows the file

Called by server.py.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from apimachinery import filewatch
from apimachinery.clock import Clock
from apiserver.configscheme import ConfigError, file_error
from apiserver.storage.base import Backend
from apiserver.storage.encryption import configuration
from apiserver.storage.encryption.backend import Encrypted
from apiserver.storage.encryption.configuration import Provider, Rule
from apiserver.storage.encryption.kms import Kms
from apiserver.storage.encryption.providers import Identity, Keyed, Providers, Transformer

log = logging.getLogger(__name__)


class Encryption:
    """The file's rules in force. backend: the engine to use instead of the given one."""

    def __init__(self, path: Path, inner: Backend, clock: Clock, *, follow: bool) -> None:
        """ConfigError when the file cannot be used. follow: whether run() takes what it says later."""
        self._path = path
        self._clock = clock
        self._follow = follow
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"error opening encryption provider configuration file {path}: {file_error(error)}"
            ) from None
        self._file = filewatch.WatchedFile(path, raw)
        self._rules = self._load(raw)
        self._services: dict[Provider, Kms] = {}
        self.backend = Encrypted(inner)

    def _load(self, raw: bytes) -> list[Rule]:
        try:
            return configuration.load(raw, reload=self._follow)
        except ConfigError as error:
            raise ConfigError(f"{self._path}: {error}") from None

    async def start(self) -> None:
        """Ask the services for their keys; before the engine is started."""
        self._services = await self._asked(self._rules)
        self.backend.replace(self._sets(self._rules, self._services))

    async def _asked(self, rules: list[Rule]) -> dict[Provider, Kms]:
        """A service for each KMS of the rules: those that are in use already, and new ones that have been asked."""
        wanted = dict.fromkeys(provider for rule in rules for provider in rule.providers if provider.kind == "kms")
        services = {provider: self._services.get(provider) or Kms(provider, self._clock) for provider in wanted}
        new = [service for provider, service in services.items() if provider not in self._services]
        await asyncio.gather(*(service.start() for service in new))
        return services

    @staticmethod
    def _sets(rules: list[Rule], services: dict[Provider, Kms]) -> list[tuple[Rule, Providers]]:
        def transformer(provider: Provider) -> Transformer:
            if provider.kind == "kms":
                return services[provider]
            return Identity() if provider.kind == "identity" else Keyed(provider)

        return [(rule, Providers([transformer(provider) for provider in rule.providers])) for rule in rules]

    async def run(self) -> None:
        """Keep in touch with the services, and follow the file; until cancelled."""
        while True:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(kms.run(), name=f"KMS {kms.name}") for kms in self._services.values()]
                await self._changed()
                for task in tasks:
                    task.cancel()

    async def _changed(self) -> None:
        """Return when other rules are in force."""
        while True:
            await self._clock.sleep(filewatch.SECONDS if self._follow else 3600.0)
            if self._follow and await self._reload():
                return

    async def _reload(self) -> bool:
        try:
            if not await self._file.changed():
                return False
            rules = self._load(self._file.content)
            services = await self._asked(rules)
            failing = [kms for provider, kms in services.items() if provider not in self._services and kms.problem]
            if failing:
                await asyncio.gather(*(kms.close() for kms in failing))
                raise ConfigError(failing[0].problem)
        except (ConfigError, OSError) as error:
            log.error("the encryption provider configuration stays as it was: %s", error)
            return False
        old, self._services = self._services, services
        self.backend.replace(self._sets(rules, services))
        await asyncio.gather(*(kms.retire() for provider, kms in old.items() if provider not in services))
        log.info("the encryption provider configuration of %s is in force", self._path)
        return True

    def check(self) -> str | None:
        """What keeps the services from being well, for the health check kms-providers."""
        problems = [kms.problem for kms in self._services.values() if kms.problem]
        return "; ".join(problems) or None

    @property
    def has_services(self) -> bool:
        return self._follow or any(provider.kind == "kms" for rule in self._rules for provider in rule.providers)

    async def close(self) -> None:
        await asyncio.gather(*(kms.close() for kms in self._services.values()))
