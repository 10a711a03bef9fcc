"""What a controller is: informers -> queue -> reconcile, and nobody but this file touches the queue.

A controller is a subclass with `reconcile(key)`; raising means again with backoff, Result(after=30) means again later. It
decides from the state it sees (level-triggered); what to do is decided by plain functions, tested without any server.
Expectations keep it from acting twice while its caches have not yet shown what it did.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import orjson

from apimachinery import meta
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client.api import Client, Unreachable
from client.events import EventRecorder
from client.informer import Indexer, Informer, Informers
from client.workqueue import Metrics, WorkQueue
from controllers.config import Config

log = logging.getLogger(__name__)

Obj = dict[str, Any]
T = TypeVar("T")

OWN_ACCOUNT = "-"  # Controller.account of those that act as the manager itself
EXPECTATIONS_TIMEOUT = 300.0  # seconds after which an unfulfilled expectation is taken as lost


@dataclass(frozen=True, slots=True)
class Result:
    """What reconcile() wants next. after: seconds until the key is worked on again; 0 for not until something changes."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """An RBAC rule (a PolicyRule) that a controller needs for its work, beyond reading what it watches."""

    groups: Sequence[str]
    resources: Sequence[str]
    verbs: Sequence[str]
    names: Sequence[str] = ()

    def to_policy(self) -> Obj:
        rule = {"apiGroups": list(self.groups), "resources": list(self.resources), "verbs": list(self.verbs)}
        return {**rule, "resourceNames": list(self.names)} if self.names else rule


EVENTS_RULE = Rule(("", "events.k8s.io"), ("events",), ("create", "patch", "update"))


@dataclass(slots=True)
class Context:
    """What the manager gives to every controller.

    client_for: the client with which the controller of that service account acts. informers: shared by all.
    """

    config: Config
    clock: Clock
    informers: Informers
    client_for: Callable[[str], Client]
    queue_metrics: Callable[[str], Metrics | None] = field(default=lambda name: None)


class Controller:
    """One control loop. Subclasses set the attributes, register handlers in setup() and write reconcile()."""

    name: ClassVar[str] = ""  # as --controllers knows it
    aliases: ClassVar[Sequence[str]] = ()  # its older names
    source: ClassVar[str] = ""  # component of its events, and the name of its queue
    account: ClassVar[str] = ""  # its service account in kube-system, where that is named otherwise
    rules: ClassVar[Sequence[Rule]] = ()
    default_on: ClassVar[bool] = True
    workers: int = 1

    def __init__(self, context: Context) -> None:
        self.context = context
        self.config = context.config
        self.clock = context.clock
        self.client = context.client_for(self.account or self.source)
        self.recorder = EventRecorder(self.client, self.source, context.clock)
        self._informers: list[Informer] = []
        metrics = context.queue_metrics(self.source)
        self._queue: WorkQueue[str] = WorkQueue(context.clock, metrics=metrics)
        self.setup()

    # -- for subclasses

    def setup(self) -> None:
        """Ask for informers (self.watch) and register handlers; called once, before anything runs."""

    async def reconcile(self, key: str) -> Result | None:
        """Bring what the key names to where it should be."""
        raise NotImplementedError

    async def background(self) -> None:
        """Work besides the queue (periodic sweeps); runs until cancelled. Starts once informers are synced."""

    def watch(
        self,
        resource: Resource,
        *,
        added: Callable[[Obj], None] | None = None,
        updated: Callable[[Obj, Obj], None] | None = None,
        deleted: Callable[[Obj], None] | None = None,
        indexers: Mapping[str, Indexer] | None = None,
        field_selector: str = "",
        namespace: str | None = None,
    ) -> Informer:
        """The shared informer of a resource; work starts only after it is synced."""
        informer = self.context.informers.get(
            resource, indexers=indexers, field_selector=field_selector, namespace=namespace
        )
        if added or updated or deleted:
            informer.add_handler(added=added, updated=updated, deleted=deleted)
        if informer not in self._informers:
            self._informers.append(informer)
        return informer

    def watch_own(self, resource: Resource, *, indexers: Mapping[str, Indexer] | None = None) -> Informer:
        """watch() whose every change enqueues the object itself."""
        return self.watch(
            resource,
            added=self.enqueue_object,
            updated=lambda old, new: self.enqueue_object(new),
            deleted=self.enqueue_object,
            indexers=indexers,
        )

    def enqueue(self, key: str) -> None:
        self._queue.add(key)

    def enqueue_object(self, obj: Obj) -> None:
        self._queue.add(meta.key(obj))

    def enqueue_after(self, key: str, seconds: float) -> None:
        self._queue.add_after(key, seconds)

    def retries(self, key: str) -> int:
        """How often the key has failed in a row."""
        return self._queue.num_requeues(key)

    # -- running

    async def run(self) -> None:
        """Work until cancelled; then let queued events out."""
        for informer in self._informers:
            await informer.wait_synced()
        log.info("%s started", self.name)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.background(), name=f"{self.name} background")
                for number in range(self.workers):
                    group.create_task(self._work(), name=f"{self.name} worker {number}")
        finally:
            self._queue.shut_down()
            await self.recorder.aclose()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                result = await self.reconcile(key)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the controller worker: one bad object must not stop the others
                self._report(key, error)
                self._queue.add_rate_limited(key)
            else:
                self._queue.forget(key)
                if result is not None and result.after > 0:
                    self._queue.add_after(key, result.after)
            finally:
                self._queue.done(key)

    def _report(self, key: str, error: Exception) -> None:
        if isinstance(error, ApiError):
            # Conflicts, and what is gone, are the ordinary way of learning that the cache is behind.
            level = logging.DEBUG if error.reason in ("Conflict", "AlreadyExists", "NotFound") else logging.WARNING
            log.log(level, "%s: syncing %s: %s", self.name, key, error)
        elif isinstance(error, Unreachable | TimeoutError | Retry):
            log.info("%s: syncing %s: %s", self.name, key, error or "timed out")
        else:
            log.error("%s: syncing %s failed", self.name, key, exc_info=error)


class Retry(Exception):
    """Raised by reconcile() to be called again with backoff, where nothing went wrong but waiting is needed."""


class Expectations:
    """What each key's controller did that its caches have yet to show: creations by count, deletions by key.

    As the original's UIDTrackingControllerExpectations: unmet expectations lapse after five minutes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._adds: dict[str, int] = {}
        self._deletions: dict[str, set[str]] = {}
        self._since: dict[str, float] = {}

    def expect_creations(self, key: str, count: int) -> None:
        self._adds[key] = count
        self._deletions[key] = set()
        self._since[key] = self._clock.monotonic()

    def expect_deletions(self, key: str, victims: Iterable[str]) -> None:
        self._adds[key] = 0
        self._deletions[key] = set(victims)
        self._since[key] = self._clock.monotonic()

    def add_creations(self, key: str, count: int) -> None:
        """Expect creations besides the deletions already expected."""
        self._adds[key] = self._adds.get(key, 0) + count

    def creation_observed(self, key: str, count: int = 1) -> None:
        if key in self._adds:
            self._adds[key] -= count

    def deletion_observed(self, key: str, victim: str) -> None:
        self._deletions.get(key, set()).discard(victim)

    def satisfied(self, key: str) -> bool:
        """Whether the caches show all that was done (or it was too long ago, or nothing was)."""
        if key not in self._since:
            return True
        if self._adds[key] <= 0 and not self._deletions[key]:
            return True
        return self._clock.monotonic() - self._since[key] > EXPECTATIONS_TIMEOUT

    def forget(self, key: str) -> None:
        for table in (self._adds, self._deletions, self._since):
            table.pop(key, None)


async def slow_start(
    count: int, act: Callable[[int], Awaitable[None]], first_batch: int = 1
) -> tuple[int, Exception | None]:
    """Call act(0..count-1) in batches that double while all succeed; (successes, the first error).

    So that a quota that is exhausted is asked once, not a thousand times.
    """
    done = 0
    batch = min(count, first_batch)
    while batch > 0:
        results = await asyncio.gather(*(act(done + number) for number in range(batch)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, Exception):
                raise failure
        if failures:
            first = failures[0]
            assert isinstance(first, Exception)
            return done + batch - len(failures), first
        done += batch
        batch = min(2 * batch, count - done)
    return done, None


def copy(obj: Obj) -> Obj:
    """A copy that may be changed; cached objects may not."""
    return orjson.loads(orjson.dumps(obj))  # type: ignore[no-any-return]


async def gather_all(actions: Iterable[Awaitable[T]]) -> list[T]:
    """Run them together; raises the first error after all have ended."""
    results = await asyncio.gather(*actions, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def ignoring_absence(action: Awaitable[Obj]) -> Obj | None:
    """The action's result, or None if what it is about is gone already."""
    try:
        return await action
    except ApiError as error:
        if error.reason != "NotFound":
            raise
        return None


def namespace_terminating(error: BaseException) -> bool:
    """Whether a creation was refused because its namespace is being deleted."""
    return isinstance(error, ApiError) and any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)
