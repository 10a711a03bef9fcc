"""A store seen alike whether it is an engine by itself or one behind the watch cache, so that one suite tests both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from apimachinery.clock import Clock
from apiserver.storage import base, open_backend
from apiserver.storage.cacher import Cacher, Caches
from apiserver.storage.encryption.backend import Encrypted
from apiserver.storage.encryption.configuration import Provider, Rule
from apiserver.storage.encryption.providers import Keyed, Providers
from apiserver.storage.entry import Entry, pack

PREFIX = "/registry/core/things/"
ENGINES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:{folder}/store.db",
    "memory": lambda folder: "memory:",
    "encrypted": lambda folder: f"sqlite:{folder}/store.db",
}

Items = list[tuple[str, str, int]]  # key, data, revision
Told = tuple[str, str, str, int]  # type, key, data, revision
Changes = list[Told]


def body(data: str, **metadata: Any) -> bytes:
    """A stored body whose content is `data`."""
    return (
        b'"metadata":'
        + json.dumps(metadata, separators=(",", ":")).encode()
        + b',"data":'
        + json.dumps(data).encode()
        + b"}"
    )


def attributes(obj: dict[str, Any], version: str) -> tuple[dict[str, str], dict[str, str]]:
    return obj["metadata"].get("labels", {}), {"data": obj["data"]}


def line(type_: str, entry: Entry) -> bytes:
    obj = entry.decode()
    assert obj["metadata"]["resourceVersion"] == str(entry.revision)
    return json.dumps([type_, entry.key, obj["data"], entry.revision]).encode() + b"\n"


class Subject(Protocol):
    """Keys are "namespace/name"."""

    async def create(self, key: str, data: str) -> int: ...
    async def update(self, key: str, data: str, if_revision: int) -> int: ...
    async def delete(self, key: str, if_revision: int) -> int: ...
    async def get(self, key: str) -> tuple[str, int] | None: ...
    async def list(
        self, namespace: str = "", *, after: str = "", limit: int = 0, revision: int = 0
    ) -> tuple[Items, int, str, int | None]: ...
    async def changes(self, after: int, namespace: str = "") -> Changes: ...


class Bare:
    """The engine itself."""

    def __init__(self, backend: base.Backend) -> None:
        self.backend = backend

    async def create(self, key: str, data: str) -> int:
        return await self.backend.create(PREFIX + key, pack("v1", body(data)))

    async def update(self, key: str, data: str, if_revision: int) -> int:
        return await self.backend.update(PREFIX + key, pack("v1", body(data)), if_revision)

    async def delete(self, key: str, if_revision: int) -> int:
        return await self.backend.delete(PREFIX + key, if_revision)

    async def get(self, key: str) -> tuple[str, int] | None:
        record = await self.backend.get(PREFIX + key)
        return None if record is None else (_data(record.value), record.revision)

    async def list(
        self, namespace: str = "", *, after: str = "", limit: int = 0, revision: int = 0
    ) -> tuple[Items, int, str, int | None]:
        prefix = f"{PREFIX}{namespace}/" if namespace else PREFIX
        start = PREFIX + after + "\0" if after else ""
        page = await self.backend.list(prefix, revision, start, limit, count=True)
        items = [(r.key[len(PREFIX) :], _data(r.value), r.revision) for r in page.records]
        return items, page.revision, items[-1][0] if page.more else "", page.remaining if page.more else None

    async def changes(self, after: int, namespace: str = "") -> Changes:
        prefix = f"{PREFIX}{namespace}/" if namespace else PREFIX
        found: Changes = []
        async for batch in self.backend.changes(prefix, after, self.backend.revision):
            for change in batch:
                key = change.key[len(PREFIX) :]
                if change.value is None:
                    assert change.previous_value is not None
                    found.append(("DELETED", key, _data(change.previous_value), change.revision))
                else:
                    kind = "MODIFIED" if change.previous_revision else "ADDED"
                    found.append((kind, key, _data(change.value), change.revision))
        return found


class Cached:
    """The engine behind the watch cache."""

    def __init__(self, cacher: Cacher, backend: base.Backend) -> None:
        self.cacher = cacher
        self.backend = backend

    async def create(self, key: str, data: str) -> int:
        return (await self.cacher.create(key, "v1", body(data))).revision

    async def update(self, key: str, data: str, if_revision: int) -> int:
        return (await self.cacher.update(key, "v1", body(data), if_revision, {}, {"data": data})).revision

    async def delete(self, key: str, if_revision: int) -> int:
        entry = await self.cacher.delete(key, if_revision)
        assert entry.key == key
        return entry.revision

    async def get(self, key: str) -> tuple[str, int] | None:
        entry = await self.cacher.get(key)
        return None if entry is None else (entry.decode()["data"], entry.revision)

    async def list(
        self, namespace: str = "", *, after: str = "", limit: int = 0, revision: int = 0
    ) -> tuple[Items, int, str, int | None]:
        listing = await self.cacher.list(namespace, after=after, limit=limit, revision=revision)
        items = [(e.key, e.decode()["data"], e.revision) for e in listing.entries]
        return items, listing.revision, listing.next, listing.remaining

    async def changes(self, after: int, namespace: str = "") -> Changes:
        found: Changes = []
        with await self.cacher.watch(namespace, start=after, form="json", make=line, bookmark=mark) as watch:
            watch.tick(float("inf"))  # a bookmark ends what is there
            while True:
                for text in (await watch.next()).splitlines():
                    told = json.loads(text)
                    if told[0] == "BOOKMARK":
                        assert told[3] == self.backend.revision
                        return found
                    found.append(tuple(told))


def mark(revision: int, end: bool) -> bytes:
    return json.dumps(["BOOKMARK", "", "end" if end else "", revision]).encode() + b"\n"


def _data(value: bytes) -> str:
    version, _, rest = value.partition(b"\n")
    assert version == b"v1"
    data: str = json.loads(b"{" + rest)["data"]
    return data


@asynccontextmanager
async def opened(engine: str, cached: bool, folder: Path, clock: Clock, history: float = 300) -> AsyncIterator[Subject]:
    """A started subject on that engine; closed at the end."""
    backend = open_backend(ENGINES[engine](folder), clock, history)
    if engine == "encrypted":
        stated = Rule((("*", "*"),), (Provider("aesgcm", (("a", b"k" * 32),)),))
        backend = Encrypted(backend, [(stated, Providers([Keyed(stated.providers[0])]))])
    if not cached:
        await backend.start()
        try:
            yield Bare(backend)
        finally:
            await backend.close()
        return
    caches = Caches(backend, clock)
    cacher = caches.resource(PREFIX, attributes)
    await caches.start()
    try:
        yield Cached(cacher, backend)
    finally:
        await caches.close()
