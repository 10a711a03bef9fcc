"""Bounds how long a request may take. Watches and connections that live on are exempt; they have their own ends."""

from __future__ import annotations

import asyncio

from apimachinery import clock as clocks
from apimachinery import errors
from apimachinery.clock import Clock
from apiserver.filters.base import Proceed, Request
from openapi import scalars
from serving.reply import Reply

_LOOK_EVERY = 1.0  # seconds


class Deadline:
    """seconds: --request-timeout; a `timeout` parameter may ask for less.

    A timer per request would cost more than a small request itself. So requests are only noted, and one watcher, run() by the
    server, looks once a second for those that are overdue; short limits of a client's own get a real timer.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._under_way: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        if request.long_running:
            return await proceed(request)
        if "timeout" in request.raw_query and request.query.get("timeout"):
            seconds = min(self._seconds, _parse(request.param("timeout"), self._seconds))
            async with clocks.timeout(self._clock, seconds):
                return await proceed(request)
        task = asyncio.current_task()
        assert task is not None
        self._under_way[task] = request.received + self._seconds
        try:
            return await proceed(request)
        except asyncio.CancelledError:
            if task in self._overdue and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            del self._under_way[task]
            self._overdue.discard(task)

    async def run(self) -> None:
        """Cancel what is overdue, for as long as the server runs."""
        while True:
            await self._clock.sleep(_LOOK_EVERY)
            now = self._clock.monotonic()
            for task, end in list(self._under_way.items()):
                if end <= now and task not in self._overdue:
                    self._overdue.add(task)
                    task.cancel()


def _parse(text: str, default: float) -> float:
    """Seconds of a Go duration; 400 when it is none. None at all and zero mean the default, and so does what is less."""
    if not text:
        return default
    try:
        seconds = scalars.parse_duration(text) / 1e9
    except ValueError as error:
        raise errors.bad_request(f"invalid timeout specified in the request URL - {error}") from None
    return seconds if seconds > 0 else default
