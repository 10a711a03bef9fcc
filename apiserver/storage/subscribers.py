"""Whom an engine tells of commits, and how far it has told them. Part of an engine; all on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from apiserver.storage.base import Change, Deliver, Unavailable

_FOLDERS = 10_000


class Subscribers:
    """The subscribers of one engine, by key prefix, and those who wait for a revision."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self._delivers: dict[str, list[Deliver]] = {}
        self._folders: dict[str, list[Deliver]] = {}  # a key up to its last "/" -> whom to tell
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def add(self, prefix: str, deliver: Deliver) -> Callable[[], None]:
        """See Backend.subscribe()."""
        self._delivers.setdefault(prefix, []).append(deliver)
        self._folders.clear()

        def remove() -> None:
            if deliver in self._delivers[prefix]:
                self._delivers[prefix].remove(deliver)
                self._folders.clear()

        return remove

    def advance(self, revision: int, changes: Sequence[Change]) -> None:
        """The store has reached revision by these changes: tell everyone whom it concerns."""
        self.revision = revision
        told: dict[int, tuple[Deliver, list[Change]]] = {}
        for change in changes:
            key = change.key
            folder = key[: key.rfind("/") + 1]
            delivers = self._folders.get(folder)
            if delivers is None:
                delivers = self._find(folder)
            for deliver in delivers:
                theirs = told.get(id(deliver))
                if theirs is None:
                    theirs = told[id(deliver)] = (deliver, [])
                theirs[1].append(change)
        for deliver, batch in told.values():
            deliver(batch)
        if self._waiting:
            self._wake()

    async def reached(self, revision: int) -> None:
        """See Backend.reached()."""
        if revision <= self.revision:
            return
        waiting = (revision, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting[1]
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def close(self) -> None:
        """Nothing more will come."""
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(Unavailable("the store is closed"))
        self._waiting.clear()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for revision, future in waiting:
            if revision > self.revision:
                self._waiting.append((revision, future))
            elif not future.done():
                future.set_result(None)

    def _find(self, folder: str) -> list[Deliver]:
        if len(self._folders) >= _FOLDERS:
            self._folders.clear()
        found = [d for prefix, delivers in self._delivers.items() if folder.startswith(prefix) for d in delivers]
        self._folders[folder] = found
        return found
