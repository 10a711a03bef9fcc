"""What a storage engine must do: etcd's semantics in few methods, and the errors they raise.

Keys and values are bytes to the engine. A revision is one cluster-wide counter that never goes back. An engine is used
through cacher.py; nothing above that imports it.

Key:    "/registry/<group or core>/<plural>/<namespace>/<name>", without the namespace for cluster-scoped objects.
Value:  b"<version>\n" + body. The version is the API version that the body is encoded in; the body is the object's JSON
        without its opening `{"kind":…,"apiVersion":…,` and without its resourceVersion: it begins with `"metadata":{`
        and ends with the object's closing brace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol


class StorageError(Exception):
    """Root of what an engine raises."""


class CannotOpen(StorageError):
    """The store cannot be opened: in use, foreign, corrupt, not permitted. The text says which, and what to do."""


class KeyExists(StorageError):
    """create() of a key that is there."""


class NotFound(StorageError):
    """update() or delete() of a key that is not there."""


class Conflict(StorageError):
    """The key's revision is not the one the caller named."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        super().__init__(f"{key}: revision is {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class Compacted(StorageError):
    """The revision asked for is no longer kept."""

    def __init__(self, revision: int, compacted: int) -> None:
        super().__init__(f"revision {revision} was compacted; the oldest kept is {compacted}")
        self.revision = revision
        self.compacted = compacted


class FutureRevision(StorageError):
    """The revision asked for has not been reached."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} is in the future; the current one is {current}")
        self.revision = revision
        self.current = current


class Unavailable(StorageError):
    """The engine cannot answer now (disk full, closed, connection lost).

    reason: what clients may know of it; paths and addresses are for the log only.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Untransformable(Unavailable):
    """A value cannot be encrypted, or not be read for want of a key; the message is for clients too."""


class Record(NamedTuple):
    """A key's value as of `revision`, the revision that wrote it."""

    key: str
    value: bytes
    revision: int


class Change(NamedTuple):
    """One committed write. value is None for a deletion.

    revision: the write's own revision (for a deletion: the deletion's).
    previous_revision: that of the record it replaced, 0 for a creation.
    previous_value: the replaced value in what changes() returns. Subscribers, who have seen it, get None.
    """

    key: str
    value: bytes | None
    revision: int
    previous_revision: int
    previous_value: bytes | None


class Page(NamedTuple):
    """Part of a list: records in key order, as of `revision`.

    more: whether keys remain after the last; remaining: how many, or None if that was not asked.
    """

    records: Sequence[Record]
    revision: int
    more: bool
    remaining: int | None


Deliver = Callable[[Sequence[Change]], None]


class Backend(Protocol):
    """A storage engine. All methods are safe to call concurrently on one event loop."""

    async def start(self) -> None:
        """Open the store. CannotOpen."""

    async def close(self) -> None:
        """Commit what is queued and release the store. Calls after it raise Unavailable."""

    async def get(self, key: str, revision: int = 0) -> Record | None:
        """The record as of that revision (0: now). Raises Compacted, FutureRevision, Unavailable."""

    async def list(
        self, prefix: str, revision: int = 0, start: str = "", limit: int = 0, *, count: bool = False
    ) -> Page:
        """Records whose key begins with prefix and is >= start, as of that revision (0: now), at most limit (0: all).
        count: say how many remain, which takes longer the more there are."""

    async def create(self, key: str, value: bytes, ttl: float = 0) -> int:
        """Write a new key and return its revision; with ttl > 0 it is deleted after that many seconds. KeyExists."""

    async def update(self, key: str, value: bytes, if_revision: int, ttl: float = 0) -> int:
        """Replace a value whose revision is if_revision. NotFound, Conflict."""

    async def delete(self, key: str, if_revision: int) -> int:
        """Delete a key whose revision is if_revision; returns the deletion's revision. NotFound, Conflict."""

    @property
    def revision(self) -> int:
        """The newest revision of which subscribers have been told. 1 in an empty store."""

    async def current_revision(self) -> int:
        """The newest revision that any process was acknowledged before this call; may be ahead of `revision`."""

    async def reached(self, revision: int) -> None:
        """Return once `revision` is at least that."""

    def subscribe(self, prefix: str, deliver: Deliver) -> Callable[[], None]:
        """Call `deliver` on the event loop with the changes under prefix of each commit from now on, in revision
        order and without gaps; returns how to stop it. `revision` moves and all subscribers are called before anything
        else runs, and a write's own call returns after that: so a cache fed by it serves every acknowledged write and
        is complete up to `revision` at any moment. deliver must not raise nor wait.
        """

    def changes(self, prefix: str, after: int, until: int) -> AsyncIterator[Sequence[Change]]:
        """The kept changes with after < revision <= until, in revision order, in pages. Compacted."""

    async def stale(self, key: str) -> bool:
        """Whether the key's value lies there otherwise than it would be written now, though it reads the same."""

    async def compact(self, revision: int) -> None:
        """Forget what was overwritten or deleted up to that revision."""
