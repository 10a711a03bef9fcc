"""The metrics of priority and fairness, under the original's names, kept as plain numbers and drawn when somebody asks.

A request in the good case changes a handful of them; so each pair of level and schema has one object of counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from serving.metrics import Counter, Gauge, Histogram, Labels, Metrics

if TYPE_CHECKING:
    from apiserver.flowcontrol.levels import Level

SECONDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
_LENGTHS = (0, 10, 25, 50, 100, 250, 500, 1000)
SEATS = (1, 2, 4, 8, 16, 32, 64, 100)
_PREFIX = "apiserver_flowcontrol_"
_PAIR = ("priority_level", "flow_schema")


class SchemaStats:
    """Counts of one schema within one level; the lists are histograms' own (a count per bucket, one beyond, the sum)."""

    __slots__ = (
        "dispatched",
        "executing",
        "execution",
        "lengths",
        "names",
        "rejected",
        "seats",
        "unaccommodated",
        "waiting",
        "waiting_seats",
        "waits",
        "waits_refused",
        "watches",
        "widths",
    )

    def __init__(self, names: tuple[str, str]) -> None:
        self.names = names
        self.executing = self.seats = self.waiting = self.waiting_seats = 0
        self.dispatched = self.unaccommodated = 0
        self.rejected: dict[str, int] = {}
        self.execution, self.watches = _counts(SECONDS), _counts(SECONDS)
        self.waits, self.waits_refused = _counts(SECONDS), _counts(SECONDS)
        self.lengths, self.widths = _counts(_LENGTHS), _counts(SEATS)

    @staticmethod
    def length_bucket(length: int) -> int:
        return bisect_left(_LENGTHS, length)

    def refused(self, reason: str) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def waited(self, seconds: float, *, executed: bool = True) -> None:
        counts = self.waits if executed else self.waits_refused
        counts[bisect_left(SECONDS, seconds)] += 1
        counts[-1] += seconds

    def width(self, seats: int) -> None:
        self.widths[bisect_left(SEATS, seats)] += 1
        self.widths[-1] += seats


def _counts(buckets: tuple[float, ...]) -> list[float]:
    return [0.0] * (len(buckets) + 2)


class _Read(Counter):
    """A metric whose values are asked for at each scrape."""

    def __init__(
        self, kind: str, name: str, text: str, labels: Iterable[str], read: Callable[[], Mapping[Labels, float]]
    ) -> None:
        super().__init__(_PREFIX + name, text, tuple(labels))
        self.kind = kind
        self._read = read

    def lines(self) -> Iterable[str]:
        self.values = dict(self._read())
        return super().lines()


class _ReadHistogram(Histogram):
    def __init__(
        self,
        name: str,
        text: str,
        labels: Iterable[str],
        buckets: tuple[float, ...],
        read: Callable[[], Mapping[Labels, list[float]]],
    ) -> None:
        super().__init__(_PREFIX + name, text, tuple(labels), buckets)
        self._read = read

    def lines(self) -> Iterable[str]:
        self.values = {labels: counts for labels, counts in self._read().items() if any(counts[:-1])}
        return super().lines()


def register(metrics: Metrics, levels: Callable[[], Iterable[Level]], fair_fraction: Callable[[], float]) -> None:
    """Show everything that the levels count."""

    def stats() -> Iterable[SchemaStats]:
        return [each for level in levels() for each in level.stats.values()]

    def by_pair(kind: str, name: str, text: str, value: Callable[[SchemaStats], float]) -> None:
        metrics.add(_Read(kind, name, text, _PAIR, lambda: {each.names: value(each) for each in stats()}))

    def by_level(name: str, text: str, value: Callable[[Level], float]) -> None:
        labels = ("priority_level",)
        metrics.add(_Read("gauge", name, text, labels, lambda: {(each.name,): value(each) for each in levels()}))

    def rejected() -> Mapping[Labels, float]:
        return {(*each.names, reason): count for each in stats() for reason, count in each.rejected.items()}

    text = "Number of requests rejected by API Priority and Fairness subsystem"
    metrics.add(_Read("counter", "rejected_requests_total", text, (*_PAIR, "reason"), rejected))
    of = " in the API Priority and Fairness subsystem"
    text = "Number of requests executed by API Priority and Fairness subsystem"
    by_pair("counter", "dispatched_requests_total", text, lambda s: s.dispatched)
    text = "Number of times a dispatch attempt resulted in a non accommodation due to lack of available seats"
    by_pair("counter", "request_dispatch_no_accommodation_total", text, lambda s: s.unaccommodated)
    text = "Number of requests currently pending in queues of the API Priority and Fairness subsystem"
    by_pair("gauge", "current_inqueue_requests", text, lambda s: s.waiting)
    text = "Number of seats currently pending in queues of the API Priority and Fairness subsystem"
    by_pair("gauge", "current_inqueue_seats", text, lambda s: s.waiting_seats)
    stage = "initial (for a WATCH) or any (for a non-WATCH)"
    text = f"Number of requests in {stage} execution stage{of}"
    by_pair("gauge", "current_executing_requests", text, lambda s: s.executing)
    text = (
        "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage "
        f"otherwise) requests{of}"
    )
    by_pair("gauge", "current_executing_seats", text, lambda s: s.seats)
    text = "Nominal number of execution seats configured for each priority level"
    by_level("nominal_limit_seats", text, lambda level: level.nominal)
    text = "Configured lower bound on number of execution seats available to each priority level"
    by_level("lower_limit_seats", text, lambda level: level.lower)
    text = "Configured upper bound on number of execution seats available to each priority level"
    by_level("upper_limit_seats", text, lambda level: level.upper)
    text = "current derived number of execution seats available to each priority level"
    by_level("current_limit_seats", text, lambda level: level.limit)
    period = "over last adjustment period, of demand_seats"
    by_level("demand_seats_high_watermark", f"High watermark, {period}", lambda level: level.high)
    by_level("demand_seats_average", f"Time-weighted average, {period}", lambda level: level.average)
    by_level("demand_seats_stdev", f"Time-weighted standard deviation, {period}", lambda level: level.deviation)
    by_level("demand_seats_smoothed", "Smoothed seat demands", lambda level: level.smoothed)
    by_level("current_r", "R(time of last change)", lambda level: level.virtual)
    text = "Fair fraction of server's concurrency to allocate to each priority level that can use it"
    metrics.add(Gauge(_PREFIX + "seat_fair_frac", text, read=lambda: {(): fair_fraction()}))
    _histograms(metrics, stats)


def _histograms(metrics: Metrics, stats: Callable[[], Iterable[SchemaStats]]) -> None:
    def waits() -> Mapping[Labels, list[float]]:
        return {
            (*each.names, executed): counts
            for each in stats()
            for executed, counts in (("true", each.waits), ("false", each.waits_refused))
        }

    def executions() -> Mapping[Labels, list[float]]:
        return {
            (*each.names, kind): counts
            for each in stats()
            for kind, counts in (("regular", each.execution), ("watch", each.watches))
        }

    text = "Length of time a request spent waiting in its queue"
    metrics.add(_ReadHistogram("request_wait_duration_seconds", text, (*_PAIR, "execute"), SECONDS, waits))
    text = (
        "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority "
        "and Fairness subsystem"
    )
    metrics.add(_ReadHistogram("request_execution_seconds", text, (*_PAIR, "type"), SECONDS, executions))
    text = "Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued"
    metrics.add(
        _ReadHistogram(
            "request_queue_length_after_enqueue", text, _PAIR, _LENGTHS, lambda: {s.names: s.lengths for s in stats()}
        )
    )
    text = (
        "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and "
        "Fairness"
    )
    metrics.add(
        _ReadHistogram("work_estimated_seats", text, _PAIR, SEATS, lambda: {s.names: s.widths for s in stats()})
    )
