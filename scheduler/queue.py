"""Pods that wait to be scheduled: ready, backing off, or unschedulable until something changes.

    active          a heap by priority, then by time; what pop() gives
    backoff         tried without success, and something has changed since, or it may soon: waits 1 s doubling to 10 s
    unschedulable   waits for an event that one of the plugins which refused it has declared, or five minutes
A gated pod (spec.schedulingGates) is not here at all until its gates are gone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from apimachinery.clock import Clock
from scheduler.podinfo import PodInfo


@dataclass(slots=True)
class Waiting:
    """A pod in the queue. attempts: how often it was tried. refused_by: plugins that refused it the last time."""

    pod: PodInfo
    since: float
    attempts: int = 0
    tried_at: float = 0.0
    refused_by: frozenset[str] = frozenset()
    cycle: int = 0
    serial: int = field(default=0, compare=False)


class Queue:
    """events: what each plugin declares to wake the pods that it refused."""

    def __init__(
        self,
        clock: Clock,
        events: Mapping[str, frozenset[str]],
        *,
        initial_backoff: float,
        max_backoff: float,
        max_unschedulable: float,
    ) -> None:
        self._clock = clock
        self._events = events
        self._initial, self._max, self._max_unschedulable = initial_backoff, max_backoff, max_unschedulable
        self._entries: dict[str, Waiting] = {}  # by uid, wherever they are
        self._active: list[tuple[int, float, int, Waiting]] = []
        self._backoff: list[tuple[float, int, Waiting]] = []
        self._unschedulable: dict[str, Waiting] = {}
        self._in_flight: dict[str, Waiting] = {}
        self._serial = itertools.count(1)
        self._cycle = 0
        self._moved: dict[str, int] = {}  # event -> the cycle that was the newest when it last happened
        self._ready = asyncio.Event()
        self._timer_changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def counts(self) -> dict[str, int]:
        """Pods by state, for the pending_pods metric."""
        backoff = sum(entry.serial == serial for _, serial, entry in self._backoff)
        active = sum(entry.serial == serial for _, _, serial, entry in self._active)
        return {"active": active, "backoff": backoff, "unschedulable": len(self._unschedulable)}

    def add(self, pod: PodInfo) -> None:
        """A new pod, or a pod that must be looked at now."""
        entry = self._entries.get(pod.uid)
        if entry is None:
            entry = self._entries[pod.uid] = Waiting(pod, self._clock.monotonic())
        entry.pod = pod
        if pod.uid not in self._in_flight:
            self._activate(entry)

    def update(self, pod: PodInfo, *, changed: bool) -> None:
        """A waiting pod's object is another now. changed: in a way that may make it schedulable."""
        entry = self._entries.get(pod.uid)
        if entry is None:
            self.add(pod)
            return
        entry.pod = pod
        if changed and pod.uid in self._unschedulable:
            self._move(entry)

    def remove(self, uid: str) -> None:
        """The pod is gone, or placed."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.serial = 0
        self._unschedulable.pop(uid, None)
        self._in_flight.pop(uid, None)

    async def pop(self) -> Waiting:
        """The next pod to schedule; waits for one. done() or failed() must follow."""
        while True:
            while self._active:
                *_, serial, entry = heapq.heappop(self._active)
                if entry.serial == serial:
                    self._cycle += 1
                    entry.serial, entry.attempts, entry.cycle = 0, entry.attempts + 1, self._cycle
                    entry.tried_at = self._clock.monotonic()
                    self._in_flight[entry.pod.uid] = entry
                    return entry
            self._ready.clear()
            await self._ready.wait()

    def done(self, entry: Waiting) -> None:
        """The pod has been placed (or needs no place any more)."""
        self.remove(entry.pod.uid)

    def failed(self, entry: Waiting, refused_by: Iterable[str] = ()) -> None:
        """The attempt came to nothing. refused_by: the plugins that refused it; none for an error, which is retried anyway."""
        uid = entry.pod.uid
        if self._in_flight.pop(uid, None) is None or uid not in self._entries:
            return
        entry.refused_by = frozenset(refused_by)
        missed = any(cycle >= entry.cycle and self._wakes(entry, event) for event, cycle in self._moved.items())
        if not entry.refused_by or missed:
            self._to_backoff(entry)
        else:
            entry.serial = 0
            self._unschedulable[uid] = entry
            self._timer_changed.set()

    def moved(self, event: str) -> None:
        """Something happened in the cluster: wake the pods for which it may matter."""
        self._moved[event] = self._cycle
        for entry in [entry for entry in self._unschedulable.values() if self._wakes(entry, event)]:
            self._move(entry)

    async def run(self) -> None:
        """Move pods whose backoff is over, or that have waited too long, until cancelled."""
        while True:
            now = self._clock.monotonic()
            while self._backoff and self._backoff[0][0] <= now:
                _, serial, entry = heapq.heappop(self._backoff)
                if entry.serial == serial:
                    self._activate(entry)
            for entry in [e for e in self._unschedulable.values() if now - e.tried_at >= self._max_unschedulable]:
                self._move(entry)
            await self._sleep(now)

    async def _sleep(self, now: float) -> None:
        """Until the next deadline, or until deadlines change."""
        due = [self._backoff[0][0]] if self._backoff else []
        due += [entry.tried_at + self._max_unschedulable for entry in self._unschedulable.values()]
        self._timer_changed.clear()
        changed = asyncio.ensure_future(self._timer_changed.wait())
        waits: set[asyncio.Future[object]] = {changed}  # type: ignore[arg-type]
        if due:
            waits.add(asyncio.ensure_future(self._clock.sleep(max(0.0, min(due) - now))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # -- moving between states

    def _wakes(self, entry: Waiting, event: str) -> bool:
        return any(event in self._events.get(plugin, frozenset()) for plugin in entry.refused_by)

    def _move(self, entry: Waiting) -> None:
        """Out of the unschedulable ones: to work at once, or after what is left of its backoff."""
        self._unschedulable.pop(entry.pod.uid, None)
        if entry.tried_at + self._delay(entry) <= self._clock.monotonic():
            self._activate(entry)
        else:
            self._to_backoff(entry)

    def _delay(self, entry: Waiting) -> float:
        return min(self._initial * 2.0 ** min(max(entry.attempts - 1, 0), 30), self._max)

    def _to_backoff(self, entry: Waiting) -> None:
        entry.serial = next(self._serial)
        heapq.heappush(self._backoff, (entry.tried_at + self._delay(entry), entry.serial, entry))
        self._timer_changed.set()

    def _activate(self, entry: Waiting) -> None:
        self._unschedulable.pop(entry.pod.uid, None)
        entry.serial = next(self._serial)
        heapq.heappush(self._active, (-entry.pod.priority, entry.since, entry.serial, entry))
        self._ready.set()
