"""Keeping container logs within their size: rotate, compress what is old, drop what is too much.

    LOG                      written by the runtime
    LOG.<time>               rotated last, still plain, since a reader may have it open
    LOG.<time>.gz            older

Called every few seconds by the agent. The runtime reopens its file when asked to, as kubelet has it do.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from apimachinery.clock import Clock
from nodeagent import runtime
from nodeagent.observer import Observer
from nodeagent.runtime import Runtime, RuntimeFailure

log = logging.getLogger(__name__)

_PERIOD = 10.0


class LogRotation:
    """max_size: bytes of one file. max_files: files kept of a container, the one being written included."""

    def __init__(self, source: Runtime, observer: Observer, clock: Clock, *, max_size: int, max_files: int) -> None:
        self._runtime = source
        self._observer = observer
        self._clock = clock
        self._max_size = max_size
        self._max_files = max(2, max_files)

    async def run(self) -> None:
        """Look every ten seconds, until cancelled."""
        while True:
            await self._clock.sleep(_PERIOD)
            await self.look()

    async def look(self) -> None:
        """Rotate the logs of running containers that have grown too large."""
        for uid in self._observer.known():
            for container in self._observer.state(uid).containers:
                if container.state == runtime.RUNNING and container.log_path:
                    await self._rotate(container.id, Path(container.log_path))

    async def _rotate(self, container_id: str, path: Path) -> None:
        try:
            if await asyncio.to_thread(_size, path) < self._max_size:
                return
            stamp = datetime.fromtimestamp(self._clock.time(), UTC).strftime("%Y%m%d-%H%M%S")
            await asyncio.to_thread(os.rename, path, f"{path}.{stamp}")
            try:
                await self._runtime.reopen_log(container_id)
            except RuntimeFailure:
                # The runtime goes on writing to the renamed file; give it back its name rather than lose lines.
                await asyncio.to_thread(os.rename, f"{path}.{stamp}", path)
                raise
            await asyncio.to_thread(_tidy, path, self._max_files - 1)
        except (OSError, RuntimeFailure) as error:
            log.warning("cannot rotate %s: %s", path, error)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _tidy(path: Path, keep: int) -> None:
    """Compress all rotated files but the newest, and remove the oldest beyond `keep`."""
    rotated = sorted(entry for entry in path.parent.glob(path.name + ".*") if not entry.name.endswith(".tmp"))
    for old in rotated[: max(0, len(rotated) - keep)]:
        old.unlink()
    for entry in rotated[max(0, len(rotated) - keep) : -1]:
        if not entry.name.endswith(".gz"):
            packed = entry.with_name(entry.name + ".gz")
            with entry.open("rb") as source, gzip.open(f"{packed}.tmp", "wb") as target:
                shutil.copyfileobj(source, target)
            os.replace(f"{packed}.tmp", packed)
            entry.unlink()
