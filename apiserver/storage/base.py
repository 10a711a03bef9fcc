"""What a storage engine must do: etcd's semantics in seven methods, and the errors they raise.

Keys and values are bytes to the engine. A revision is one cluster-wide counter that never goes back. An engine is used
through cacher.py; nothing above that imports it.

Key:    "/registry/<group or core>/<plural>/<namespace>/<name>", without the namespace for cluster-scoped objects.
Value:  b"<version>\n" + body. The version is the API version that the body is encoded in; the body is the object's JSON
        without its opening `{"kind":…,"apiVersion":…,` and without its resourceVersion: it begins with `"metadata":{`
        and ends with the object's closing brace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class StorageError(Exception):
    """Root of what an engine raises."""


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
    """The engine cannot answer now (disk full, closed, connection lost)."""


@dataclass(frozen=True, slots=True)
class Record:
    """A key's value as of `revision`, the revision that wrote it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. value is None for a deletion; previous is the record before it, None for a creation.

    revision: the write's own revision (for a deletion: the deletion's).
    """

    key: str
    value: bytes | None
    revision: int
    previous: Record | None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list: records in key order, as of `revision`.

    more: whether keys remain after the last; remaining: how many, or None where the engine does not count.
    """

    records: Sequence[Record]
    revision: int
    more: bool
    remaining: int | None


class Backend(Protocol):
    """A storage engine. All methods are safe to call concurrently on one event loop."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def get(self, key: str, revision: int = 0) -> Record | None:
        """The record as of that revision (0: now). Raises Compacted, FutureRevision, Unavailable."""

    async def list(self, prefix: str, revision: int = 0, start: str = "", limit: int = 0) -> Page:
        """Records whose key begins with prefix and is >= start, as of that revision (0: now)."""

    async def create(self, key: str, value: bytes, ttl: float = 0) -> int:
        """Write a new key and return its revision; with ttl > 0 it is deleted after that many seconds. KeyExists."""

    async def update(self, key: str, value: bytes, if_revision: int, ttl: float = 0) -> int:
        """Replace a value whose revision is if_revision. NotFound, Conflict."""

    async def delete(self, key: str, if_revision: int) -> int:
        """Delete a key whose revision is if_revision; returns the deletion's revision. NotFound, Conflict."""

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        """Batches of changes after from_revision, in revision order, without gaps. Raises Compacted.

        An engine within the process delivers a change to its watchers before the write's own call returns, so that
        a cache in front of it serves every acknowledged write.
        """

    async def compact(self, revision: int) -> None:
        """Forget what was overwritten or deleted up to that revision."""

    async def current_revision(self) -> int:
        """The newest revision."""
