"""Counts requests and how long they took, under kube-apiserver's names."""

from __future__ import annotations

from collections.abc import Container

from apimachinery.clock import Clock
from apiserver.filters.base import Proceed, Request
from serving.metrics import Counter, Gauge, Histogram, Metrics
from serving.reply import Reply

_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_LABELS = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")
_VERBS = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}


class RequestMetrics:
    """One per server. Requests for names that do not exist share one label, so that clients cannot fill memory."""

    def __init__(self, metrics: Metrics, clock: Clock, known: Container[tuple[str, str, str]]) -> None:
        self._clock = clock
        self._known = known
        self._total = Counter(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
            "component, and HTTP response code.",
            ("code", *_LABELS),
        )
        self._seconds = Histogram(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, "
            "subresource, scope and component.",
            _LABELS,
            _BUCKETS,
        )
        self._inflight = Gauge(
            "apiserver_current_inflight_requests",
            "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
            ("request_kind",),
            lambda: {(kind,): float(count) for kind, count in self._current.items()},
        )
        self._current = {"mutating": 0, "readOnly": 0}
        metrics.add(self._total, self._seconds, self._inflight)

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        kind = "readOnly" if request.info.verb in ("get", "list", "watch") else "mutating"
        self._current[kind] += 1
        code = "0"
        try:
            reply = await proceed(request)
            code = str(reply.status)
            return reply
        except Exception as error:
            code = str(getattr(error, "code", 500))
            raise
        finally:
            self._current[kind] -= 1
            labels = self._labels(request)
            self._total.add((code, *labels))
            if not request.long_running:
                self._seconds.observe(self._clock.monotonic() - request.received, labels)

    def _labels(self, request: Request) -> tuple[str, ...]:
        info = request.info
        dry_run = "All" if "dryRun" in request.raw_query else ""
        if not info.is_resource or (info.group, info.version, info.resource) not in self._known:
            return ("apiserver", dry_run, "", "", "", "", request.method if request.method in _METHODS else "other", "")
        scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
        verb = _VERBS.get(info.verb, "other")
        subresource = info.subresource if info.subresource.isalpha() and len(info.subresource) < 32 else ""
        return ("apiserver", dry_run, info.group, info.resource, scope, subresource, verb, info.version)


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
