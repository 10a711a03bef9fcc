"""Waiting longer after each failure: for crashing containers and for images that cannot be pulled. Pure but for the clock.

The original's flowcontrol.Backoff: the first failure waits `base`, each further one twice as long up to `limit`; a key
that was quiet for twice the limit starts over.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from apimachinery.clock import Clock


@dataclass(slots=True)
class _Entry:
    delay: float
    updated: float


class Backoff:
    """Delays by key. base, limit: seconds. Times given to the methods are seconds since the epoch."""

    def __init__(self, clock: Clock, base: float = 10.0, limit: float = 300.0) -> None:
        self._clock = clock
        self._base = base
        self._limit = limit
        self._entries: dict[Hashable, _Entry] = {}

    def delay(self, key: Hashable) -> float:
        """How long the key waits after its last failure, 0 if it never failed."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def failed(self, key: Hashable, when: float) -> None:
        """Count a failure at that time."""
        entry = self._entries.get(key)
        if entry is None or when - entry.updated > 2 * self._limit:
            self._entries[key] = _Entry(self._base, self._clock.time())
            self._forget_old()
        else:
            entry.delay = min(entry.delay * 2, self._limit)
            entry.updated = self._clock.time()

    def remaining(self, key: Hashable, since: float) -> float:
        """Seconds still to wait when the last failure was at `since`; 0 when it may be tried."""
        entry = self._entries.get(key)
        now = self._clock.time()
        if entry is None or since - entry.updated > 2 * self._limit:
            return 0.0
        return max(0.0, since + entry.delay - now)

    def remaining_since_update(self, key: Hashable) -> float:
        """Seconds still to wait since failed() was last called for the key."""
        entry = self._entries.get(key)
        return max(0.0, entry.updated + entry.delay - self._clock.time()) if entry else 0.0

    def forget(self, key: Hashable) -> None:
        self._entries.pop(key, None)

    def _forget_old(self) -> None:
        now = self._clock.time()
        for key in [key for key, entry in self._entries.items() if now - entry.updated > 2 * self._limit]:
            del self._entries[key]


def draw_duration(seconds: float) -> str:
    """Seconds as Go prints a duration: 10s, 2m40s, 1.5s, 250ms."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        unit, factor = ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
        return f"{seconds * factor:.6f}".rstrip("0").rstrip(".") + unit
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{rest:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{text}"
    return f"{int(minutes)}m{text}" if minutes else text
