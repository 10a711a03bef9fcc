"""The log backend: events as lines of JSON, written by a thread of its own, so that a slow disk never stops the loop.

What waits is written with one call. In blocking modes an answer waits for its events' write; in batch mode nobody waits,
and what does not fit into the bounded buffer is dropped and counted. The file is rotated as the original's library does:
audit.log becomes audit-2006-01-02T15-04-05.000.log beside it, perhaps compressed; old ones go by number and age.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import re
import shutil
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from apimachinery.clock import Clock
from apiserver.audit.config import Config
from apiserver.audit.events import truncated

log = logging.getLogger(__name__)

_STAMP = "%Y-%m-%dT%H-%M-%S"
_STAMPED = r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})"
_MODE = 0o600
_MOST_BYTES = 256 << 20  # that may wait, whatever the number of events
_DAY = 86400.0
_GATHERED = 400  # events that are written at once, in batch mode
_GATHER_SECONDS = 0.1  # at the latest. Of real time: it is the thread's

Failed = Callable[[str, int], None]
"""(plugin, events): they are not recorded"""


class RotatingFile:
    """An append-only file. Used by one thread."""

    def __init__(self, path: Path, clock: Clock, *, size: int, backups: int, age: float, compress: bool) -> None:
        """size: bytes, 0 for no limit. backups: 0 for all. age: seconds, 0 for ever. OSError when it cannot be made."""
        self._path = path
        self._clock = clock
        self._limit, self._backups, self._age, self._compress = size, backups, age, compress
        self._name = re.compile(re.escape(path.stem) + _STAMPED + re.escape(path.suffix) + r"(\.gz)?")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()
        self._clean()

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, lines: Sequence[bytes]) -> None:
        """Append the lines, rotating where the next would make the file too large. OSError."""
        pending: list[bytes] = []
        size = 0
        for line in lines:
            if self._limit and self._size + size and self._size + size + len(line) > self._limit:
                self._append(pending)
                pending, size = [], 0
                self._rotate()
            pending.append(line)
            size += len(line)
        self._append(pending)

    def _append(self, lines: Sequence[bytes]) -> None:
        view = memoryview(b"".join(lines))
        while view:
            written = os.write(self._descriptor, view)
            self._size += written
            view = view[written:]

    def _rotate(self) -> None:
        now = self._clock.time()
        while True:
            stamp = datetime.fromtimestamp(now, UTC).strftime(_STAMP) + f".{int(now * 1000) % 1000:03d}"
            target = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            if not target.exists() and not target.with_name(target.name + ".gz").exists():
                break
            now += 0.001
        os.close(self._descriptor)
        try:
            os.rename(self._path, target)
        finally:
            self._open()
        if self._compress:
            self._squeeze(target)
        self._clean()

    @staticmethod
    def _squeeze(path: Path) -> None:
        packed = path.with_name(path.name + ".gz")
        descriptor = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        with open(path, "rb") as source, os.fdopen(descriptor, "wb") as file, gzip.GzipFile("", "wb", 6, file) as out:
            shutil.copyfileobj(source, out)
        path.unlink()

    def _clean(self) -> None:
        """Remove rotated files that are too many or too old."""
        old: list[tuple[str, Path]] = []
        for entry in self._path.parent.iterdir():
            if found := self._name.fullmatch(entry.name):
                old.append((found[1], entry))
        old.sort(reverse=True)
        oldest = ""
        if self._age:
            oldest = datetime.fromtimestamp(self._clock.time() - self._age, UTC).strftime(_STAMP)
        for at, (stamp, path) in enumerate(old):
            if (self._backups and at >= self._backups) or stamp < oldest:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)


class _Output:
    """Standard output in place of a file."""

    def write(self, lines: Sequence[bytes]) -> None:
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()

    def close(self) -> None: ...


class LogBackend:
    """process() from the loop, the rest in the thread."""

    name = "log"

    def __init__(self, config: Config, clock: Clock, failed: Failed) -> None:
        """OSError when the file cannot be opened."""
        self._failed = failed
        self._batch = config.audit_log_mode == "batch"
        self.strict = config.audit_log_mode == "blocking-strict"
        self._most = config.audit_log_batch_buffer_size
        self._largest = config.audit_log_truncate_max_event_size if config.audit_log_truncate_enabled else 0
        self._file: RotatingFile | _Output = _Output() if config.audit_log_path == "-" else _rotating(config, clock)
        self._waiting: deque[tuple[bytes, asyncio.Future[bool] | None]] = deque()
        self._bytes = 0
        self._some = threading.Condition()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._thread.start()

    def process(self, line: bytes) -> Awaitable[bool] | None:
        """Have one event written; what to await for whether it was, None when nobody need wait."""
        if self._largest and len(line) > self._largest:
            line = truncated(line)
            if len(line) > self._largest:
                self._failed("truncate", 1)
                return None
        future: asyncio.Future[bool] | None = None
        if not self._batch:
            self._loop = asyncio.get_running_loop()
            future = self._loop.create_future()
        elif len(self._waiting) >= self._most or self._bytes > _MOST_BYTES:
            self._failed("buffered", 1)
            return None
        with self._some:
            self._waiting.append((line + b"\n", future))
            self._bytes += len(line)
            waiting = len(self._waiting)
            # In batch mode the thread is not woken for each event: that would cost more than the event.
            if not self._batch or waiting == 1 or waiting >= _GATHERED:
                self._some.notify()
        return future

    def _run(self) -> None:
        while True:
            with self._some:
                while not self._waiting and not self._closed:
                    self._some.wait()
                if not self._waiting:
                    return
                if self._batch:
                    self._some.wait_for(lambda: self._closed or len(self._waiting) >= _GATHERED, _GATHER_SECONDS)
                taken, self._waiting = self._waiting, deque()
                self._bytes = 0
            try:
                self._file.write([line for line, _ in taken])
                written = True
            except OSError as error:
                log.error("%d audit events were not written: %s", len(taken), error)
                self._failed(self.name, len(taken))
                written = False
            futures = [future for _, future in taken if future is not None]
            if futures and self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, futures, written)

    async def close(self) -> None:
        """Write what waits, then close the file."""
        with self._some:
            self._closed = True
            self._some.notify()
        await asyncio.to_thread(self._thread.join)
        self._file.close()


def _rotating(config: Config, clock: Clock) -> RotatingFile:
    return RotatingFile(
        Path(config.audit_log_path),
        clock,
        size=config.audit_log_maxsize << 20,
        backups=config.audit_log_maxbackup,
        age=config.audit_log_maxage * _DAY,
        compress=config.audit_log_compress,
    )


def _settle(futures: Sequence[asyncio.Future[bool]], written: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(written)
