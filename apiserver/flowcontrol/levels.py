"""One priority level at work: seats, shuffle-sharded queues, and the fair order in which waiting requests get seats.

The rules are those of KEP-1040 and the original's fair queuing for servers: a flow is dealt a hand of queues and joins the
one with the least work waiting; each queue has a virtual time at which its next request starts, which moves on by the work
that is dispatched from it, and the queue that would finish first goes first. Virtual time R passes at the rate at which
each busy queue gets seats; that is counted in seats in use and not in seats wanted, because here requests also wait for
their turn of the loop, and while nobody is served nobody's claim may grow. A request that nothing stands in the way of
takes its seats in a few additions; queues are only visited when somebody waits.

pacing.py decides when levels may dispatch; controller.py makes levels and tells them their limits.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from apiserver.flowcontrol.metrics import SECONDS, SchemaStats
from apiserver.flowcontrol.retry import RetryAfter

_GUESS = 0.003  # seconds of service that a request is taken to need until it is known
_SMOOTHING = 0.977  # per adjustment of seats, so that demand is forgotten by half in five minutes


class Queue:
    """One of a level's queues. starts: the virtual time at which its next request begins."""

    __slots__ = ("executing", "index", "seats", "starts", "waiting", "work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.starts = 0.0
        self.executing = 0
        self.seats = 0
        self.waiting: deque[Ticket] = deque()
        self.work = 0.0  # seat-seconds that wait


class Flow:
    """What requests of one kind by one user share: their schema, level and hand of queues. Made by controller.py."""

    __slots__ = ("distinguisher", "hand", "headers", "level", "schema", "stats")

    def __init__(self, level: Level, schema: str, uid: str, distinguisher: str, stats: SchemaStats) -> None:
        self.level = level
        self.schema = schema
        self.distinguisher = distinguisher
        self.stats = stats
        self.headers = (
            ("X-Kubernetes-Pf-Flowschema-Uid", uid),
            ("X-Kubernetes-Pf-Prioritylevel-Uid", level.uid),
        )
        self.hand = level.hand(schema, distinguisher)


class Ticket:
    """A request's claim to seats. seats: the most it holds at once; lingering: seconds it keeps them after its answer."""

    __slots__ = (
        "arrived",
        "details",
        "flow",
        "given",
        "initial",
        "lingering",
        "queue",
        "seats",
        "since",
        "started",
        "work",
    )

    def __init__(self, flow: Flow, initial: int, final: int, lingering: float, details: Any) -> None:
        self.flow = flow
        self.details = details
        self.initial = initial
        self.lingering = lingering
        if lingering:
            self.seats = initial if initial >= final else final
            self.work = initial * _GUESS + final * lingering
        else:
            self.seats = initial
            self.work = initial * _GUESS
        self.queue: Queue | None = None
        self.started = 0.0  # monotonic seconds; 0 while it waits
        # Only those that wait have these: when they arrived in virtual time and in monotonic seconds, and what tells them
        # to go (True) or that they are refused.
        self.arrived: float
        self.since: float
        self.given: asyncio.Future[bool]


class Level:
    """A PriorityLevelConfiguration at work. limit: the seats it has now; nominal, lower, upper: see controller.py."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self.name = name
        self.uid = ""
        self.spec: dict[str, Any] = {}
        self.exempt = False
        self.queued = False
        self.limit = self.nominal = self.lower = self.upper = 0
        self.length_limit = 1
        self.max_seats = 0  # the widest request, 0 for the general limit
        self.quiescing = False
        self.retry = RetryAfter()
        self.stats: dict[str, SchemaStats] = {}
        self.smoothed = self.average = self.deviation = 0.0
        self.high = 0
        # What waits and runs.
        self.queues: list[Queue] = []
        self.busy: dict[Queue, None] = {}  # queues in which something waits
        self.in_use = self.executing = self.waiting = self.waiting_seats = 0
        self.dispatched = self.rejected = self.cancelled = 0
        self.running: dict[Ticket, None] = {}
        self.virtual = 0.0
        self.turn = 0.0  # pacing.py's virtual time among levels
        self._hand_size = 0
        self._active = 0  # queues in which something waits or runs
        self._dealt = 0
        self._robin = 0
        self._now = now
        self._last = self._since = now()
        self._peak = 0
        self._sum = self._squares = 0.0

    # -- configuration

    def configure(self, obj: dict[str, Any]) -> None:
        """Follow the object. Queues that are no more wanted stay until they are empty, but get nothing new."""
        self.uid = obj["metadata"].get("uid", "")
        self.spec = spec = obj["spec"]
        self.exempt = spec.get("type") == "Exempt"
        queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing")
        self.queued = queuing is not None
        wanted = queuing["queues"] if queuing else 0
        self._hand_size = min(queuing["handSize"], wanted) if queuing else 0
        self.length_limit = queuing["queueLengthLimit"] if queuing else 1
        self.queues = self.queues[:wanted]
        self.queues += [Queue(index) for index in range(len(self.queues), wanted)]

    def hand(self, schema: str, distinguisher: str) -> Sequence[Queue]:
        """The queues dealt to a flow: shuffle sharding by the SHA-256 of its name, as the original's dealer deals."""
        if not self.queues:
            return ()
        digest = hashlib.sha256(f"{schema}\0{distinguisher}".encode("utf-8", "surrogatepass")).digest()
        value = int.from_bytes(digest[:8], "little") if len(self.queues) > 1 else 0
        deck, cards = len(self.queues), []
        remainders: list[int] = []
        for dealt in range(self._hand_size):
            value, remainder = divmod(value, deck - dealt)
            card = remainder
            for earlier in reversed(remainders):
                if card >= earlier:
                    card += 1
            remainders.append(remainder)
            cards.append(self.queues[card])
        return tuple(cards)

    # -- a request's way

    def free(self, seats: int) -> bool:
        """Would that many seats be given now? A request wider than the level runs when it is alone."""
        limit = self.limit
        return self.in_use + seats <= limit or (seats > limit and not self.executing)

    def start(self, ticket: Ticket) -> None:
        """Give the seats at once, through no queue's line (but on a queue's account). Nobody may be waiting.

        This and finish() are what nearly every request costs, so they do what other methods do for themselves.
        """
        now = self._now()
        demand = self.in_use  # as nobody waits
        if demand:
            passed = now - self._last
            self._sum += demand * passed
            self._squares += demand * demand * passed
            if self._active:
                self.virtual += demand * passed / self._active
        self._last = ticket.started = now
        seats = ticket.seats
        stats = ticket.flow.stats
        hand = ticket.flow.hand
        if hand:
            dealt = self._dealt
            queue = hand[dealt % len(hand)]
            self._dealt = dealt + 1
            ticket.queue = queue
            if not queue.executing:
                queue.starts = self.virtual
                self._active += 1
            queue.executing += 1
            queue.seats += seats
            queue.starts += ticket.work
            lengths = stats.lengths
            lengths[1] += 1
            lengths[-1] += 1
        stats.waits[0] += 1
        self.executing += 1
        self.in_use = demand = demand + seats
        if demand > self._peak:
            self._peak = demand
        self.dispatched += 1
        self.running[ticket] = None
        stats.executing += 1
        stats.seats += seats
        stats.dispatched += 1

    def _take(self, ticket: Ticket) -> None:
        seats = ticket.seats
        self.executing += 1
        self.in_use += seats
        self.dispatched += 1
        demand = self.in_use + self.waiting_seats
        if demand > self._peak:
            self._peak = demand
        self.running[ticket] = None
        stats = ticket.flow.stats
        stats.executing += 1
        stats.seats += seats
        stats.dispatched += 1

    def enqueue(self, ticket: Ticket) -> bool:
        """Put it in line, in the queue of its hand with the least waiting work; False when that is full."""
        now = self._now()
        self._pass(now)
        hand = ticket.flow.hand
        offset = self._dealt % len(hand)
        self._dealt += 1
        queue = min((*hand[offset:], *hand[:offset]), key=_waiting_work)
        if self.in_use >= self.limit and len(queue.waiting) >= self.length_limit:
            return False
        ticket.queue, ticket.arrived, ticket.since = queue, self.virtual, now
        if not queue.waiting:
            if not queue.executing:
                queue.starts = self.virtual
                self._active += 1
            self.busy[queue] = None
            queue.starts = max(queue.starts, self.virtual)
        queue.waiting.append(ticket)
        queue.work += ticket.work
        self._wait(ticket, 1)
        if (demand := self.in_use + self.waiting_seats) > self._peak:
            self._peak = demand
        stats = ticket.flow.stats
        length = len(queue.waiting)
        stats.lengths[stats.length_bucket(length)] += 1
        stats.lengths[-1] += length
        ticket.given = asyncio.get_running_loop().create_future()
        return True

    def _wait(self, ticket: Ticket, sign: int) -> None:
        self.waiting += sign
        self.waiting_seats += sign * ticket.seats
        ticket.flow.stats.waiting += sign
        ticket.flow.stats.waiting_seats += sign * ticket.seats

    def dispatch(self) -> Ticket | None:
        """Give seats to the request that is next in fair order; None when nobody waits or there are too few seats."""
        while (queue := self._next_queue()) is not None:
            ticket = queue.waiting[0]
            if not ticket.given.cancelled():
                break
            self.give_up(ticket, timed_out=False)
        else:
            return None
        if not self.free(ticket.seats):
            ticket.flow.stats.unaccommodated += 1
            return None
        now = self._now()
        self._pass(now)
        self._robin = queue.index
        self._leave(queue, ticket)
        queue.starts += ticket.work
        queue.executing += 1
        queue.seats += ticket.seats
        self._bound(queue)
        ticket.started = now
        self._take(ticket)
        ticket.flow.stats.waited(now - ticket.since)
        ticket.given.set_result(True)
        return ticket

    def _next_queue(self) -> Queue | None:
        """The queue whose oldest request would finish first; among equals the next one around."""
        best: Queue | None = None
        least, count = math.inf, len(self.queues) or 1
        nearest = 0
        for queue in self.busy:
            finish = queue.starts + queue.waiting[0].work
            distance = (queue.index - self._robin - 1) % count
            if finish < least or (finish == least and distance < nearest):
                best, least, nearest = queue, finish, distance
        return best

    def _leave(self, queue: Queue, ticket: Ticket) -> None:
        """The ticket waits no longer."""
        queue.waiting.remove(ticket)
        queue.work -= ticket.work
        if not queue.waiting:
            queue.work = 0.0
            del self.busy[queue]
        self._wait(ticket, -1)

    def _bound(self, queue: Queue) -> None:
        """No credit for time in which a queue asked for nothing."""
        if queue.waiting and queue.starts < queue.waiting[0].arrived:
            queue.starts = queue.waiting[0].arrived

    def give_up(self, ticket: Ticket, *, timed_out: bool) -> None:
        """The waiting request goes away: its time is over or its client is gone."""
        queue = ticket.queue
        assert queue is not None
        self._pass(self._now())
        self._leave(queue, ticket)
        if not queue.waiting and not queue.executing:
            self._active -= 1
        self._bound(queue)
        self.cancelled += 1
        self.rejected += 1
        ticket.flow.stats.refused("time-out" if timed_out else "cancelled")
        ticket.queue = None
        if not ticket.given.done():
            ticket.given.set_result(False)

    def finish(self, ticket: Ticket) -> float:
        """The answer is made. The seats are free, unless they linger for the seconds that are returned: then release()."""
        now = self._now()
        passed = now - self._last
        self._last = now
        demand = self.in_use + self.waiting_seats
        self._sum += demand * passed
        self._squares += demand * demand * passed
        if self._active:
            self.virtual += self.in_use * passed / self._active
        seconds = now - ticket.started
        self.executing -= 1
        del self.running[ticket]
        stats = ticket.flow.stats
        stats.executing -= 1
        counts = stats.execution
        counts[bisect_left(SECONDS, seconds)] += 1
        counts[-1] += seconds
        queue = ticket.queue
        if queue is not None:
            queue.executing -= 1
            queue.starts -= ticket.initial * (_GUESS - seconds)
            if queue.waiting:
                self._bound(queue)
            elif not queue.executing:
                self._active -= 1
        if ticket.lingering:
            return ticket.lingering
        seats = ticket.seats
        self.in_use -= seats
        stats.seats -= seats
        if queue is not None:
            queue.seats -= seats
        return 0.0

    def release(self, ticket: Ticket) -> None:
        """The seats that lingered are free."""
        self._pass(self._now())
        self.in_use -= ticket.seats
        ticket.flow.stats.seats -= ticket.seats
        if ticket.queue is not None:
            ticket.queue.seats -= ticket.seats

    # -- time

    def _pass(self, now: float) -> None:
        """Let virtual time, and the record of demand, catch up."""
        passed = now - self._last
        self._last = now
        demand = self.in_use + self.waiting_seats
        if demand:
            self._sum += demand * passed
            self._squares += demand * demand * passed
            if self._active:
                self.virtual += self.in_use * passed / self._active

    def expired(self, now: float, seconds: float) -> list[Ticket]:
        """Those that have waited longer than that."""
        late = []
        for queue in self.busy:
            for ticket in queue.waiting:
                if now - ticket.since < seconds:
                    break
                late.append(ticket)
        return late

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.executing

    def measure(self) -> None:
        """Take stock of the demand since the last time: highest, average, deviation, and their smoothed envelope."""
        now = self._now()
        self._pass(now)
        seconds = now - self._since
        self.high = self._peak
        if seconds > 0:
            self.average = self._sum / seconds
            self.deviation = math.sqrt(max(self._squares / seconds - self.average**2, 0.0))
            envelope = self.average + self.deviation
            self.smoothed = max(envelope, _SMOOTHING * self.smoothed + (1 - _SMOOTHING) * envelope)
        self._since, self._sum, self._squares = now, 0.0, 0.0
        self._peak = self.in_use + self.waiting_seats


def _waiting_work(queue: Queue) -> float:
    return queue.work
