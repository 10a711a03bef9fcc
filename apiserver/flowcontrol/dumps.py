"""What /debug/api_priority_and_fairness/* shows: levels, queues and requests as tables in the original's form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from apimachinery import gvk
from apiserver.app import PathHandler
from apiserver.filters.base import Request
from apiserver.filters.errors import page_not_found
from apiserver.flowcontrol.controller import Fairness
from apiserver.flowcontrol.levels import Level, Queue, Ticket
from serving.reply import Reply

PREFIX = "/debug/api_priority_and_fairness/"
_NARROWEST = 8

_LEVELS = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
]
_QUEUES = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
]
_REQUESTS = [
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
]
_DETAILS = ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"]


def handler(fairness: Fairness) -> PathHandler:
    """Answers every path below PREFIX."""

    async def answer(request: Request) -> Reply:
        name = request.info.path.removeprefix(PREFIX)
        if name == "dump_priority_levels":
            text = _table(_LEVELS, _levels(fairness))
        elif name == "dump_queues":
            text = _table(_QUEUES, _queues(fairness))
        elif name == "dump_requests":
            details = bool(request.param("includeRequestDetails"))
            text = _table([*_REQUESTS, *(_DETAILS if details else ())], _requests(fairness, details=details))
        else:
            raise page_not_found()
        return Reply(200, text.encode(), "text/plain; charset=utf-8")

    return answer


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; a comma after each but the last."""
    lines = [head, *rows]
    widths = [max(_NARROWEST, max(len(line[at]) + 2 for line in lines)) for at in range(len(head) - 1)]
    return "".join(
        "".join(f"{cell},".ljust(width) for cell, width in zip(line, widths, strict=False)) + line[-1] + "\n"
        for line in lines
    )


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _levels(fairness: Fairness) -> Iterable[Sequence[str]]:
    for name, level in sorted(fairness.levels.items()):
        counts = (level.waiting, level.executing, level.dispatched, level.rejected, 0, level.cancelled)
        yield [name, str(len(level.busy)), _bool(level.idle), _bool(level.quiescing), *map(str, counts)]


def _queues(fairness: Fairness) -> Iterable[Sequence[str]]:
    for level in fairness.levels.values():
        for queue in level.queues:
            initial = sum(ticket.initial for ticket in queue.waiting)
            widest = sum(ticket.seats for ticket in queue.waiting)
            yield [
                level.name,
                *map(str, (queue.index, len(queue.waiting), queue.executing, queue.seats)),
                f"{queue.starts:.8f}ss",
                str(initial),
                str(widest),
                f"{queue.work:.8f}ss",
            ]


def _requests(fairness: Fairness, *, details: bool) -> Iterable[Sequence[str]]:
    offset = fairness.clock.time() - fairness.clock.monotonic()
    for level in fairness.levels.values():
        places: list[tuple[Queue | None, int, Ticket]] = []
        for queue in level.busy:
            places += [(queue, at, ticket) for at, ticket in enumerate(queue.waiting)]
        places += [(ticket.queue, -1, ticket) for ticket in level.running]
        for place, at, ticket in places:
            yield _request(level, place, at, ticket, offset, details=details)


def _request(
    level: Level, queue: Queue | None, at: int, ticket: Ticket, offset: float, *, details: bool
) -> Sequence[str]:
    final = ticket.seats if ticket.lingering else 0
    row = [
        level.name,
        ticket.flow.schema,
        str(queue.index if queue is not None else -1),
        str(at),
        ticket.flow.distinguisher,
        _time((ticket.started if at < 0 else ticket.since) + offset),
        str(ticket.initial),
        str(final),
        f"{ticket.lingering * 1000:g}ms" if ticket.lingering else "0s",
        _time(ticket.started + offset) if ticket.started else "0001-01-01T00:00:00Z",
    ]
    if details:
        request: Request = ticket.details
        info = request.info
        version = gvk.api_version(info.group, info.version)
        place = [info.verb, info.path, info.namespace, info.name, version, info.resource, info.subresource]
        row += [request.user.name, *place]
    return row


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
