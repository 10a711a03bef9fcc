"""Files that may be replaced while a program runs: CA bundles, certificates, configuration.

A change is seen, within a second unless told otherwise, by the file's identity, size and time, and read in a thread; its
reader is told only when the content is another one. Kubernetes' way of replacing files (a symbolic link that moves) is seen
too. A file that is gone for a moment is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from apimachinery.clock import Clock

log = logging.getLogger(__name__)

SECONDS = 1.0
USE_SECONDS = 10.0  # between looks of those who look when they use the content
_Signature = tuple[int, int, int, int]
T = TypeVar("T")


class WatchedFile:
    """One file. content: what it held when it was last looked at."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        self.content = path.read_bytes() if content is None else content
        self._signature: _Signature | None = None

    async def changed(self) -> bool:
        """Whether it holds something else than at the last call. OSError when it cannot be read."""
        signature = _signature(self.path)
        if signature == self._signature:
            return False
        content = await asyncio.to_thread(self.path.read_bytes)
        self._signature = signature
        if content == self.content:
            return False
        self.content = content
        return True


def _signature(path: Path) -> _Signature:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


async def watch(
    clock: Clock,
    files: list[WatchedFile],
    reload: Callable[[], Awaitable[None]],
    seconds: float = SECONDS,
    *,
    at_once: bool = False,
) -> None:
    """Call reload, until cancelled, when one of the files has changed; it may replace the list's entries.

    seconds: how often to look. at_once: reload the first time too, for what has changed since the caller read the files.
    What reload raises as ValueError or OSError is logged, what was loaded before stays, and it is called again at the next look:
    files that belong together (a certificate and its key) are seldom replaced in the same moment.
    """
    pending, changed, told = at_once, False, ""
    while True:
        await clock.sleep(seconds)
        names = ", ".join(str(file.path) for file in files)
        try:
            for file in files:
                if await file.changed():
                    pending = changed = True
            if not pending:
                continue
            await reload()
        except (ValueError, OSError) as error:
            if str(error) != told:
                told = str(error)
                log.error("the new content of %s cannot be used, the old one stays: %s", names, error)
        else:
            if changed:
                log.info("reloaded %s", names)
            pending, changed, told = False, False, ""


class Followed(Generic[T]):
    """What some files hold, made into something: for those without a task that could watch. They are looked at when it is used,
    not oftener than every ten seconds; what cannot be used is logged, and what was loaded before stays."""

    def __init__(self, clock: Clock, load: Callable[[], tuple[T, Sequence[Path]]]) -> None:
        """load: what it is now, and the files that say so. What it raises as ValueError or OSError is raised here."""
        self._clock = clock
        self._load = load
        self._value, paths = load()
        self._files = {path: WatchedFile(path, b"") for path in paths}
        self._looked = clock.monotonic()
        self._pending, self._told = False, ""

    async def current(self) -> T:
        now = self._clock.monotonic()
        if now - self._looked >= USE_SECONDS:
            self._looked = now  # first, so that of those who use it together one looks and nobody waits
            await self._look()
        return self._value

    async def _look(self) -> None:
        try:
            for file in self._files.values():
                self._pending |= await file.changed()
            if not self._pending:
                return
            value, paths = await asyncio.to_thread(self._load)
        except (ValueError, OSError) as error:
            if str(error) != self._told:
                self._told = str(error)
                names = ", ".join(map(str, self._files))
                log.error("the new content of %s cannot be used, the old one stays: %s", names, error)
            return
        self._value, self._pending, self._told = value, False, ""
        self._files = {path: self._files.get(path) or WatchedFile(path, b"") for path in paths}
