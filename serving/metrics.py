"""Counters, gauges and histograms in the Prometheus text format, cheap enough for the hot path.

A metric keeps plain dicts keyed by label values; text is made only when somebody scrapes. Names and labels are those of the
original components, so that dashboards made for them work. Metrics of other libraries can be appended through `also`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"

Labels = tuple[str, ...]


class Counter:
    """Counts, by label values."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        values = self.values
        values[labels] = values.get(labels, 0) + amount

    def lines(self) -> Iterable[str]:
        for labels, value in list(self.values.items()):
            yield f"{self.name}{_draw(self.labels, labels)} {_number(value)}"


class Gauge(Counter):
    """A value that goes up and down; `read`, when given, is asked for all values at each scrape."""

    kind = "gauge"

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), read: Callable[[], Mapping[Labels, float]] | None = None
    ) -> None:
        super().__init__(name, text, labels)
        self._read = read

    def set(self, value: float, labels: Labels = ()) -> None:
        self.values[labels] = value

    def lines(self) -> Iterable[str]:
        if self._read is not None:
            self.values = dict(self._read())
        return super().lines()


class Histogram:
    """Observations in buckets, by label values."""

    kind = "histogram"

    def __init__(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self.buckets = tuple(buckets)
        self.values: dict[Labels, list[float]] = {}  # a count per bucket, one beyond the last, and the sum

    def observe(self, value: float, labels: Labels = ()) -> None:
        counts = self.values.get(labels)
        if counts is None:
            counts = self.values[labels] = [0.0] * (len(self.buckets) + 2)
        counts[bisect_left(self.buckets, value)] += 1
        counts[-1] += value

    def lines(self) -> Iterable[str]:
        bounds = [_number(bound) for bound in self.buckets] + ["+Inf"]
        for labels, counts in list(self.values.items()):
            total = 0.0
            for bound, count in zip(bounds, counts, strict=False):
                total += count
                yield f"{self.name}_bucket{_draw((*self.labels, 'le'), (*labels, bound))} {_number(total)}"
            yield f"{self.name}_sum{_draw(self.labels, labels)} {_number(counts[-1])}"
            yield f"{self.name}_count{_draw(self.labels, labels)} {_number(total)}"


Metric = Counter | Histogram


class Metrics:
    """What one server shows at /metrics."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self.also: list[Callable[[], str]] = []

    def add(self, *metrics: Metric) -> None:
        for metric in metrics:
            self._metrics[metric.name] = metric

    def render(self) -> bytes:
        lines = []
        for metric in sorted(self._metrics.values(), key=lambda metric: metric.name):
            drawn = list(metric.lines())
            if drawn:
                lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}", *drawn]
        return ("\n".join(lines) + "\n" + "".join(text() for text in self.also)).encode()


def _draw(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def process_memory() -> Metric:
    """The resident memory of this process, where /proc tells it."""

    def read() -> Mapping[Labels, float]:
        try:
            with open("/proc/self/statm") as file:
                resident = int(file.read().split()[1]) * 4096
        except OSError:
            return {}
        return {(): float(resident)}

    return Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", read=read)


class Counts(Counter):
    """How often a histogram has observed something, as a metric of its own that costs nothing until somebody looks."""

    def __init__(self, name: str, text: str, of: Histogram) -> None:
        super().__init__(name, text, of.labels)
        self._of = of

    def lines(self) -> Iterable[str]:
        self.values = {labels: sum(counts[:-1]) for labels, counts in self._of.values.items()}
        return super().lines()
