"""The embedded storage engine: one SQLite file in WAL mode, which survives kill -9 and power loss with all it acknowledged.

file.py     the file: lock, checks, schema, connections
writer.py   the writer thread: group commit; the checkpoint thread
reader.py   queries of the reading threads
here        the Backend that the event loop sees; compaction and expiry, as tasks on the injected clock
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Concatenate, ParamSpec, TypeVar

from apimachinery.clock import Clock
from apiserver.storage.base import Change, Deliver, Page, Record, StorageError, Unavailable
from apiserver.storage.sqlite import reader
from apiserver.storage.sqlite.file import FIRST_REVISION, File
from apiserver.storage.sqlite.writer import CREATE, DELETE, STEP, UPDATE, Batch, Operation, Outcome, Writer
from apiserver.storage.subscribers import Subscribers

logger = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

_READERS = 2  # threads and connections; reads of the file are rare, the cache answers the others
_PAGE = 1000  # records of a list that asked for all, per read transaction
_CHANGES = 500  # changes per read transaction
_REVISIONS = 50_000  # revision numbers fetched at a time
_COMPACT = 256  # revisions forgotten per transaction: a few milliseconds
_EXPIRE = 256  # records expired per transaction
_VACUUM = 64  # free pages returned to the file system per transaction
_SLACK = 4096  # free pages that stay in the file for reuse


@dataclass(frozen=True, slots=True)
class Options:
    """How the engine keeps its history."""

    history: float = 300.0
    """Seconds for which overwritten and deleted records stay readable, 0 for always: as --etcd-compaction-interval."""

    expiry_interval: float = 5.0
    """Seconds between looks for records whose time to live has passed; etcd's leases are no more exact."""


class SQLite:
    """apiserver.storage.base.Backend on one file. path None: in memory, for tests."""

    def __init__(self, path: Path | None, clock: Clock, options: Options | None = None) -> None:
        self._file = File(path)
        self._clock = clock
        self._options = options or Options()
        self._writer: Writer | None = None
        self._subscribers = Subscribers(FIRST_REVISION)
        self._tasks: list[asyncio.Task[None]] = []
        self._executor: ThreadPoolExecutor | None = None
        self._connections: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._compacting = asyncio.Lock()

    # -- life

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(_READERS, thread_name_prefix="storage-read")
        opening = loop.run_in_executor(self._executor, self._file.open)
        try:
            await asyncio.shield(opening)
            self._writer = writer = Writer(self._file, self._committed)
            await loop.run_in_executor(self._executor, writer.load)
            for _ in range(_READERS):
                self._connections.put(self._file.connect())
        except BaseException:
            await asyncio.wait({opening})
            await self.close()
            raise
        self._subscribers.advance(writer.revision, ())
        writer.start()
        self._tasks = [asyncio.create_task(self._expire_regularly(), name="storage-expiry")]
        if self._options.history > 0:
            self._tasks.append(asyncio.create_task(self._compact_regularly(), name="storage-compaction"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []
        executor, self._executor = self._executor, None
        if executor is None:
            return
        loop = asyncio.get_running_loop()
        if self._writer is not None:
            self._writer.stop()
            await asyncio.shield(loop.run_in_executor(executor, self._writer.join))
        await asyncio.shield(asyncio.to_thread(self._release, executor))
        self._subscribers.close()

    def _release(self, executor: ThreadPoolExecutor) -> None:
        executor.shutdown(wait=True)
        while not self._connections.empty():
            self._connections.get().close()
        self._file.close()

    # -- reads

    async def get(self, key: str, revision: int = 0) -> Record | None:
        return await self._read(reader.get, key, revision)

    async def list(
        self, prefix: str, revision: int = 0, start: str = "", limit: int = 0, *, count: bool = False
    ) -> Page:
        if limit:
            return await self._read(reader.page, prefix, revision, start, limit, count=count)
        page = await self._read(reader.page, prefix, revision, start, _PAGE, count=False)
        records = [*page.records]
        while page.more:
            start = records[-1].key + "\0"
            page = await self._read(reader.page, prefix, page.revision, start, _PAGE, count=False)
            records += page.records
        return Page(records, page.revision, False, 0)

    async def changes(self, prefix: str, after: int, until: int) -> AsyncIterator[Sequence[Change]]:
        while True:
            revisions = await self._read(reader.revisions, prefix, after, until, _REVISIONS)
            for i in range(0, len(revisions), _CHANGES):
                yield await self._read(reader.changes, revisions[i : i + _CHANGES])
            if len(revisions) < _REVISIONS:
                return
            after = revisions[-1]

    async def _read(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def run() -> T:
            connection = self._connections.get()
            try:
                return function(connection, *args, **kwargs)
            except sqlite3.Error as error:
                raise Unavailable(f"reading {self._file} failed: {error}", str(error)) from error
            finally:
                self._connections.put(connection)

        if self._executor is None:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, run)

    # -- writes

    async def create(self, key: str, value: bytes, ttl: float = 0) -> int:
        return await self._submit(CREATE, key, value, 0, ttl)

    async def update(self, key: str, value: bytes, if_revision: int, ttl: float = 0) -> int:
        return await self._submit(UPDATE, key, value, if_revision, ttl)

    async def delete(self, key: str, if_revision: int) -> int:
        return await self._submit(DELETE, key, None, if_revision, 0)

    async def _submit(
        self,
        kind: int,
        key: str = "",
        value: bytes | None = None,
        if_revision: int = 0,
        ttl: float = 0,
        step: Callable[[Batch], int] | None = None,
    ) -> int:
        if self._writer is None:
            raise Unavailable("the store is not open")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        expires = self._clock.time() + ttl if ttl > 0 else 0
        self._writer.submit(Operation(kind, key, value, if_revision, expires, future, step))
        # A cancelled caller cancels the future, not the write: it is committed and told to subscribers all the same.
        return await future

    def _committed(self, outcome: Outcome) -> None:
        """A batch is on disk: tell subscribers, then whoever waits for it. Runs on the event loop."""
        try:
            self._subscribers.advance(outcome.revision, outcome.changes)
        finally:
            for future, result in outcome.results:
                if future.done():
                    continue
                if isinstance(result, StorageError):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    # -- revisions and subscribers

    @property
    def revision(self) -> int:
        return self._subscribers.revision

    async def current_revision(self) -> int:
        return self._subscribers.revision  # only this process writes, and no write is acknowledged before it is told

    async def reached(self, revision: int) -> None:
        await self._subscribers.reached(revision)

    def subscribe(self, prefix: str, deliver: Deliver) -> Callable[[], None]:
        return self._subscribers.add(prefix, deliver)

    # -- housekeeping

    async def stale(self, key: str) -> bool:
        """Never: values are written as they are."""
        return False

    async def compact(self, revision: int) -> None:
        def step(batch: Batch) -> int:
            return _forget(batch, min(revision, self.revision))

        async with self._compacting:
            while await self._submit(STEP, step=step):
                pass
            while await self._submit(STEP, step=_shrink):
                pass

    async def _compact_regularly(self) -> None:
        """Forget each revision once it is older than the history to be kept."""
        history = self._options.history
        seen: deque[tuple[float, int]] = deque()  # (when, revision), for some moments of the history
        while True:
            seen.append((self._clock.monotonic(), self.revision))
            await self._clock.sleep(max(history / 10, 1.0))
            while seen and seen[0][0] <= self._clock.monotonic() - history:
                try:
                    await self.compact(seen[0][1])
                except Unavailable as error:
                    logger.warning("compaction of %s will be tried again: %s", self._file, error)
                    break
                seen.popleft()

    async def _expire_regularly(self) -> None:
        interval = self._options.expiry_interval
        while True:
            await self._clock.sleep(interval)
            now = 0.0
            while now + interval <= self._clock.time():  # again, if the clock was moved on meanwhile
                now = self._clock.time()
                try:
                    while await self._submit(STEP, step=partial(_expire, now=now)):
                        pass
                except Unavailable as error:
                    logger.warning("expiry in %s will be tried again: %s", self._file, error)


def _forget(batch: Batch, until: int) -> int:
    """Delete what was replaced, and deletions themselves, in the next few revisions up to `until`; 0 when none is left."""
    execute = batch.connection.execute
    compacted: int = execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()[0]
    if compacted >= until:
        return 0
    span = (compacted, min(compacted + _COMPACT, until))
    execute(
        "DELETE FROM log WHERE revision IN ("
        " SELECT prev FROM log WHERE revision > ?1 AND revision <= ?2 AND prev > 0"
        " UNION ALL SELECT revision FROM log WHERE revision > ?1 AND revision <= ?2 AND dead = 1)",
        span,
    )
    execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (span[1],))
    return 1


def _shrink(batch: Batch) -> int:
    """Give some of the file's free pages back where it has too many; 0 when that is done."""
    free: int = batch.connection.execute("PRAGMA freelist_count").fetchone()[0]
    pages: int = batch.connection.execute("PRAGMA page_count").fetchone()[0]
    if free < max(_SLACK, pages // 4):
        return 0
    for _ in range(_VACUUM):
        batch.connection.execute("PRAGMA incremental_vacuum(1)")  # however many are asked for, execute() does one
    return 1


def _expire(batch: Batch, now: float) -> int:
    """Delete some of the records whose time has passed; 0 when none is left."""
    due = batch.connection.execute("SELECT expires, revision, key FROM ttl WHERE expires <= ? LIMIT ?", (now, _EXPIRE))
    rows = due.fetchall()
    for _, revision, key in rows:
        if batch.latest.get(key) == revision:  # else it was updated (and has a time of its own), or deleted
            batch.write(key, None, revision)
    batch.connection.executemany("DELETE FROM ttl WHERE expires = ? AND revision = ?", [row[:2] for row in rows])
    return int(len(rows) == _EXPIRE)
