"""Priority and fairness: a request runs when its priority level has seats for it, waits in line, or is told to come back.

Connections that live on (exec, logs, proxies) are not counted; a watch is, until its first state is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from apiserver.filters.base import Proceed, Request
from apiserver.filters.errors import PlainText
from apiserver.flowcontrol import estimate
from apiserver.flowcontrol.controller import Fairness
from apiserver.flowcontrol.levels import Flow, Level, Ticket
from serving.metrics import Counter, Metrics
from serving.reply import Reply, Stream, StreamReply

_READS = frozenset(("get", "list", "watch"))


class PriorityAndFairness:
    """One per server."""

    def __init__(self, fairness: Fairness, metrics: Metrics) -> None:
        self._fairness = fairness
        self._pacer = fairness.pacer
        self._dropped = dropped_requests(metrics)

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        info = request.info
        watch = info.verb == "watch"
        if info.long_running and not watch:
            return await proceed(request)
        fairness = self._fairness
        flow = fairness.flow(request.user, info)
        request.reply_headers = flow.headers
        level = flow.level
        if info.verb == "get" or not info.is_resource:
            initial, final, lingering = estimate.ONE
        else:
            query = request.query if request.raw_query else {}
            initial, final, lingering = estimate.work(info, query, fairness.resources, level.max_seats)
        ticket = Ticket(flow, initial, final, lingering, request)
        stats = flow.stats
        if ticket.seats == 1:
            stats.widths[0] += 1
            stats.widths[-1] += 1
        else:
            stats.width(ticket.seats)
        if level.exempt:
            level.start(ticket)
        elif not level.waiting and self._pacer.left > 0 and level.free(ticket.seats):
            level.start(ticket)
            self._pacer.left -= ticket.seats
            if self._pacer.left <= 0:
                self._pacer.plan()
        else:
            await self._wait(request, level, ticket)
        if watch:
            return await self._watch(request, proceed, ticket)
        try:
            return await proceed(request)
        finally:
            fairness.finish(ticket)

    async def _wait(self, request: Request, level: Level, ticket: Ticket) -> None:
        """Return when the request may run; 429 when it may not."""
        if not level.queued:
            if level.free(ticket.seats):  # the turn of the loop is used up, but this level has no line to wait in
                level.start(ticket)
                return
            self._refuse(request, ticket.flow, level, "concurrency-limit")
        if not level.enqueue(ticket):
            self._refuse(request, ticket.flow, level, "queue-full")
        self._pacer.waits(level)
        try:
            may = await ticket.given
        except asyncio.CancelledError:
            if ticket.started:  # it was let in at the same moment
                self._fairness.finish(ticket)
            elif ticket.queue is not None:
                level.give_up(ticket, timed_out=False)
            raise
        if not may:
            self._refuse(request, ticket.flow, level, "", waited=self._fairness.clock.monotonic() - ticket.since)

    def _refuse(self, request: Request, flow: Flow, level: Level, reason: str, waited: float = 0.0) -> None:
        flow.stats.waited(waited, executed=False)
        if reason:
            level.rejected += 1
            flow.stats.refused(reason)
        self._dropped.add(("readOnly" if request.info.verb in _READS else "mutating",))
        raise too_many(level.retry.refused(self._fairness.clock.time()))

    async def _watch(self, request: Request, proceed: Proceed, ticket: Ticket) -> Reply:
        """The seats are given back when the watch has sent its first state, or is over before."""
        fairness = self._fairness

        def begun() -> None:
            if fairness.starting.pop(ticket, None) is not None:
                fairness.finish(ticket)

        fairness.starting[ticket] = begun
        request.begun = begun
        try:
            reply = await proceed(request)
        except BaseException:
            begun()
            raise
        if request.begun is not None:  # no watch of ours came of it
            begun()
        elif isinstance(reply, StreamReply):
            _end_with(reply, begun)
        return reply


def _end_with(reply: StreamReply, begun: Callable[[], None]) -> None:
    produce = reply.produce

    async def produced(stream: Stream) -> None:
        try:
            await produce(stream)
        finally:
            begun()

    reply.produce = produced


def too_many(seconds: int) -> PlainText:
    """429 with Retry-After, in the words that the original has for everybody."""
    error = PlainText(429, "Too many requests, please try again later.\n")
    error.retry_after = seconds
    return error


def dropped_requests(metrics: Metrics) -> Counter:
    text = "Monotonic count of requests dropped with 'Try again later' response"
    counter = Counter("apiserver_dropped_requests_total", text, ("request_kind",))
    metrics.add(counter)
    return counter
