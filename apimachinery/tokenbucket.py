"""Token buckets: so many at once, and so many a second after that."""

from __future__ import annotations

from apimachinery.clock import Clock


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved up; reserve() may go into debt."""

    def __init__(self, clock: Clock, rate: float = 10.0, burst: int = 100) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled = clock.monotonic()

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now

    def reserve(self) -> float:
        """Take a token; seconds until it is really there."""
        self._fill()
        self._tokens -= 1
        return -self._tokens / self._rate if self._tokens < 0 else 0.0

    def take(self) -> bool:
        """Take a token if there is one."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
