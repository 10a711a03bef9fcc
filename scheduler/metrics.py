"""The scheduler's metrics, under the original's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384)


class Metrics:
    """One process's scheduling metrics."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.collector: CollectorRegistry = CollectorRegistry()
        labels = ("result", "profile")
        self._attempts = Counter(
            "scheduler_schedule_attempts",
            "Number of attempts to schedule pods, by the result.",
            labels,
            registry=self.collector,
        )
        self._duration = Histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
            labels,
            buckets=_SECONDS,
            registry=self.collector,
        )
        self._pending = Gauge(
            "scheduler_pending_pods", "Number of pending pods, by the queue type.", ("queue",), registry=self.collector
        )

    def attempt(self, result: str, seconds: float) -> None:
        """result: scheduled, unschedulable or error."""
        self._attempts.labels(result, "default-scheduler").inc()
        self._duration.labels(result, "default-scheduler").observe(seconds)

    def pending(self, counts: Mapping[str, int]) -> None:
        for queue, count in counts.items():
            self._pending.labels(queue).set(count)

    def render(self) -> bytes:
        """The text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.collector)
