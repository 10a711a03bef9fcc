"""A resource's watch cache as one version of a custom kind sees it, where a webhook converts between the versions.

The cache itself holds objects in the versions that they were written in. What is read here is converted when it is first
asked for, many objects at a time, and kept while it is hot; what is written here is converted to the version that
the definition stores. Selectors judge the converted objects.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, MutableSequence, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import orjson

from apiserver.registry.kind import Obj
from apiserver.storage.cacher import Cacher, Listing, Matches, Watch
from apiserver.storage.entry import Attributes, Entry, Home, splice

if TYPE_CHECKING:
    from apiserver.registry.crd_kind import CustomKind

Make = Callable[[str, Entry], bytes]
_OPENING = len(b'"metadata":{')


class _Unknown(Exception):
    """An entry has not been converted yet."""


def _unknown(entry: Entry) -> Entry:
    raise _Unknown


class ConvertedCache:
    """What registry/store.py and the handlers use of a Cacher, in the version that `kind` works in."""

    def __init__(self, base: Cacher, kind: CustomKind, attributes: Attributes) -> None:
        self.base = base
        self._kind = kind
        self._version = kind.storage_version
        self._home = Home(attributes)
        self._form = ("converted", id(self))

    def __len__(self) -> int:
        return len(self.base)

    # -- reading

    def peek(self, key: str) -> Entry | None:
        entry = self.base.peek(key)
        return self._already(entry) if entry is not None else None

    async def get(self, key: str) -> Entry | None:
        entry = await self.base.get(key)
        return await self.one(entry) if entry is not None else None

    async def fresh(self, revision: int, seconds: float = 3.0) -> None:
        await self.base.fresh(revision, seconds)

    async def stale(self, key: str) -> bool:
        return await self.base.stale(key)

    async def list(
        self,
        namespace: str = "",
        *,
        matches: Matches | None = None,
        limit: int = 0,
        after: str = "",
        revision: int = 0,
        stale: bool = False,
    ) -> Listing:
        if matches is None:
            found = await self.base.list(namespace, limit=limit, after=after, revision=revision, stale=stale)
            return found._replace(entries=await self.many(found.entries))
        found = await self.base.list(namespace, after=after, revision=revision, stale=stale)
        entries = [entry for entry in await self.many(found.entries) if matches(entry)]
        if limit and len(entries) > limit:
            return found._replace(entries=entries[:limit], next=entries[limit - 1].key)
        return found._replace(entries=entries)

    async def watch(
        self,
        namespace: str = "",
        name: str = "",
        *,
        form: Hashable,
        make: Make,
        start: int | None = None,
        initial: bool = False,
        matches: Matches | None = None,
        trigger: tuple[str, str] | None = None,
        first: Make | None = None,
        bookmark: Callable[[int, bool], bytes] | None = None,
        initial_end: bool = False,
        deadline: float | None = None,
    ) -> ConvertedWatch:
        """As Cacher.watch(); a trigger does not narrow it, because the field is one of this version."""
        cursor = ConvertedWatch(self, make, first, bookmark, matches)
        cursor.source = await self.base.watch(
            namespace,
            name,
            form=cursor,
            make=cursor.note,
            start=start,
            initial=initial,
            bookmark=cursor.mark if bookmark is not None else None,
            initial_end=initial_end,
            deadline=deadline,
        )
        return cursor

    # -- writing

    async def create(
        self,
        key: str,
        version: str,
        body: bytes,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        *,
        ttl: float = 0,
    ) -> Entry:
        stored = await self._to_stored(body)
        return await self.one(await self.base.create(key, self._kind.stored_as, stored, ttl=ttl))

    async def update(
        self,
        key: str,
        version: str,
        body: bytes,
        if_revision: int,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        *,
        ttl: float = 0,
    ) -> Entry:
        stored = await self._to_stored(body)
        return await self.one(await self.base.update(key, self._kind.stored_as, stored, if_revision, ttl=ttl))

    async def delete(self, key: str, if_revision: int) -> Entry:
        """The deleted object as it was kept: only its revision is of use."""
        return await self.base.delete(key, if_revision)

    async def rehearse(self, obj: Obj) -> Obj:
        """What a write of the object would answer: converted to what is stored and back, as a dry run has to."""
        kind = self._kind
        if kind.stored_as == self._version:
            return obj
        (stored,) = await kind.ask([obj], kind.stored_as)
        (shown,) = await kind.ask([stored], self._version)
        return shown

    async def _to_stored(self, body: bytes) -> bytes:
        kind = self._kind
        if kind.stored_as == self._version:
            return body
        obj = {**kind.typed(self._version), **orjson.loads(b"{" + body)}
        (converted,) = await kind.ask([obj], kind.stored_as)
        return _body(converted)

    # -- converting

    def _already(self, entry: Entry) -> Entry | None:
        if entry.version == self._version:
            return entry
        try:
            return entry.form(self._form, _unknown)
        except _Unknown:
            return None

    async def one(self, entry: Entry) -> Entry:
        return (await self.many([entry]))[0]

    async def many(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The entries in this version. ApiError 500 when the webhook cannot or will not."""
        known = [self._already(entry) for entry in entries]
        missing = [entry for entry, found in zip(entries, known, strict=True) if found is None]
        if not missing:
            return [found for found in known if found is not None]
        made = iter(await self._convert(missing))
        return [found if found is not None else next(made) for found in known]

    async def _convert(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        kind = self._kind
        objects: list[Obj] = []
        for entry in entries:
            obj = {**kind.typed(entry.version), **entry.decode()}
            kind.repair(obj, entry.version)
            objects.append(obj)
        made: MutableSequence[Entry] = []
        for entry, obj in zip(entries, await kind.ask(objects, self._version), strict=True):
            obj["metadata"].pop("resourceVersion", None)
            body = splice(entry.revision, _body(obj), _OPENING)
            converted = Entry(self._home, entry.key, entry.revision, self._version, body)
            made.append(entry.form(self._form, partial(_keep, converted)))
        return made

    def current(self, key: str, revision: int) -> bool:
        """Whether the object is kept in the version that the definition stores."""
        entry = self.base.peek(key)
        return entry is not None and entry.revision == revision and entry.version == self._kind.stored_as


def _keep(converted: Entry, entry: Entry) -> Entry:
    return converted


def _body(obj: Obj) -> bytes:
    """An object as the body of an entry that has no resourceVersion yet."""
    document = {"metadata": {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}}
    document.update((name, value) for name, value in obj.items() if name not in ("metadata", "kind", "apiVersion"))
    return orjson.dumps(document)[1:]


class ConvertedWatch:
    """A cursor whose events are converted, then judged by the selector, then written. As storage.watch.Watch is used."""

    def __init__(
        self,
        cache: ConvertedCache,
        make: Make,
        first: Make | None,
        bookmark: Callable[[int, bool], bytes] | None,
        matches: Matches | None,
    ) -> None:
        self.source: Watch | None = None
        self._cache = cache
        self._make = make
        self._first = first
        self._bookmark = bookmark
        self._matches = matches
        self._noted: list[tuple[str, Entry | None, int, bool]] = []
        self._shown: dict[str, bool] = {}  # whether the client was last told that the object is there

    @property
    def beginning(self) -> bool:
        return self.source is not None and self.source.beginning

    def note(self, kind: str, entry: Entry) -> bytes:
        """In place of a line: what is to become one."""
        self._noted.append((kind, entry, entry.revision, False))
        return b"."

    def mark(self, revision: int, initial: bool) -> bytes:
        self._noted.append(("BOOKMARK", None, revision, initial))
        return b"."

    async def next(self) -> bytes:
        """As Watch.next(). ApiError 500 when an event cannot be converted."""
        assert self.source is not None
        while await self.source.next():
            noted, self._noted[:] = list(self._noted), []
            entries = iter(await self._cache.many([entry for _, entry, _, _ in noted if entry is not None]))
            lines = []
            for kind, entry, revision, initial in noted:
                if entry is None:
                    if self._bookmark is not None:
                        lines.append(self._bookmark(revision, initial))
                    continue
                told = await self._told(kind, next(entries))
                if told is not None:
                    make, self._first = self._first or self._make, None
                    lines.append(make(*told))
            if lines:
                return b"".join(lines)
        return b""

    async def _told(self, kind: str, entry: Entry) -> tuple[str, Entry] | None:
        """What an event is to a client with that selector."""
        matches = self._matches
        if matches is None:
            return kind, entry
        if kind == "DELETED":
            self._shown.pop(entry.key, None)
            return (kind, entry) if matches(entry) else None
        before = await self._before(kind, entry) if kind == "MODIFIED" else None
        shown = self._shown.get(entry.key, before is not None and matches(before))
        self._shown[entry.key] = present = matches(entry)
        if present:
            return ("MODIFIED" if shown else "ADDED"), entry
        return ("DELETED", before.at(entry.revision) if before is not None else entry) if shown else None

    async def _before(self, kind: str, entry: Entry) -> Entry | None:
        before = self._cache.base.before(entry.revision)
        return await self._cache.one(before) if before is not None else None

    def close(self) -> None:
        if self.source is not None:
            self.source.close()

    def __enter__(self) -> ConvertedWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
