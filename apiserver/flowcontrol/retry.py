"""When a refused client should come back: longer, up to 32 s, while a priority level keeps refusing many requests."""

from __future__ import annotations

from collections import deque

_LONGEST = 32  # seconds


class RetryAfter:
    """One priority level's. The value doubles when three times as many requests were refused as it has seconds, and
    falls by one when fewer than its seconds were (the original's dropped requests tracker)."""

    def __init__(self) -> None:
        self.seconds = 1
        self._changed = 0
        self._second = 0
        self._count = 0
        self._history: deque[tuple[int, int]] = deque()  # (second, refused in it)

    def refused(self, now: float) -> int:
        """Count one refusal; the seconds to tell the client."""
        second = int(now)
        if second == self._second:
            self._count += 1
            return self.seconds
        self._history.append((self._second, self._count))
        kept = min(2 * self.seconds, _LONGEST)
        while self._history and self._second - self._history[0][0] > kept:
            self._history.popleft()
        self._second, self._count = second, 1
        self._adapt(second)
        return self.seconds

    def _adapt(self, now: int) -> None:
        recent = sum(count for second, count in self._history if 0 < now - second <= self.seconds)
        if now - self._changed >= self.seconds and recent >= 3 * self.seconds:
            self.seconds = min(2 * self.seconds, _LONGEST)
            self._changed = now
        elif recent < self.seconds and self.seconds > 1:
            self.seconds -= 1
