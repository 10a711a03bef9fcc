"""A storage engine before another one, so that what lies on disk is encrypted as an EncryptionConfiguration says.

Everything above sees plain values, everything below sees stored ones; keys are never encrypted, and are what AES-GCM binds a
value to. replace() puts another configuration in force for the calls to come. Written values need no decryption when the engine
tells of them: they are remembered until then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from apiserver.storage.base import Backend, Change, Deliver, Page, Record, Untransformable
from apiserver.storage.encryption.ciphers import Unreadable
from apiserver.storage.encryption.configuration import Rule
from apiserver.storage.encryption.providers import PLAIN, CannotEncrypt, KeyWanted, Providers

_ROOT = "/registry/"


class Encrypted:
    """apiserver.storage.base.Backend. sets: (rule, its providers), in order; the first rule that covers a resource counts."""

    def __init__(self, inner: Backend, sets: Sequence[tuple[Rule, Providers]] = ()) -> None:
        self._inner = inner
        self._sets = list(sets)
        self._chosen: dict[str, Providers] = {}
        self._under_way: dict[bytes, bytes] = {}  # stored -> plain, of writes that nobody was told of yet

    def replace(self, sets: Sequence[tuple[Rule, Providers]]) -> None:
        """Write and read with these from now on."""
        self._sets = list(sets)
        self._chosen.clear()

    def _providers(self, key: str) -> Providers:
        group, plural = key[len(_ROOT) :].split("/", 2)[:2]
        resource = f"{group}/{plural}"
        found = self._chosen.get(resource)
        if found is None:
            group = "" if group == "core" else group
            found = next((made for rule, made in self._sets if rule.covers(group, plural)), PLAIN)
            self._chosen[resource] = found
        return found

    # -- writing

    def _stored(self, key: str, value: bytes) -> bytes:
        providers = self._providers(key)
        if providers is PLAIN:
            return value
        try:
            return providers.write(value, key.encode())
        except CannotEncrypt as error:
            raise Untransformable(str(error)) from error

    async def create(self, key: str, value: bytes, ttl: float = 0) -> int:
        stored = self._stored(key, value)
        self._under_way[stored] = value
        try:
            return await self._inner.create(key, stored, ttl)
        finally:
            self._under_way.pop(stored, None)

    async def update(self, key: str, value: bytes, if_revision: int, ttl: float = 0) -> int:
        stored = self._stored(key, value)
        self._under_way[stored] = value
        try:
            return await self._inner.update(key, stored, if_revision, ttl)
        finally:
            self._under_way.pop(stored, None)

    async def delete(self, key: str, if_revision: int) -> int:
        return await self._inner.delete(key, if_revision)

    # -- reading

    async def _plain(self, key: str, stored: bytes) -> bytes:
        return (await self._read(key, stored))[0]

    async def _read(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        providers, context = self._providers(key), key.encode()
        try:
            try:
                return providers.read(stored, context)
            except KeyWanted as wanted:
                await wanted.fetch()
                return providers.read(stored, context)
        except Unreadable as error:
            raise Untransformable(f'unable to transform key "{key}": {error}') from error

    async def stale(self, key: str) -> bool:
        """Whether the value was stored otherwise than it would be now, so that a write that changes nothing should be made."""
        if self._providers(key) is PLAIN and not self._sets:
            return False
        record = await self._inner.get(key)
        return record is not None and (await self._read(key, record.value))[1]

    async def get(self, key: str, revision: int = 0) -> Record | None:
        record = await self._inner.get(key, revision)
        return None if record is None else record._replace(value=await self._plain(key, record.value))

    async def list(
        self, prefix: str, revision: int = 0, start: str = "", limit: int = 0, *, count: bool = False
    ) -> Page:
        page = await self._inner.list(prefix, revision, start, limit, count=count)
        records = [record._replace(value=await self._plain(record.key, record.value)) for record in page.records]
        return page._replace(records=records)

    async def changes(self, prefix: str, after: int, until: int) -> AsyncIterator[Sequence[Change]]:
        async for page in self._inner.changes(prefix, after, until):
            yield [await self._plain_change(change) for change in page]

    async def _plain_change(self, change: Change) -> Change:
        value, before = change.value, change.previous_value
        return change._replace(
            value=None if value is None else await self._plain(change.key, value),
            previous_value=None if before is None else await self._plain(change.key, before),
        )

    def subscribe(self, prefix: str, deliver: Deliver) -> Callable[[], None]:
        def told(changes: Sequence[Change]) -> None:
            deliver([self._told(change) for change in changes])

        return self._inner.subscribe(prefix, told)

    def _told(self, change: Change) -> Change:
        """The change in plain. Only this process writes the engine, so that the value is under way."""
        if change.value is None:
            return change
        plain = self._under_way.get(change.value)
        if plain is None:
            plain = self._providers(change.key).read(change.value, change.key.encode())[0]
        return change._replace(value=plain)

    # -- the rest is the engine's

    async def start(self) -> None:
        await self._inner.start()

    async def close(self) -> None:
        await self._inner.close()

    @property
    def revision(self) -> int:
        return self._inner.revision

    async def current_revision(self) -> int:
        return await self._inner.current_revision()

    async def reached(self, revision: int) -> None:
        await self._inner.reached(revision)

    async def compact(self, revision: int) -> None:
        await self._inner.compact(revision)
