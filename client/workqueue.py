"""A work queue of keys: deduplicated, delayed, rate-limited. What client-go's workqueue package is.

Called by controllers, the scheduler and the node agent. A key that is added while a worker has it is handed out again
once that worker is done, never to two workers at once. Waiting is on the injected clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
from collections import deque
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from apimachinery.clock import Clock
from apimachinery.tokenbucket import TokenBucket

K = TypeVar("K", bound=Hashable)


class ShutDown(Exception):
    """get() on a queue that was shut down and has nothing left."""


class Metrics(Protocol):
    """Where a queue reports to; times in seconds of the queue's clock."""

    def depth(self, value: int) -> None: ...
    def added(self) -> None: ...
    def retried(self) -> None: ...
    def waited(self, seconds: float) -> None: ...
    def worked(self, seconds: float) -> None: ...


class ItemBackoff(Generic[K]):
    """base × 2**failures seconds per key, at most `limit`."""

    def __init__(self, base: float = 0.005, limit: float = 1000.0) -> None:
        self._base = base
        self._limit = limit
        self._failures: dict[K, int] = {}

    def next(self, key: K) -> float:
        """The delay before trying the key again; counts a failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(self._base * 2.0 ** min(failures, 64), self._limit)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)


class WorkQueue(Generic[K]):
    """Keys to be worked on. Defaults are client-go's: 5 ms doubling to 1,000 s per key, 10 retries/s overall (100 in a burst).

    A worker: `key = await queue.get()`, work, `queue.forget(key)` or `queue.add_rate_limited(key)`, `queue.done(key)`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        backoff: ItemBackoff[K] | None = None,
        bucket: TokenBucket | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._clock = clock
        self._backoff = backoff or ItemBackoff()
        self._bucket = bucket or TokenBucket(clock)
        self._metrics = metrics
        self._ready: deque[K] = deque()
        self._dirty: dict[K, float] = {}  # wanted, not yet handed out -> when it was added
        self._working: dict[K, float] = {}  # handed out -> since when
        self._arrived = asyncio.Event()
        self._closed = False
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}  # the earliest time a delayed key waits for
        self._order = itertools.count()
        self._timer: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Keys ready to be handed out."""
        return len(self._ready)

    # -- adding

    def add(self, key: K) -> None:
        """Hand the key out, once, as soon as no worker has it."""
        if self._closed or key in self._dirty:
            return
        self._dirty[key] = self._clock.monotonic()
        if self._metrics:
            self._metrics.added()
        if key not in self._working:
            self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """add() it later. Of several delays for one key the shortest counts."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if due >= self._due.get(key, math.inf):
            return
        self._due[key] = due
        earliest = not self._delayed or due < self._delayed[0][0]
        heapq.heappush(self._delayed, (due, next(self._order), key))
        if earliest:
            self._restart_timer()

    def add_rate_limited(self, key: K) -> None:
        """add() it after its backoff, counting a failure."""
        if self._metrics:
            self._metrics.retried()
        self.add_after(key, max(self._backoff.next(key), self._bucket.reserve()))

    def forget(self, key: K) -> None:
        """Its next failure is its first."""
        self._backoff.forget(key)

    def num_requeues(self, key: K) -> int:
        """Failures since it was last forgotten."""
        return self._backoff.failures(key)

    # -- working

    async def get(self) -> K:
        """The next key; it is the caller's until done(). ShutDown."""
        while not self._ready:
            if self._closed:
                raise ShutDown
            self._arrived.clear()
            await self._arrived.wait()
        key = self._ready.popleft()
        now = self._clock.monotonic()
        since = self._dirty.pop(key)
        self._working[key] = now
        if self._metrics:
            self._metrics.waited(now - since)
            self._metrics.depth(len(self._ready))
        return key

    def done(self, key: K) -> None:
        """The caller has finished with it (whether it succeeded or not)."""
        since = self._working.pop(key, None)
        if since is not None and self._metrics:
            self._metrics.worked(self._clock.monotonic() - since)
        if key in self._dirty:
            self._push(key)

    def shut_down(self) -> None:
        """Take no more keys; those that are ready are still handed out, then get() raises ShutDown."""
        self._closed = True
        self._delayed.clear()
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arrived.set()

    # -- inside

    def _push(self, key: K) -> None:
        self._ready.append(key)
        self._arrived.set()
        if self._metrics:
            self._metrics.depth(len(self._ready))

    def _restart_timer(self) -> None:
        """One timer for all delayed keys, aimed at the earliest."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.create_task(self._expire(), name="workqueue-timer")

    async def _expire(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while self._delayed:
                wait = self._delayed[0][0] - self._clock.monotonic()
                if wait > 0:
                    await self._clock.sleep(wait)
                    continue
                due, _, key = heapq.heappop(self._delayed)
                if self._due.get(key) == due:
                    del self._due[key]
                    self.add(key)
            self._timer = None
