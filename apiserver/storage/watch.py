"""A watch: a cursor into a resource's ring of events, not a queue. See Cacher.watch() for what it is told at its start.

A watcher that has seen everything is idle: it waits in a scope (the resource, a namespace, one object, a field's value) and
costs nothing until an event of that scope that its selector wants wakes it; its cursor then stands at that event. So a
quiet namespace's watcher does not fall behind because others are busy. One that is awake and does not read is ended when
the ring has moved past its cursor: that bounds memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

from apiserver.storage.entry import Entry
from apiserver.storage.events import Event, Matches, Ring, Type

BOOKMARK_SECONDS = 60.0  # between bookmarks, as the original
_BOOKMARK_BEFORE_DEADLINE = 2.0
_SLICE = 256 << 10  # bytes of initial state per call: one write


class WatchExpired(Exception):
    """The watcher fell so far behind that events it has not seen are gone: the client must list again (410)."""


class Terms(NamedTuple):
    """What a watcher asked for. Watchers with equal terms are told the same bytes."""

    namespace: str
    name: str
    matches: Matches | None
    form: Hashable

    def told(self, event: Event) -> tuple[Type, Entry] | None:
        """What the event is to such a watcher, None for nothing."""
        if self.namespace or self.name:
            namespace, _, name = event.key.rpartition("/")
            if (self.namespace and namespace != self.namespace) or (self.name and name != self.name):
                return None
        return event.told(self.matches)


Make = Callable[[str, Entry], bytes]


class Source(Protocol):
    """What a watch needs of watchers.py."""

    @property
    def ring(self) -> Ring: ...

    @property
    def revision(self) -> int: ...

    def rest(self, watch: Watch) -> None:
        """Put it among the idle ones of its scope."""

    def leave(self, watch: Watch) -> None:
        """It has ended."""

    def joined(self, watch: Watch) -> tuple[bytes, int]:
        """The encoded events that the watch has not seen, and the position they reach."""


class Watch:
    """One watcher's cursor; use it as a context manager, or close() it."""

    __slots__ = (
        "_bookmark",
        "_bookmark_at",
        "_bookmark_due",
        "_deadline",
        "_ended",
        "_first",
        "_initial",
        "_initial_end",
        "_initial_revision",
        "_next",
        "_old",
        "_on_close",
        "_source",
        "_waiter",
        "after",
        "idle",
        "make",
        "position",
        "scope",
        "terms",
    )

    def __init__(
        self,
        source: Source,
        scope: Hashable,
        terms: Terms,
        make: Make,
        position: int,
        *,
        now: float,
        after: int,
        first: Make | None,
        bookmark: Callable[[int, bool], bytes] | None,
        deadline: float | None,
        on_close: Callable[[Watch], None],
    ) -> None:
        self._source = source
        self._on_close = on_close
        self.scope = scope
        self.terms = terms
        self.make = make
        self.position = position  # the number of the first event it may not have seen, unless it is idle
        self.idle = False
        self.after = after  # a revision in the future up to which nothing is told
        self._first = first
        self._bookmark = bookmark
        self._bookmark_due = False
        self._deadline = deadline
        self._bookmark_at = self._plan(now)
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._initial: Sequence[Entry] = ()
        self._next = 0
        self._initial_end = False
        self._initial_revision = 0
        self._old: AsyncIterator[Sequence[Event]] | None = None

    def begin_with(self, entries: Sequence[Entry], revision: int, *, end: bool) -> None:
        """Tell of these first; end: then send a bookmark that says so."""
        self._initial = entries
        self._initial_revision = revision
        self._initial_end = end

    def replay(self, old: AsyncIterator[Sequence[Event]]) -> None:
        """Tell of these first: events from the backend's history that precede `position`."""
        self._old = old

    async def next(self) -> bytes:
        """Everything that happened since the last call, encoded and joined; waits for something to happen. b"" when the
        watch has ended (deadline, close(), server stopping). WatchExpired; Compacted while replaying old changes.

        The initial state comes first, in slices of some 256 KB.
        """
        while not self._ended:
            data = b""
            if self._initial or self._initial_end:
                data = self._take_initial()
                await asyncio.sleep(0)  # a large initial state must not keep others waiting
            if not data and self._old is not None:
                data = await self._take_old(self._old)
            if not data and not self._ended:
                data = self._take()
            if data:
                return data
            if not self._ended:
                await self._wait()
        return b""

    @property
    def beginning(self) -> bool:
        """Whether the state it begins with has not all been told yet."""
        return bool(self._initial) or self._initial_end or self._old is not None

    def close(self) -> None:
        """End it; a waiting next() returns b"". May be called again."""
        if not self._ended:
            self._ended = True
            self._source.leave(self)
            self._on_close(self)
            self._initial, self._old = (), None
            self.wake()

    def wake(self) -> None:
        """Let a waiting next() look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def wants(self, event: Event) -> bool:
        """Whether an event of its scope is to wake it."""
        return event.revision > self.after and (self.terms.matches is None or self.terms.told(event) is not None)

    def rouse(self, position: int) -> None:
        """It was idle; now there is an event for it, of that number."""
        self.idle = False
        self.position = position
        self.wake()

    def tick(self, now: float) -> None:
        """Time passes: called about every second."""
        if self._deadline is not None and now >= self._deadline:
            self.close()
        elif now >= self._bookmark_at:
            self._bookmark_at = self._plan(now)
            if self._bookmark is not None:
                self._bookmark_due = True
                self.wake()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _plan(self, now: float) -> float:
        """When the next bookmark is due: in a minute, or just before the end."""
        if self._deadline is not None:
            last = self._deadline - _BOOKMARK_BEFORE_DEADLINE
            if now < last:
                return min(now + BOOKMARK_SECONDS, last)
        return now + BOOKMARK_SECONDS

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _encode(self, type_: Type, entry: Entry) -> bytes:
        """An event as a line for this watch alone."""
        make, self._first = self._first or self.make, None
        return make(type_, entry)

    def _take_initial(self) -> bytes:
        lines = []
        size = 0
        while self._next < len(self._initial) and size < _SLICE:
            line = self._encode("ADDED", self._initial[self._next])
            self._next += 1
            size += len(line)
            lines.append(line)
        if self._next == len(self._initial):
            self._initial, self._next = (), 0
            if self._initial_end and self._bookmark is not None:
                lines.append(self._bookmark(self._initial_revision, True))
            self._initial_end = False
        return b"".join(lines)

    async def _take_old(self, old: AsyncIterator[Sequence[Event]]) -> bytes:
        async for events in old:
            told = [told for event in events if (told := self.terms.told(event)) is not None]
            if told:
                return b"".join([self._encode(*each) for each in told])
        self._old = None
        return b""

    def _take(self) -> bytes:
        source = self._source
        data = b""
        while not self.idle and not data:
            if self.position < source.ring.base:
                raise WatchExpired
            if self._first is not None:
                data = self._take_first(source.ring)
            else:
                data, self.position = source.joined(self)
            if self.position == source.ring.head:
                source.rest(self)
        if self.idle and self._bookmark_due and self._bookmark is not None:
            self._bookmark_due = False
            data += self._bookmark(source.revision, False)
        return data

    def _take_first(self, ring: Ring) -> bytes:
        for event in ring.since(self.position):
            self.position += 1
            told = self.terms.told(event)
            if told is not None:
                return self._encode(*told)
        return b""
