"""The one clock: every sleep, timeout, timestamp and deadline of the project goes through it.

A component receives a Clock when it is built and never calls time.time() or asyncio.sleep() by itself, so a
test can stop time and move it. TLS and containers keep real time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """What components may ask of time. Seconds everywhere."""

    def time(self) -> float:
        """Wall time in seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""


def utcnow(clock: Clock) -> datetime:
    """The clock's wall time as an aware datetime in UTC."""
    return datetime.fromtimestamp(clock.time(), UTC)


async def wait_for(clock: Clock, awaitable: Awaitable[T], seconds: float) -> T:
    """The awaitable's result, or TimeoutError after that many seconds of the clock; the awaitable is then cancelled."""
    task = asyncio.ensure_future(awaitable)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        timer.cancel()
        if not task.done():
            task.cancel()


@asynccontextmanager
async def timeout(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError out of the block when it runs longer than that many seconds of the clock."""
    if isinstance(clock, RealClock):
        async with asyncio.timeout(seconds):
            yield
        return
    async with asyncio.timeout(None) as scope:

        async def expire() -> None:
            await clock.sleep(seconds)
            scope.reschedule(asyncio.get_running_loop().time())

        timer = asyncio.ensure_future(expire())
        try:
            yield
        finally:
            timer.cancel()


class RealClock:
    """The machine's own time."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ControlledClock:
    """A clock that stands still until it is moved; sleepers wake in the order of their deadlines."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def time(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking each sleeper at its own moment and letting it run before the next wakes."""
        end = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, deadline)
            if not future.done():
                future.set_result(None)
                await settle()
        self._elapsed = end
        await settle()


async def settle(rounds: int = 20) -> None:
    """Let tasks that are ready to run make progress; for tests that move a ControlledClock."""
    for _ in range(rounds):
        await asyncio.sleep(0)
