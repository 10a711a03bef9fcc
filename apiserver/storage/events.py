"""What happened to the objects of a resource, and the ring that keeps the last of it for watchers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable
from typing import Literal

from apiserver.storage.entry import Entry

Type = Literal["ADDED", "MODIFIED", "DELETED"]
Matches = Callable[[Entry], bool]

_HOT = 1024  # events whose encoded lines are kept; watchers are seldom further behind


class Event:
    """One write: the object after it and before it, either of which may be missing."""

    __slots__ = ("_gone", "_lines", "entry", "previous", "revision")

    def __init__(self, entry: Entry | None, previous: Entry | None, revision: int) -> None:
        self.entry = entry
        self.previous = previous
        self.revision = revision
        self._gone: Entry | None = None
        self._lines: dict[Hashable, bytes] | None = None

    @property
    def key(self) -> str:
        entry = self.entry or self.previous
        assert entry is not None
        return entry.key

    @property
    def gone(self) -> Entry:
        """The object before the event, bearing the event's revision: what a watcher who lost it is told."""
        if self._gone is None:
            assert self.previous is not None
            self._gone = self.previous.at(self.revision)
        return self._gone

    def told(self, matches: Matches | None) -> tuple[Type, Entry] | None:
        """What this is to a watcher with that selector: entering it is an addition, leaving it a deletion."""
        entry, previous = self.entry, self.previous
        if entry is not None and (matches is None or matches(entry)):
            if previous is not None and (matches is None or matches(previous)):
                return "MODIFIED", entry
            return "ADDED", entry
        if previous is not None and (matches is None or matches(previous)):
            return "DELETED", self.gone
        return None

    def line(self, form: Hashable, type_: Type, entry: Entry, make: Callable[[str, Entry], bytes]) -> bytes:
        """The event encoded, made once per form and type."""
        lines = self._lines
        if lines is None:
            lines = self._lines = {}
        key = (form, type_)
        line = lines.get(key)
        if line is None:
            line = lines[key] = make(type_, entry)
        return line

    def cool(self) -> None:
        """Forget encoded lines."""
        self._lines = None


class Ring:
    """The newest events of a resource, numbered from 0 on for ever; bounded in number and in bytes.

    floor: the revision after which no event is missing.
    """

    __slots__ = ("_bytes", "_events", "_limit", "_limit_bytes", "base", "floor")

    def __init__(self, limit: int = 10_000, limit_bytes: int = 32 << 20) -> None:
        self._events: list[Event] = []
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0  # of bodies that only the ring keeps
        self.base = 0  # the number of the oldest event kept
        self.floor = 0

    @property
    def head(self) -> int:
        """The number that the next event will get."""
        return self.base + len(self._events)

    def append(self, event: Event) -> None:
        events = self._events
        events.append(event)
        if event.previous is not None:
            self._bytes += len(event.previous.body)
        if len(events) > _HOT:
            events[-_HOT - 1].cool()
        if len(events) > self._limit or self._bytes > self._limit_bytes:
            self._trim()

    def since(self, position: int) -> list[Event]:
        """The events from that number on, which must be between base and head."""
        return self._events[position - self.base :]

    def position_after(self, revision: int) -> int:
        """The number of the first event after a revision, which must not be less than floor."""
        return self.base + bisect_right(self._events, revision, key=_revision)

    def at(self, revision: int) -> Event | None:
        """The event of that very revision, if it is still kept."""
        index = bisect_right(self._events, revision, key=_revision) - 1
        return self._events[index] if index >= 0 and self._events[index].revision == revision else None

    def _trim(self) -> None:
        """Drop the oldest quarter at once, so that appending stays cheap; but always keep the newest event."""
        gone = min(max(1, len(self._events) // 4), len(self._events) - 1)
        if not gone:
            return
        for event in self._events[:gone]:
            if event.previous is not None:
                self._bytes -= len(event.previous.body)
        self.floor = self._events[gone - 1].revision
        del self._events[:gone]
        self.base += gone


def _revision(event: Event) -> int:
    return event.revision
