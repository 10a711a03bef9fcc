"""The watches of one resource: who is idle where, whom an event wakes, and the bytes that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from apiserver.storage.events import Event, Ring
from apiserver.storage.watch import Terms, Watch

_JOINED = 1 << 20  # bytes of events a watcher is given at once, more or less

Scope = Hashable
"""Where a watch sleeps: "" for all objects, a namespace, (namespace, name), ("trigger", field, value)."""


def scope_of(namespace: str, name: str, trigger: tuple[str, str] | None) -> Scope:
    """The narrowest scope that has all a watch wants."""
    if trigger is not None:
        return ("trigger", *trigger)
    return (namespace, name) if name else namespace


class Watchers:
    """The open watches."""

    def __init__(self, ring: Callable[[], Ring], revision: Callable[[], int]) -> None:
        self._ring = ring
        self._revision = revision
        self._watches: dict[Watch, str] = {}  # -> the field of its trigger, or ""
        self._idle: dict[Scope, set[Watch]] = {}
        self._triggers: dict[str, int] = {}  # fields that triggers have -> how many watches have them
        self._joined: dict[tuple[Terms, int], tuple[bytes, int]] = {}  # valid until the next event

    @property
    def ring(self) -> Ring:
        return self._ring()

    @property
    def revision(self) -> int:
        return self._revision()

    def enter(self, watch: Watch, trigger: str) -> None:
        """A new watch. trigger: the field of its trigger, or ""."""
        self._watches[watch] = trigger
        if trigger:
            self._triggers[trigger] = self._triggers.get(trigger, 0) + 1
        if watch.position == self.ring.head:
            self.rest(watch)

    def rest(self, watch: Watch) -> None:
        """It has seen everything."""
        watch.idle = True
        self._idle.setdefault(watch.scope, set()).add(watch)

    def leave(self, watch: Watch) -> None:
        """It has ended."""
        trigger = self._watches.pop(watch, "")
        if trigger:
            self._triggers[trigger] -= 1
            if not self._triggers[trigger]:
                del self._triggers[trigger]
        idle = self._idle.get(watch.scope)
        if idle is not None:
            idle.discard(watch)
            if not idle:
                del self._idle[watch.scope]

    def interested(self, namespace: str, name: str) -> int:
        """How many idle watchers a change of that object would wake, those with triggers not counted."""
        idle = self._idle
        return sum(len(idle.get(scope, ())) for scope in {"", namespace, (namespace, name), ("", name)})

    def end(self) -> None:
        """End them all in good order."""
        for watch in list(self._watches):
            watch.close()

    def rouse(self, event: Event, number: int) -> None:
        """Wake the idle ones whom this event, the ring's newest, concerns."""
        self._joined.clear()
        if not self._idle:
            return
        namespace, _, name = event.key.rpartition("/")
        scopes: set[Scope] = {"", namespace, (namespace, name), ("", name)}
        for field in self._triggers:
            for entry in (event.entry, event.previous):
                if entry is not None:
                    scopes.add(("trigger", field, entry.fields.get(field, "")))
        for scope in scopes:
            idle = self._idle.get(scope)
            if idle is None:
                continue
            roused = [watch for watch in idle if watch.wants(event)]
            if len(roused) == len(idle):
                del self._idle[scope]
            else:
                idle.difference_update(roused)
            for watch in roused:
                watch.rouse(number)

    def joined(self, watch: Watch) -> tuple[bytes, int]:
        """The encoded events that the watch has not seen, and the position they reach."""
        terms, position = watch.terms, watch.position
        found = self._joined.get((terms, position))
        if found is not None:
            return found
        lines = []
        size = 0
        reached = position
        for event in self.ring.since(position):
            reached += 1
            told = terms.told(event)
            if told is not None:
                line = event.line(terms.form, *told, watch.make)
                lines.append(line)
                size += len(line)
                if size >= _JOINED:
                    break
        found = b"".join(lines), reached
        if len(self._watches) > 1:
            self._joined[terms, position] = found
        return found
