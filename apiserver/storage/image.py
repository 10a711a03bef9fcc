"""All objects of a resource as of now, in key order, and as of the moments that the ring of events reaches back to."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from apiserver.storage.entry import Entry
from apiserver.storage.events import Event, Matches, Ring


class Listing(NamedTuple):
    """Entries in key order as of `revision`.

    next: the key after which the next page starts, "" when nothing remains. remaining: how many are left after this
    page; None with a selector (not counted) or without a next page.
    """

    entries: Sequence[Entry]
    revision: int
    next: str
    remaining: int | None


class Image:
    """The objects and the ring, always of the same moment."""

    __slots__ = ("_keys", "objects", "ring")

    def __init__(self) -> None:
        self.objects: dict[str, Entry] = {}
        self._keys: list[str] = []  # sorted; inserting into a plain list beats cleverer structures up to 100,000
        self.ring = Ring()

    def fill(self, entries: Iterable[Entry], revision: int) -> None:
        """Begin with these, the state as of revision."""
        self.objects = {entry.key: entry for entry in entries}
        self._keys = sorted(self.objects)
        self.ring = Ring()
        self.ring.floor = revision

    def apply(self, key: str, entry: Entry | None, revision: int) -> Event:
        """The object was written, or deleted if entry is None; returns the event, now the ring's newest."""
        previous = self.objects.get(key)
        if entry is not None:
            self.objects[key] = entry
            if previous is None:
                insort(self._keys, key)
        elif previous is not None:
            del self.objects[key]
            del self._keys[bisect_left(self._keys, key)]
        event = Event(entry, previous, revision)
        self.ring.append(event)
        return event

    def page(
        self, namespace: str, matches: Matches | None, limit: int, after: str, revision: int, *, past: bool = False
    ) -> Listing:
        """See Cacher.list(). revision: which to report; past: as of then, not now. The ring must reach back to it."""
        keys: list[str] = self._keys
        lookup: Callable[[str], Entry] = self.objects.__getitem__
        if past:
            keys, lookup = self._as_of(revision)
        first, end = _span(keys, namespace, after)
        if matches is None:
            last = min(end, first + limit) if limit else end
            entries = [lookup(key) for key in keys[first:last]]
        else:
            entries, last = [], first
            for key in keys[first:end]:
                last += 1
                entry = lookup(key)
                if matches(entry):
                    entries.append(entry)
                    if len(entries) == limit:
                        break
        if last == end:
            return Listing(entries, revision, "", None)
        return Listing(entries, revision, keys[last - 1], end - last if matches is None else None)

    def _as_of(self, revision: int) -> tuple[list[str], Callable[[str], Entry]]:
        """The keys as of a revision, and how to look one up: what was done since is undone."""
        objects = self.objects
        old: dict[str, Entry | None] = {}
        for event in reversed(self.ring.since(self.ring.position_after(revision))):
            old[event.key] = event.previous
        if not old:
            return self._keys, objects.__getitem__
        keys = self._keys
        created = {key for key, previous in old.items() if previous is None}
        deleted = [key for key, previous in old.items() if previous is not None and key not in objects]
        if created or deleted:
            keys = sorted([*(key for key in keys if key not in created), *deleted])
        return keys, lambda key: old.get(key) or objects[key]


def _span(keys: list[str], namespace: str, after: str) -> tuple[int, int]:
    """Where in the sorted keys a namespace's begin and end, leaving out those up to `after`."""
    first, end = 0, len(keys)
    if namespace:
        first, end = bisect_left(keys, namespace + "/"), bisect_left(keys, namespace + "0")
    return (max(first, bisect_right(keys, after)) if after else first), end
