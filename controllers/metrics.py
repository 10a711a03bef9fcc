"""Metrics of the controllers under the names that the original's workqueue package uses."""

from __future__ import annotations

from serving.metrics import Counter, Gauge, Histogram, Metrics, process_memory

_SECONDS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1000.0)
_NAMES = ("name",)


class Registry:
    """The work queues' metrics of one process."""

    def __init__(self) -> None:
        self.depth = Gauge("workqueue_depth", "Current depth of workqueue", _NAMES)
        self.adds = Counter("workqueue_adds_total", "Total number of adds handled by workqueue", _NAMES)
        self.retries = Counter("workqueue_retries_total", "Total number of retries handled by workqueue", _NAMES)
        self.waited = Histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            _NAMES,
            _SECONDS,
        )
        self.worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            _NAMES,
            _SECONDS,
        )
        self._metrics = Metrics()
        self._metrics.add(self.depth, self.adds, self.retries, self.waited, self.worked, process_memory())

    def render(self) -> bytes:
        """The text format."""
        return self._metrics.render()


class QueueMetrics:
    """One queue's part of the registry (client.workqueue.Metrics)."""

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry = registry
        self._labels = (name,)

    def depth(self, value: int) -> None:
        self._registry.depth.set(value, self._labels)

    def added(self) -> None:
        self._registry.adds.add(self._labels)

    def retried(self) -> None:
        self._registry.retries.add(self._labels)

    def waited(self, seconds: float) -> None:
        self._registry.waited.observe(seconds, self._labels)

    def worked(self, seconds: float) -> None:
        self._registry.worked.observe(seconds, self._labels)
