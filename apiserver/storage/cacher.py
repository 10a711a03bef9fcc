"""The watch cache: every stored object in memory, encoded, one Cacher per resource; what all reads are served from.

    caches = Caches(backend, clock)                         # one per process
    pods = caches.resource("/registry/core/pods/", attributes)
    await caches.start()                                    # opens the backend and loads every resource
    entry = await pods.create("ns/name", version, body, labels, fields)
    listing = await pods.list("ns", matches=..., limit=500)
    with await pods.watch("ns", start=listing.revision, form="json", make=line) as watch:
        while data := await watch.next():
            await response.write(data)

Keys are "namespace/name", or "name" for cluster-scoped resources. Errors are those of base.py: KeyExists, NotFound,
Conflict, Compacted, FutureRevision, Unavailable; the caller words them for its clients. Revisions that reads report are the
store's global revision, of which the cache is always a complete image. Called by registry/store.py; knows nothing of
kinds, HTTP or JSON beyond entry.py's splicing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from apimachinery.clock import Clock
from apiserver.storage import base
from apiserver.storage.entry import Attributes, Entry
from apiserver.storage.watch import Watch

Matches = Callable[[Entry], bool]
"""A selector. Use the same function object for equal selectors where it can be had: watchers then share joined events."""


class Listing(NamedTuple):
    """Entries in key order as of `revision`.

    next: the key after which the next page starts, "" when nothing remains. remaining: how many are left after this
    page; None with a selector (not counted) or without a next page.
    """

    entries: Sequence[Entry]
    revision: int
    next: str
    remaining: int | None


class Cacher:
    """One resource. Made by Caches.resource()."""

    prefix: str

    async def start(self) -> None:
        """Load the resource; for those added after Caches.start() (custom resources). Reads wait for it."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the watches and forget the resource (a removed custom resource). The stored objects stay."""
        raise NotImplementedError

    def __len__(self) -> int:
        """How many objects there are."""
        raise NotImplementedError

    def peek(self, key: str) -> Entry | None:
        """The object as this process knows it, without waiting: what a get with resourceVersion=0 returns."""
        raise NotImplementedError

    async def get(self, key: str) -> Entry | None:
        """The object; sees every write acknowledged before the call. Unavailable."""
        raise NotImplementedError

    async def list(
        self,
        namespace: str = "",
        *,
        matches: Matches | None = None,
        limit: int = 0,
        after: str = "",
        revision: int = 0,
        stale: bool = False,
    ) -> Listing:
        """Objects of the namespace ("": all) that match, those with key > after, at most limit (0: all).

        revision: 0 for now, else exactly that one (continuing a paged list, resourceVersionMatch=Exact); served from
        memory as long as the ring reaches back, then from the backend's history. Compacted, FutureRevision.
        stale: do not make sure of other processes' writes (resourceVersion=0).
        """
        raise NotImplementedError

    async def create(
        self,
        key: str,
        version: str,
        body: bytes,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        *,
        ttl: float = 0,
    ) -> Entry:
        """Store a new object. body: `"metadata":{…}…}` without resourceVersion (see base.py). labels, fields: what
        attributes(obj) would say; None to have it asked when needed. ttl: seconds after which it is removed. KeyExists."""
        raise NotImplementedError

    async def update(
        self,
        key: str,
        version: str,
        body: bytes,
        if_revision: int,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        *,
        ttl: float = 0,
    ) -> Entry:
        """Replace the object that is at if_revision. NotFound, Conflict."""
        raise NotImplementedError

    async def delete(self, key: str, if_revision: int) -> Entry:
        """Remove the object that is at if_revision; returns it bearing the deletion's revision. NotFound, Conflict."""
        raise NotImplementedError

    async def fresh(self, revision: int, seconds: float = 3.0) -> None:
        """Wait until the cache has reached that revision ("not older than"), at most so long. FutureRevision."""
        raise NotImplementedError

    async def watch(
        self,
        namespace: str = "",
        name: str = "",
        *,
        form: Hashable,
        make: Callable[[str, Entry], bytes],
        start: int | None = None,
        initial: bool = False,
        matches: Matches | None = None,
        trigger: tuple[str, str] | None = None,
        first: Callable[[str, Entry], bytes] | None = None,
        bookmark: Callable[[int, bool], bytes] | None = None,
        initial_end: bool = False,
        deadline: float | None = None,
    ) -> Watch:
        """A cursor over the changes after revision `start` (None: from now). Compacted if they are no longer kept.
        A start in the future is allowed: earlier changes are left out.

        namespace, name, matches: restrict it; an object that enters or leaves what matches is told as ADDED or DELETED.
        trigger: (field, value), a necessary condition of `matches` ("spec.nodeName", "n1"): changes of objects without it
        do not even wake the watcher.
        make(type, entry) encodes an event ("ADDED", "MODIFIED", "DELETED") as the line to send; it is called once for all
        watchers with an equal `form`, which therefore must tell apart everything that make depends on (version, media
        type). first: instead of make for the first event of this watch, never shared (column definitions of Tables).
        initial: begin with an ADDED for every present object (start must be None). initial_end: then a bookmark.
        bookmark(revision, whether it ends the initial events) encodes a bookmark; None for none. They are sent every
        minute and shortly before the deadline (in the clock's monotonic seconds), at which the watch ends.
        """
        raise NotImplementedError


class Caches:
    """All resources of one backend, and what they share: the timer of bookmarks and deadlines."""

    def __init__(self, backend: base.Backend, clock: Clock) -> None:
        self.backend = backend
        self.clock = clock

    @property
    def revision(self) -> int:
        """The store's revision up to which every cache is complete."""
        return self.backend.revision

    def resource(self, prefix: str, attributes: Attributes) -> Cacher:
        """The cache of a resource; prefix as in base.py, ending with "/". Call its start() if Caches.start() was before."""
        raise NotImplementedError

    async def start(self) -> None:
        """Open the backend and load the resources. CannotOpen."""
        raise NotImplementedError

    def end_watches(self) -> None:
        """Let every open watch end in good order (the server stops)."""
        raise NotImplementedError

    async def close(self) -> None:
        """End watches, close the backend."""
        raise NotImplementedError
