"""Event recording: what a component did to an object and why, told to the API server without getting in the way.

Called by every component. event() never blocks and never fails: events wait in a bounded queue and are dropped, with a
log line, when the server is too slow. Repetition is folded as client-go's correlators do it: core/v1 Events are counted,
combined after 10 similar ones in 10 minutes and limited to 25 in a burst per object; events.k8s.io Events become a series.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Hashable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from apimachinery import field, meta, times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.tokenbucket import TokenBucket
from client.api import MERGE, Client, Unreachable
from client.resources import EVENTS, EVENTS_V1

log = logging.getLogger(__name__)

Obj = dict[str, Any]
T = TypeVar("T")

MAX_QUEUED = 1000
_CACHE = 4096
_SIMILAR, _SIMILAR_SECONDS = 10, 600.0
_BURST, _RATE = 25, 1 / 300
_TRIES, _RETRY_SECONDS = 12, 10.0
_SERIES_END = 360.0
_NOTE_LENGTH = 1024


class _Lru(OrderedDict[Hashable, T], Generic[T]):
    """A mapping that forgets what was used longest ago."""

    def find(self, key: Hashable) -> T | None:
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def put(self, key: Hashable, value: T) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _CACHE:
            self.popitem(last=False)


class EventRecorder:
    """Records events of one component.

    component: the source ("deployment-controller"). host: the node it runs on, "" for cluster components. series: write
    events.k8s.io/v1 Events (as the scheduler does) instead of core/v1 ones; host is then part of reportingInstance.
    Use as an async context manager, or call aclose(), to have queued events written before the end.
    """

    def __init__(self, client: Client, component: str, clock: Clock, host: str = "", *, series: bool = False) -> None:
        self._client = client
        self._component = component
        self._clock = clock
        self._host = host
        self._series = series
        self._queue: asyncio.Queue[Obj] = asyncio.Queue(MAX_QUEUED)
        self._writer: asyncio.Task[None] | None = None
        self._dropped = 0  # since the queue was last empty
        self._correlator = _Correlator(clock)
        self._open_series: _Lru[Obj] = _Lru()

    def event(
        self,
        obj: Obj,
        type_: str,
        reason: str,
        message: str,
        *,
        action: str = "",
        related: Obj | None = None,
        annotations: dict[str, str] | None = None,
        field_path: str = "",
    ) -> None:
        """Tell of the object (which must carry kind and apiVersion, or be an ObjectReference itself).

        type_: "Normal" or "Warning". action, related: for events.k8s.io. field_path: the part of the object it is about.
        """
        reference = _reference(obj)
        if field_path:
            reference["fieldPath"] = field_path
        event = self._make(reference, type_, reason, message, action, related)
        if annotations:
            event["metadata"]["annotations"] = annotations
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            if not self._dropped:
                log.warning("too many queued events: events of %s are dropped for now", self._component)
            self._dropped += 1
            return
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_forever(), name=f"events of {self._component}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, seconds: float = 1.0) -> None:
        """Write what is queued, for at most that long, and stop."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            log.warning("%d events were not written", self._queue.qsize())
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def flush(self) -> None:
        """Return once everything queued so far is written or given up."""
        await self._queue.join()

    def _make(self, reference: Obj, type_: str, reason: str, message: str, action: str, related: Obj | None) -> Obj:
        now = self._clock.time()
        metadata: Obj = {
            "name": f"{reference.get('name', '')}.{int(now * 1_000_000_000) + random.randrange(1000):x}",
            "namespace": reference.get("namespace") or "default",
        }
        if self._series:
            event: Obj = {
                "metadata": metadata,
                "eventTime": times.format_micro_time(now),
                "reportingController": self._component,
                "reportingInstance": f"{self._component}-{self._host}",
                "action": action,
                "reason": reason,
                "regarding": reference,
                "note": _truncate(message),
                "type": type_,
            }
            if related is not None:
                event["related"] = _reference(related)
            return event
        stamp = times.format_time(now)
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        return {
            "metadata": metadata,
            "involvedObject": reference,
            "reason": reason,
            "message": _truncate(message),
            "source": source,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": type_,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    # -- writing

    async def _write_forever(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            finally:
                self._queue.task_done()
            if self._dropped and self._queue.empty():
                log.warning("%d events of %s were dropped", self._dropped, self._component)
                self._dropped = 0

    async def _write(self, event: Obj) -> None:
        for attempt in range(_TRIES):
            try:
                if self._series:
                    await self._write_series(event)
                else:
                    await self._write_counted(event, first=attempt == 0)
                return
            except ApiError as error:
                # The server has answered: another try would be answered the same.
                quiet = error.reason == "AlreadyExists" or "NamespaceTerminating" in str(error.details)
                log.log(
                    logging.DEBUG if quiet else logging.WARNING, "event %s was rejected: %s", event["reason"], error
                )
                return
            except (Unreachable, TimeoutError) as error:
                log.debug("event %s: %s", event["reason"], error)
                await self._clock.sleep(_RETRY_SECONDS * (random.random() if attempt == 0 else 1))
        log.warning("unable to write event %s (retry limit exceeded)", event["reason"])

    async def _write_counted(self, event: Obj, *, first: bool) -> None:
        if first:
            correlated = self._correlator.correlate(event)
            if correlated is None:
                event["skip"] = True
            else:
                event.update(correlated)
        if event.get("skip"):
            return
        key = event["key"]
        body = {name: value for name, value in event.items() if name not in ("key", "skip")}
        written = None
        if event["count"] > 1:
            changed = {name: event[name] for name in ("count", "lastTimestamp", "message")}
            written = await self._patch(EVENTS, event["metadata"], changed)
        if written is None:
            written = await self._client.create(EVENTS, body)
        self._correlator.written(key, written)

    async def _patch(self, resource: Any, metadata: Obj, changed: Obj) -> Obj | None:
        """The event as patched, or None when it is gone (events expire)."""
        try:
            return await self._client.patch(
                resource, metadata["name"], changed, metadata["namespace"], content_type=MERGE
            )
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def _write_series(self, event: Obj) -> None:
        now = self._clock.time()
        key = _series_key(event)
        known = self._open_series.find(key)
        if known is not None and now - known["seen"] > _SERIES_END:
            del self._open_series[key]
            known = None
        if known is None:
            self._open_series.put(key, {"seen": now, "count": 1, "metadata": event["metadata"], "told": now})
            await self._client.create(EVENTS_V1, event)
            return
        known["count"] += 1
        known["seen"] = now
        # The second one makes it a series; after that it is told every half hour, and counted meanwhile.
        if known["count"] == 2 or now - known["told"] > 1800:
            known["told"] = now
            series = {"count": known["count"], "lastObservedTime": times.format_micro_time(now)}
            if await self._patch(EVENTS_V1, known["metadata"], {"series": series}) is None:
                await self._client.create(EVENTS_V1, {**event, "series": series})


class _Correlator:
    """client-go's EventCorrelator: aggregate, count, and filter spam."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._similar: _Lru[tuple[set[str], float]] = _Lru()
        self._counts: _Lru[Obj] = _Lru()
        self._buckets: _Lru[TokenBucket] = _Lru()

    def correlate(self, event: Obj) -> Obj | None:
        """What to change in the event (its cache key, count, name, message), or None to leave it unsaid."""
        about = _about(event)
        key: Hashable = (about, event["involvedObject"].get("fieldPath"), event["reason"], event["message"])
        message, stamp = event["message"], event["firstTimestamp"]
        group = (about, event["reason"])
        now = self._clock.time()
        messages, last = self._similar.find(group) or (set(), now)
        if now - last > _SIMILAR_SECONDS:
            messages = set()
        messages.add(message)
        self._similar.put(group, (messages, now))
        if len(messages) >= _SIMILAR:
            messages.pop()
            key = group
            message = f"(combined from similar events): {message}"
        known = self._counts.find(key)
        result = {"key": key, "message": message, "metadata": event["metadata"], "firstTimestamp": stamp, "count": 1}
        if known is not None:
            result["count"] = known["count"] + 1
            result["firstTimestamp"] = known["firstTimestamp"]
            result["metadata"] = {**event["metadata"], "name": known["name"]}
        self._remember(key, result["count"], result["firstTimestamp"], result["metadata"]["name"])
        bucket = self._buckets.find(about)
        if bucket is None:
            bucket = TokenBucket(self._clock, _RATE, _BURST)
            self._buckets.put(about, bucket)
        return result if bucket.take() else None

    def written(self, key: Hashable, event: Obj) -> None:
        """Note the event as the server has it."""
        self._remember(key, event.get("count") or 1, event.get("firstTimestamp"), event["metadata"]["name"])

    def _remember(self, key: Hashable, count: int, first: str | None, name: str) -> None:
        self._counts.put(key, {"count": count, "firstTimestamp": first, "name": name})


def _about(event: Obj) -> Hashable:
    reference = event["involvedObject"]
    names = ("kind", "namespace", "name", "uid", "apiVersion")
    return (event["type"], *(reference.get(name) for name in names))


def _series_key(event: Obj) -> Hashable:
    names = ("type", "action", "reason", "reportingController", "reportingInstance")
    references = (event["regarding"], event.get("related") or {})
    return (*(event[name] for name in names), *(tuple(sorted(reference.items())) for reference in references))


def _reference(obj: Obj) -> Obj:
    """The object's reference; an ObjectReference is taken as it is."""
    if "metadata" not in obj:
        return dict(obj)
    reference = meta.object_reference(obj)
    if not reference.get("kind"):
        raise ValueError(f"an event about an object without a kind: {field.draw_value(reference)}")
    return reference


def _truncate(message: str) -> str:
    encoded = message.encode()
    return message if len(encoded) <= _NOTE_LENGTH else encoded[:_NOTE_LENGTH].decode("utf-8", "ignore")
