"""Metrics of the controllers under the names that the original's workqueue package uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1000.0)


class Registry:
    """The work queues' metrics of one process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.collector: CollectorRegistry = CollectorRegistry()
        names = ("name",)
        own = self.collector
        self.depth = Gauge("workqueue_depth", "Current depth of workqueue", names, registry=own)
        self.adds = Counter("workqueue_adds", "Total number of adds handled by workqueue", names, registry=own)
        self.retries = Counter("workqueue_retries", "Total number of retries handled by workqueue", names, registry=own)
        self.waited = Histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            names,
            buckets=_SECONDS,
            registry=own,
        )
        self.worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            names,
            buckets=_SECONDS,
            registry=own,
        )

    def render(self) -> bytes:
        """The text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.collector)


class QueueMetrics:
    """One queue's part of the registry (client.workqueue.Metrics)."""

    def __init__(self, registry: Registry, name: str) -> None:
        self._depth = registry.depth.labels(name)
        self._adds = registry.adds.labels(name)
        self._retries = registry.retries.labels(name)
        self._waited = registry.waited.labels(name)
        self._worked = registry.worked.labels(name)

    def depth(self, value: int) -> None:
        self._depth.set(value)

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def waited(self, seconds: float) -> None:
        self._waited.observe(seconds)

    def worked(self, seconds: float) -> None:
        self._worked.observe(seconds)
