"""Informers: a local, indexed copy of one resource, kept current by list and watch, and handlers that hear of changes.

Called by every controller, the scheduler and the node agent. A shared set is Informers: it starts each informer once.
Objects in the cache are shared: nobody may change them (decode or copy first). managedFields are dropped to save memory.

The loop, as client-go's reflector: list in pages, then watch with bookmarks from the list's revision, again and again
from the last revision seen; a 410 means list again; failures wait 0.8 s doubling to 30 s. A lost event costs a delay
only: handlers hear of the difference after a new list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import meta
from apimachinery.clock import Clock
from apimachinery.errors import ApiError, is_reason
from apimachinery.gvk import Resource
from client.api import Client, Unreachable

log = logging.getLogger(__name__)

Obj = dict[str, Any]
Indexer = Callable[[Obj], Iterable[str]]

PAGE = 500  # objects per list request; client-go's page size
MIN_WATCH, MAX_WATCH = 300, 600  # seconds a watch is asked to last, at random, so that reconnections spread
_FIRST_BACKOFF, _MAX_BACKOFF, _BACKOFF_RESET = 0.8, 30.0, 120.0


def strip_managed_fields(obj: Obj) -> Obj:
    """The default transform: cached objects carry no managedFields."""
    obj["metadata"].pop("managedFields", None)
    return obj


@dataclass(frozen=True, slots=True)
class Handler:
    """Callbacks of one listener, called in the order of events; they must not block. One that raises is logged."""

    added: Callable[[Obj], None] | None = None
    updated: Callable[[Obj, Obj], None] | None = None
    deleted: Callable[[Obj], None] | None = None


class Backoff:
    """Delays that double from 0.8 s to 30 s with jitter, and start over after two quiet minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._delay = _FIRST_BACKOFF
        self._last = clock.monotonic()

    async def wait(self) -> None:
        now = self._clock.monotonic()
        if now - self._last > _BACKOFF_RESET:
            self._delay = _FIRST_BACKOFF
        delay = self._delay * (1 + random.random())
        self._delay = min(self._delay * 2, _MAX_BACKOFF)
        await self._clock.sleep(delay)
        self._last = self._clock.monotonic()

    def reset(self) -> None:
        self._delay = _FIRST_BACKOFF


class Informer:
    """The copy of one resource (in one namespace, under selectors). Keys are "namespace/name" or "name".

    indexers: name -> function from an object to the values it is found under. transform: changes an object before it is
    cached. metadata_only: hold PartialObjectMetadata only. resync: seconds between calls of `updated` for every object
    without any change; 0 for never.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        transform: Callable[[Obj], Obj] = strip_managed_fields,
        metadata_only: bool = False,
        resync: float = 0,
    ) -> None:
        self.resource = resource
        self.last_error: Exception | None = None
        self._client = client
        self._options: dict[str, Any] = {
            "namespace": namespace,
            "label_selector": label_selector,
            "field_selector": field_selector,
            "metadata_only": metadata_only,
        }
        self._transform = transform
        self._resync = resync
        self._objects: dict[str, Obj] = {}
        self._namespaces: dict[str, dict[str, None]] = {}
        self._indexers: dict[str, Indexer] = {}
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._revision: str | None = None
        self.add_indexers(indexers or {})

    # -- reading

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    @property
    def revision(self) -> str | None:
        """The last resourceVersion seen."""
        return self._revision

    async def wait_synced(self) -> None:
        """Return once the first list is in the cache and handlers have heard of it."""
        await self._synced.wait()

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> Obj | None:
        """The cached object, or None."""
        return self._objects.get(key)

    def find(self, namespace: str | None, name: str) -> Obj | None:
        return self._objects.get(f"{namespace}/{name}" if namespace else name)

    def keys(self) -> list[str]:
        return list(self._objects)

    def list(self, namespace: str | None = None) -> list[Obj]:
        """All objects (of the namespace)."""
        if namespace is None:
            return list(self._objects.values())
        return [self._objects[key] for key in self._namespaces.get(namespace, ())]

    def by_index(self, name: str, value: str) -> Objs:
        """The objects that the indexer `name` puts under that value."""
        return [self._objects[key] for key in self._indexes[name].get(value, ())]

    # -- setting up

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        """Further indexes, filled at once; a name that is there already keeps its function."""
        for name, indexer in indexers.items():
            if name in self._indexers:
                continue
            self._indexers[name] = indexer
            self._indexes[name] = {}
            for key, obj in self._objects.items():
                for value in indexer(obj):
                    self._indexes[name].setdefault(value, {})[key] = None

    def add_handler(
        self,
        *,
        added: Callable[[Obj], None] | None = None,
        updated: Callable[[Obj, Obj], None] | None = None,
        deleted: Callable[[Obj], None] | None = None,
    ) -> Handler:
        """Hear of changes; `added` is called at once for what is cached already."""
        handler = Handler(added, updated, deleted)
        self._handlers.append(handler)
        if added:
            for obj in list(self._objects.values()):
                added(obj)
        return handler

    def remove_handler(self, handler: Handler) -> None:
        self._handlers.remove(handler)

    # -- running

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflect(), name=f"reflector {self.resource.group_resource}")
            if self._resync > 0:
                group.create_task(self._resync_forever(), name=f"resync {self.resource.group_resource}")

    async def _reflect(self) -> None:
        backoff = Backoff(self._client.clock)
        while True:
            try:
                if self._revision is None:
                    await self._list()
                    self.last_error = None
                quick = await self._watch()
                self.last_error = None
                if not quick:
                    backoff.reset()
                    continue
            except ApiError as error:
                self._failed(error)
                if error.code == 410 or is_reason(error, "Expired", "Gone", "ResourceExpired"):
                    self._revision = None
                elif error.code in (404, 405):
                    # The resource is gone (a CRD that was removed); if it comes back, start from a list.
                    self._revision = None
            except (Unreachable, TimeoutError) as error:
                self._failed(error)
            await backoff.wait()

    def _failed(self, error: Exception) -> None:
        # That the server is away the client tells once; informers need not repeat it.
        quiet = isinstance(error, Unreachable) or getattr(error, "code", 0) == 410
        repeated = self.last_error is not None and str(self.last_error) == str(error)
        self.last_error = error
        level = logging.DEBUG if quiet or repeated else logging.WARNING
        log.log(level, "list and watch of %s: %s", self.resource.group_resource, error)

    async def _list(self) -> None:
        """Replace the copy by a fresh list; handlers hear of the differences."""
        fresh: dict[str, Obj] = {}
        token = ""
        while True:
            page = await self._client.list(self.resource, limit=PAGE, continue_token=token, **self._options)
            for item in page.get("items") or ():
                obj = self._own(item)
                fresh[meta.key(obj)] = obj
            token = page["metadata"].get("continue") or ""
            if not token:
                break
        for key in [key for key in self._objects if key not in fresh]:
            self._remove(key, self._objects[key])
        for key, obj in fresh.items():
            self._store(key, obj)
        self._revision = page["metadata"].get("resourceVersion") or "0"
        self._synced.set()

    async def _watch(self) -> bool:
        """Follow one watch to its end; True if it ended within a second without an event."""
        clock = self._client.clock
        started = clock.monotonic()
        events = 0
        seconds = random.randint(MIN_WATCH, MAX_WATCH)
        stream = self._client.watch(
            self.resource, resource_version=self._revision, timeout_seconds=seconds, **self._options
        )
        async with contextlib.aclosing(stream):  # type: ignore[type-var]
            async for kind, obj in stream:
                events += 1
                self._revision = obj["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                key = meta.key(obj)
                if kind == "DELETED":
                    self._remove(key, self._own(obj))
                else:
                    self._store(key, self._own(obj))
        return events == 0 and clock.monotonic() - started < 1

    async def _resync_forever(self) -> None:
        while True:
            await self._client.clock.sleep(self._resync)
            for obj in list(self._objects.values()):
                self._call("updated", obj, obj)

    # -- the cache

    def _own(self, item: Obj) -> Obj:
        """The item as it is cached: list items lack kind and apiVersion, which recorders and references need."""
        item["kind"] = self.resource.kind
        item["apiVersion"] = self.resource.api_version
        return self._transform(item)

    def _store(self, key: str, obj: Obj) -> None:
        old = self._objects.get(key)
        if old is not None:
            before, now = old["metadata"], obj["metadata"]
            if before.get("uid") != now.get("uid"):
                # Deleted and created again while we were not looking: two objects, not one that changed.
                self._remove(key, old)
                old = None
            elif before.get("resourceVersion") == now.get("resourceVersion"):
                return
        self._objects[key] = obj
        self._namespaces.setdefault(meta.namespace(obj), {})[key] = None
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            values = set(indexer(obj))
            if old is not None:
                for value in set(indexer(old)) - values:
                    self._unindex(index, value, key)
            for value in values:
                index.setdefault(value, {})[key] = None
        if old is None:
            self._call("added", obj)
        else:
            self._call("updated", old, obj)

    def _remove(self, key: str, last: Obj) -> None:
        """Forget the object; handlers hear its last state."""
        old = self._objects.pop(key, None)
        if old is None:
            return
        self._unindex(self._namespaces, meta.namespace(old), key)
        for name, indexer in self._indexers.items():
            for value in set(indexer(old)):
                self._unindex(self._indexes[name], value, key)
        self._call("deleted", last)

    @staticmethod
    def _unindex(index: dict[str, dict[str, None]], value: str, key: str) -> None:
        entries = index.get(value)
        if entries is not None:
            entries.pop(key, None)
            if not entries:
                del index[value]

    def _call(self, what: str, *objs: Obj) -> None:
        for handler in list(self._handlers):
            callback = getattr(handler, what)
            if callback is not None:
                try:
                    callback(*objs)
                except Exception:  # one listener's fault about one object must not end the cache for all the others
                    log.exception("a handler failed on %s %s", self.resource.group_resource, meta.key(objs[-1]))


Objs = list[Obj]


class Informers:
    """Informers shared by the parts of one component: one list and one watch per resource, however many listen.

    run() starts what was asked for, and what is asked for later; it ends when cancelled.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[Any, ...], Informer] = {}
        self._tasks: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def get(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        indexers: Mapping[str, Indexer] | None = None,
    ) -> Informer:
        """The shared informer for that resource and selection; further indexers are added to it."""
        key = (resource, namespace, label_selector, field_selector, metadata_only)
        informer = self._informers.get(key)
        if informer is None:
            informer = Informer(
                self.client,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                metadata_only=metadata_only,
            )
            self._informers[key] = informer
            if self._group is not None:
                self._start(key, informer)
        informer.add_indexers(indexers or {})
        return informer

    def known(self, resource: Resource) -> Informer | None:
        """The informer of the whole resource that someone asked for already, if any."""
        return self._informers.get((resource, None, "", "", False))

    def stop(self, informer: Informer) -> None:
        """Stop and forget one informer (its resource is no longer served)."""
        for key, known in list(self._informers.items()):
            if known is informer:
                del self._informers[key]
                task = self._tasks.pop(key, None)
                if task is not None:
                    task.cancel()

    def _start(self, key: tuple[Any, ...], informer: Informer) -> None:
        assert self._group is not None
        self._tasks[key] = self._group.create_task(informer.run(), name=f"informer {informer.resource.group_resource}")

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for key, informer in self._informers.items():
                    self._start(key, informer)
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def wait_synced(self) -> None:
        """Return once every informer asked for so far is synced."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()
