"""A watch: a cursor into a resource's ring of events. See Cacher.watch() for what it is told at its start."""

from __future__ import annotations

from types import TracebackType


class WatchExpired(Exception):
    """The watcher fell so far behind that events it has not seen are gone: the client must list again (410)."""


class Watch:
    """One watcher's cursor; use it as a context manager, or close() it."""

    async def next(self) -> bytes:
        """Everything that happened since the last call, encoded and joined; waits for something to happen. b"" when the
        watch has ended (deadline, close(), server stopping). WatchExpired; Compacted while replaying old changes.

        The initial state comes first, in slices of some 256 KB.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End it; a waiting next() returns b""."""
        raise NotImplementedError

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
