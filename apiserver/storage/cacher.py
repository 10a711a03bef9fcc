"""The watch cache: every stored object in memory, encoded, one Cacher per resource; what all reads are served from.

    caches = Caches(backend, clock)                         # one per process
    pods = caches.resource("/registry/core/pods/", attributes)
    await caches.start()                                    # opens the backend and loads every resource
    entry = await pods.create("ns/name", version, body, labels, fields)
    listing = await pods.list("ns", matches=..., limit=500)
    with await pods.watch("ns", start=listing.revision, form="json", make=line) as watch:
        while data := await watch.next():
            await response.write(data)

Keys are "namespace/name", or "name" for cluster-scoped resources. Errors are those of base.py: KeyExists, NotFound,
Conflict, Compacted, FutureRevision, Unavailable; the caller words them for its clients. Revisions that reads report are the
store's global revision, of which the cache is always a complete image. Called by registry/store.py; knows nothing of
kinds, HTTP or JSON beyond entry.py's splicing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence

from apimachinery import clock as clocks
from apimachinery.clock import Clock
from apiserver.storage import base
from apiserver.storage.base import Change, Compacted, FutureRevision
from apiserver.storage.entry import NOTHING, Attributes, Entry, Home, pack, unpack
from apiserver.storage.events import Event, Matches
from apiserver.storage.image import Image, Listing
from apiserver.storage.watch import Terms, Watch, WatchExpired
from apiserver.storage.watchers import Watchers, scope_of

__all__ = ["Attributes", "Cacher", "Caches", "Entry", "Listing", "Matches", "Watch", "WatchExpired"]

logger = logging.getLogger(__name__)

_PAGE = 1000  # records per read while loading and while listing from history
_TICK = 1.0  # seconds between looks at watches' deadlines and bookmarks
_TURN = 60.0  # seconds after which other forms of objects are forgotten unless they are asked for
_SHARED_LABELS = 10_000  # different label sets of a resource that are kept once for all objects that have them


class Cacher:
    """One resource. Made by Caches.resource()."""

    def __init__(self, caches: Caches, prefix: str, attributes: Attributes) -> None:
        self.prefix = prefix
        self._caches = caches
        self._backend = caches.backend
        self._home = Home(attributes)
        self._image = Image()
        self._watchers = Watchers(lambda: self._image.ring, lambda: self._backend.revision)
        self._given: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}  # by id of a value being written
        self._labels: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._early: list[Change] | None = []  # what was committed while loading; None once loaded
        self._loaded: asyncio.Future[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Load the resource; for those added after Caches.start() (custom resources). Reads wait for it."""
        if self._loaded is None:
            self._loaded = asyncio.get_running_loop().create_future()
            self._loaded.add_done_callback(_retrieve)
            self._unsubscribe = self._backend.subscribe(self.prefix, self._deliver)
            try:
                await self._load()
            except BaseException as error:
                self._unsubscribe()
                failed, self._loaded, self._early = self._loaded, None, []
                failed.set_exception(
                    error if isinstance(error, base.StorageError) else base.Unavailable("loading was given up")
                )
                raise
            self._loaded.set_result(None)
        else:
            await asyncio.shield(self._loaded)

    async def close(self) -> None:
        """End the watches and forget the resource (a removed custom resource). The stored objects stay."""
        self._caches.forget(self)
        if self._unsubscribe is not None:
            self._unsubscribe()
        self.end_watches()
        self._image.fill((), self._backend.revision)

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self._image.objects)

    def peek(self, key: str) -> Entry | None:
        """The object as this process knows it, without waiting: what a get with resourceVersion=0 returns."""
        return self._image.objects.get(key)

    def before(self, revision: int) -> Entry | None:
        """The object that the write of that revision replaced or removed; None for none, or when it is no longer known."""
        event = self._image.ring.at(revision)
        return event.previous if event is not None else None

    async def get(self, key: str) -> Entry | None:
        """The object; sees every write acknowledged before the call. Unavailable."""
        await self._up_to_date()
        return self._image.objects.get(key)

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
        """Objects of the namespace ("": all) that match, those with key > after, at most limit (0: all).

        revision: 0 for now, else exactly that one (continuing a paged list, resourceVersionMatch=Exact); served from
        memory as long as the ring reaches back, then from the backend's history. Compacted, FutureRevision.
        stale: do not make sure of other processes' writes (resourceVersion=0).
        """
        if self._early is not None:
            await self.start()
        if revision:
            if revision > self._backend.revision:
                raise FutureRevision(revision, self._backend.revision)
            if revision < self._image.ring.floor:
                return await self._list_history(namespace, matches, limit, after, revision)
            return self._image.page(namespace, matches, limit, after, revision, past=True)
        if not stale:
            await self._up_to_date()
        return self._image.page(namespace, matches, limit, after, self._backend.revision)

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
        """Store a new object. body: `"metadata":{…}…}` without resourceVersion (see base.py). labels, fields: what
        attributes(obj) would say; None to have it asked when needed. ttl: seconds after which it is removed. KeyExists."""
        if self._early is not None:
            await self.start()
        value = pack(version, body)
        return await self._write(key, value, self._backend.create(self.prefix + key, value, ttl), labels, fields)

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
        """Replace the object that is at if_revision. NotFound, Conflict."""
        if self._early is not None:
            await self.start()
        value = pack(version, body)
        write = self._backend.update(self.prefix + key, value, if_revision, ttl)
        return await self._write(key, value, write, labels, fields)

    async def delete(self, key: str, if_revision: int) -> Entry:
        """Remove the object that is at if_revision; returns it bearing the deletion's revision. NotFound, Conflict."""
        if self._early is not None:
            await self.start()
        previous = self._image.objects.get(key)
        revision = await self._backend.delete(self.prefix + key, if_revision)
        await self._backend.reached(revision)
        event = self._image.ring.at(revision)
        if event is not None:
            return event.gone
        assert previous is not None  # it was at if_revision when the deletion was decided
        return previous.at(revision)

    async def stale(self, key: str) -> bool:
        """Whether the object should be written even though nothing changed; see base.py."""
        return await self._backend.stale(self.prefix + key)

    async def fresh(self, revision: int, seconds: float = 3.0) -> None:
        """Wait until the cache has reached that revision ("not older than"), at most so long. FutureRevision."""
        try:
            await clocks.wait_for(self._caches.clock, self._backend.reached(revision), seconds)
        except TimeoutError:
            raise FutureRevision(revision, self._backend.revision) from None

    async def watch(
        self,
        namespace: str = "",
        name: str = "",
        *,
        form: Hashable,
        make: Callable[[str, Entry], bytes],
        start: int | None = None,
        initial: bool = False,
        matches: Matches | None = None,
        trigger: tuple[str, str] | None = None,
        first: Callable[[str, Entry], bytes] | None = None,
        bookmark: Callable[[int, bool], bytes] | None = None,
        initial_end: bool = False,
        deadline: float | None = None,
    ) -> Watch:
        """A cursor over the changes after revision `start` (None: from now). Compacted if they are no longer kept.
        A start in the future is allowed: earlier changes are left out.

        namespace, name, matches: restrict it; an object that enters or leaves what matches is told as ADDED or DELETED.
        trigger: (field, value), a necessary condition of `matches` ("spec.nodeName", "n1"): changes of objects without it
        do not even wake the watcher.
        make(type, entry) encodes an event ("ADDED", "MODIFIED", "DELETED") as the line to send; it is called once for all
        watchers with an equal `form`, which therefore must tell apart everything that make depends on (version, media
        type). first: instead of make for the first event of this watch, never shared (column definitions of Tables).
        initial: begin with an ADDED for every present object (start must be None). initial_end: then a bookmark.
        bookmark(revision, whether it ends the initial events) encodes a bookmark; None for none. They are sent every
        minute and shortly before the deadline (in the clock's monotonic seconds), at which the watch ends.
        """
        if start is None:
            await self._up_to_date()
        elif self._early is not None:
            await self.start()
        old = None
        if start is not None and start < self._image.ring.floor:
            until = self._backend.revision
            old = await _begun(self._old_events(namespace, start, until))
            if until < self._image.ring.floor:
                raise Compacted(start, self._image.ring.floor)
            start = until
        ring = self._image.ring
        watch = Watch(
            self._watchers,
            scope_of(namespace, name, trigger),
            Terms(namespace, name, matches, form),
            make,
            ring.head if start is None else ring.position_after(start),
            now=self._caches.clock.monotonic(),
            after=start or 0,
            first=first,
            bookmark=bookmark,
            deadline=deadline,
            on_close=self._caches.dismiss,
        )
        if initial:
            listing = self._image.page(namespace, matches, 0, "", self._backend.revision)
            entries = [entry for entry in listing.entries if not name or entry.name == name]
            watch.begin_with(entries, listing.revision, end=initial_end)
        if old is not None:
            watch.replay(old)
        self._watchers.enter(watch, trigger[0] if trigger is not None else "")
        self._caches.attend(watch)
        return watch

    def entries(self) -> Iterable[Entry]:
        """All objects as this process knows them, in no order; only to be looked at before the next await."""
        return self._image.objects.values()

    def interested(self, namespace: str, name: str) -> int:
        """How many watches a change of that object is told to, more or less."""
        return self._watchers.interested(namespace, name)

    def end_watches(self) -> None:
        """Let every open watch end in good order."""
        self._watchers.end()

    def turn(self) -> None:
        """Forget other forms of objects that were not asked for since the last time."""
        self._home.turn()

    # -- what comes from the backend

    async def _load(self) -> None:
        while True:
            try:
                entries, revision = await self._load_pages()
                break
            except Compacted:
                logger.info("loading %s again: it took longer than history is kept", self.prefix)
        # A commit that the pages show may not have been told yet; reads may not begin before it is.
        await self._backend.reached(revision)
        self._image.fill(entries, revision)
        early, self._early = self._early or [], None
        for change in early:
            if change.revision > revision:
                self._apply(change)

    async def _load_pages(self) -> tuple[Sequence[Entry], int]:
        entries = []
        page = await self._backend.list(self.prefix, limit=_PAGE)
        while True:
            for record in page.records:
                entries.append(self._entry(record.key[len(self.prefix) :], record.revision, record.value))
            if not page.more:
                return entries, page.revision
            page = await self._backend.list(self.prefix, page.revision, page.records[-1].key + "\0", _PAGE)

    def _entry(self, key: str, revision: int, value: bytes) -> Entry:
        version, body = unpack(value, revision)
        given = self._given.get(id(value))
        if given is None:
            return Entry(self._home, key, revision, version, body)
        return Entry(self._home, key, revision, version, body, self._shared(given[0]), given[1])

    def _shared(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """One mapping for all objects that have the same labels, as a workload's have."""
        if not labels:
            return NOTHING
        if len(self._labels) > _SHARED_LABELS:
            self._labels.clear()
        key = tuple(labels.items())
        shared = self._labels.get(key)
        if shared is None:
            shared = self._labels[key] = dict(labels)  # a copy: the writer may go on changing its object
        return shared

    def _deliver(self, changes: Sequence[Change]) -> None:
        if self._early is not None:
            self._early.extend(changes)
            return
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        key = change.key[len(self.prefix) :]
        entry = None if change.value is None else self._entry(key, change.revision, change.value)
        number = self._image.ring.head
        self._watchers.rouse(self._image.apply(key, entry, change.revision), number)

    # -- other moments than now

    async def _up_to_date(self) -> None:
        """Wait until the cache shows every write that anyone was acknowledged."""
        if self._early is not None:
            await self.start()
        revision = await self._backend.current_revision()
        if revision > self._backend.revision:
            await self._backend.reached(revision)

    async def _list_history(
        self, namespace: str, matches: Matches | None, limit: int, after: str, revision: int
    ) -> Listing:
        """As list(), from the backend's history."""
        prefix = f"{self.prefix}{namespace}/" if namespace else self.prefix
        start = f"{self.prefix}{after}\0" if after else ""
        entries: list[Entry] = []
        while True:
            wanted = limit - len(entries) if limit else _PAGE
            count = bool(limit) and matches is None
            page = await self._backend.list(prefix, revision, start, wanted, count=count)
            made = [self._entry(r.key[len(self.prefix) :], r.revision, r.value) for r in page.records]
            entries += made if matches is None else filter(matches, made)
            if not page.more:
                return Listing(entries, revision, "", None)
            if limit and len(entries) >= limit:
                return Listing(entries, revision, made[-1].key, page.remaining if matches is None else None)
            start = page.records[-1].key + "\0"

    async def _old_events(self, namespace: str, after: int, until: int) -> AsyncIterator[Sequence[Event]]:
        """Events from the backend's history."""
        prefix = f"{self.prefix}{namespace}/" if namespace else self.prefix
        async for changes in self._backend.changes(prefix, after, until):
            yield [self._old_event(change) for change in changes]

    def _old_event(self, change: Change) -> Event:
        key = change.key[len(self.prefix) :]
        entry = previous = None
        if change.value is not None:
            entry = self._entry(key, change.revision, change.value)
        if change.previous_value is not None:
            previous = self._entry(key, change.previous_revision, change.previous_value)
        return Event(entry, previous, change.revision)

    async def _write(
        self,
        key: str,
        value: bytes,
        write: Awaitable[int],
        labels: Mapping[str, str] | None,
        fields: Mapping[str, str] | None,
    ) -> Entry:
        if labels is not None and fields is not None:
            self._given[id(value)] = (labels, fields)
        try:
            revision = await write
            await self._backend.reached(revision)
            entry = self._image.objects.get(key)
            if entry is not None and entry.revision == revision:
                return entry
            event = self._image.ring.at(revision)  # it was overwritten since
            return event.entry if event is not None and event.entry is not None else self._entry(key, revision, value)
        finally:
            self._given.pop(id(value), None)


async def _begun(events: AsyncIterator[Sequence[Event]]) -> AsyncIterator[Sequence[Event]]:
    """The same iterator after its first step, so that its refusal comes at once."""
    try:
        first = await anext(events)
    except StopAsyncIteration:
        first = ()

    async def all_of_them() -> AsyncIterator[Sequence[Event]]:
        yield first
        async for further in events:
            yield further

    return all_of_them()


def _retrieve(future: asyncio.Future[None]) -> None:
    """Look at its error, which is nobody's fault who did not wait for it."""
    if not future.cancelled():
        future.exception()


class Caches:
    """All resources of one backend, and what they share: the timer of bookmarks and deadlines."""

    def __init__(self, backend: base.Backend, clock: Clock) -> None:
        self.backend = backend
        self.clock = clock
        self._cachers: dict[str, Cacher] = {}
        self._watches: set[Watch] = set()
        self._ticker: asyncio.Task[None] | None = None

    @property
    def revision(self) -> int:
        """The store's revision up to which every cache is complete."""
        return self.backend.revision

    def resource(self, prefix: str, attributes: Attributes) -> Cacher:
        """The cache of a resource; prefix as in base.py, ending with "/". Call its start() if Caches.start() was before."""
        if prefix in self._cachers:
            raise ValueError(f"{prefix} has a cache already")
        if not prefix.endswith("/"):
            raise ValueError(f"{prefix} does not end with a slash")
        cacher = self._cachers[prefix] = Cacher(self, prefix, attributes)
        return cacher

    async def start(self) -> None:
        """Open the backend and load the resources. CannotOpen."""
        await self.backend.start()
        try:
            async with asyncio.TaskGroup() as group:
                for cacher in self._cachers.values():
                    group.create_task(cacher.start(), name=f"load {cacher.prefix}")
        except* base.StorageError as errors:
            await self.backend.close()
            raise errors.exceptions[0] from None
        self._ticker = asyncio.create_task(self._tick(), name="watch-timer")

    def end_watches(self) -> None:
        """Let every open watch end in good order (the server stops)."""
        for watch in list(self._watches):
            watch.close()

    async def close(self) -> None:
        """End watches, close the backend."""
        self.end_watches()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait({self._ticker})
            self._ticker = None
        await self.backend.close()

    def forget(self, cacher: Cacher) -> None:
        """For Cacher.close()."""
        if self._cachers.get(cacher.prefix) is cacher:
            del self._cachers[cacher.prefix]

    def attend(self, watch: Watch) -> None:
        """Tell the watch that time passes."""
        self._watches.add(watch)

    def dismiss(self, watch: Watch) -> None:
        """The watch has ended."""
        self._watches.discard(watch)

    async def _tick(self) -> None:
        turn = self.clock.monotonic() + _TURN
        while True:
            await self.clock.sleep(_TICK)
            now = self.clock.monotonic()
            for watch in list(self._watches):
                watch.tick(now)
            if now >= turn:
                turn = now + _TURN
                for cacher in list(self._cachers.values()):
                    cacher.turn()
