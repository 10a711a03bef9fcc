"""The writer thread: takes what is queued, commits it as one transaction, hands the outcome back to the event loop.

Whether a write conflicts is decided here from a dictionary of each key's newest revision, and the rows of a batch go in
with few many-row statements: every SQLite call gives the GIL away, and getting it back from a busy event loop can take
milliseconds, so a batch must cost a handful of calls however large it is.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apiserver.storage.base import CannotOpen, Change, Conflict, KeyExists, NotFound, StorageError, Unavailable
from apiserver.storage.sqlite.file import FIRST_REVISION, WAL_LIMIT, File

logger = logging.getLogger(__name__)

_BATCH = 512  # operations in a transaction at most
_BATCH_BYTES = 8 << 20  # of values in a transaction, more or less
_ROWS = (128, 64, 32, 16, 8, 4, 2, 1)  # rows per statement: few different statements, so all stay prepared
_INSERT = {n: "INSERT OR FAIL INTO log VALUES " + ",".join(["(?,?,?,?,?)"] * n) for n in _ROWS}
_CHECKPOINT_BYTES = 8 << 20  # of write-ahead log before it is copied into the database
_PATIENCE = 30.0  # seconds that writers wait for a checkpoint; only a broken disk takes longer
_PAGE = 4096
# sqlite3's own errors, and what it raises for a value it cannot bind: nothing a caller passes may end the thread.
_FAILURES = (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError)

CREATE, UPDATE, DELETE, STEP = range(4)


@dataclass(slots=True)
class Operation:
    """A queued write, or (STEP) a piece of housekeeping that runs inside the batch's transaction."""

    kind: int
    key: str
    value: bytes | None
    if_revision: int
    expires: float
    future: asyncio.Future[int]
    step: Callable[[Batch], int] | None = None


@dataclass(slots=True)
class Batch:
    """A transaction in the making; what a STEP may use."""

    connection: sqlite3.Connection
    latest: dict[str, int]
    revision: int
    rows: list[object] = field(default_factory=list)
    expiries: list[tuple[float, int, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    undo: list[tuple[str, int]] = field(default_factory=list)
    size: int = 0

    def write(self, key: str, value: bytes | None, previous: int) -> int:
        """Add a row; value None deletes. Returns its revision."""
        self.revision = revision = self.revision + 1
        self.undo.append((key, previous))
        if value is None:
            del self.latest[key]
            self.rows += (revision, key, 1, previous, None)
        else:
            self.latest[key] = revision
            self.rows += (revision, key, 0, previous, value)
            self.size += len(value)
        self.changes.append(Change(key, value, revision, previous, None))
        return revision

    def apply(self, operation: Operation) -> int | StorageError:
        """Decide on a write, and make it if it may be made."""
        key = operation.key
        previous = self.latest.get(key, 0)
        if operation.kind == CREATE:
            if previous:
                return KeyExists(key)
        elif not previous:
            return NotFound(key)
        elif operation.if_revision != previous:
            return Conflict(key, operation.if_revision, previous)
        revision = self.write(key, operation.value, previous)
        if operation.expires:
            self.expiries.append((operation.expires, revision, key))
        return revision

    def roll_back(self) -> None:
        """Forget what was written here; the caller has rolled back the transaction."""
        for key, previous in reversed(self.undo):
            if previous:
                self.latest[key] = previous
            else:
                del self.latest[key]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch: changes to tell, and each operation's result."""

    revision: int
    changes: Sequence[Change]
    results: Sequence[tuple[asyncio.Future[int], int | StorageError]]


class Writer:
    """Owns the writing connection, its thread, and the thread that keeps the write-ahead log short."""

    def __init__(self, file: File, deliver: Callable[[Outcome], None]) -> None:
        """deliver is called on the event loop with the outcome of each batch, in order."""
        self._file = file
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._connection = file.connect(cache_bytes=16 << 20)
        self._queue: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()
        self._collected: list[Operation] = []
        self._latest: dict[str, int] = {}
        self._gate = threading.Lock()  # held during a transaction, and while the log is started over
        self._log_bytes = 0  # written to the log since it was last copied, estimated
        self._log_size = 0  # of the log since it was last started over, estimated
        self._copy = threading.Event()  # there is enough to copy
        self._copied = threading.Event()  # it was tried
        self._closing = False
        self._ended = False  # the writer thread has
        self.revision = FIRST_REVISION
        self._threads = [threading.Thread(target=self._run, name="storage-writer", daemon=True)]
        if file.path is not None:
            self._threads.append(threading.Thread(target=self._run_checkpoints, name="storage-checkpoint", daemon=True))

    def load(self) -> None:
        """Learn the newest revisions; blocks, before start(). CannotOpen."""
        try:
            self._load()
            self._file.fill_log(_CHECKPOINT_BYTES)
        except OSError as error:
            logger.warning("no room to write %s ahead: %s", self._file, error)
        except sqlite3.DatabaseError as error:
            raise CannotOpen(
                f"{self._file} is damaged ({error}): restore a copy, or move it away to start afresh"
            ) from error

    def _load(self) -> None:
        rows = self._connection.execute("SELECT key, max(revision), dead FROM log GROUP BY key HAVING dead = 0")
        self._latest = {key: revision for key, revision, _ in rows}
        newest, compacted = self._connection.execute(
            "SELECT (SELECT max(revision) FROM log), (SELECT value FROM meta WHERE name = 'compacted')"
        ).fetchone()
        self.revision = max(newest or 0, compacted, FIRST_REVISION)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, operation: Operation) -> None:
        """Queue an operation; what one turn of the event loop submits is queued together."""
        if self._closing:
            raise Unavailable("the store is closed")
        if not self._collected:
            self._loop.call_soon(self._flush)
        self._collected.append(operation)

    def stop(self) -> None:
        """Take nothing more; what is queued is still committed. Follow with join() in another thread."""
        self._flush()
        if not self._closing:
            self._closing = True
            self._queue.put(None)

    def join(self) -> None:
        """Wait for the threads, then close the connection."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._connection.close()

    def _flush(self) -> None:
        if self._collected:
            self._queue.put(self._collected)
            self._collected = []

    # -- the writer thread

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._queue.get()
            if first is None:
                break
            operations = first
            while len(operations) < _BATCH:
                try:
                    further = self._queue.get_nowait()
                except queue.Empty:
                    break
                if further is None:
                    ended = True
                    break
                operations += further
            while operations:
                outcome, operations = self._commit(operations)
                self._loop.call_soon_threadsafe(self._deliver, outcome)
        self._ended = True
        self._copy.set()

    def _commit(self, operations: list[Operation]) -> tuple[Outcome, list[Operation]]:
        """Commit as many of the operations as fit a transaction; also returns those left over."""
        batch = Batch(self._connection, self._latest, self.revision)
        results: list[tuple[asyncio.Future[int], int | StorageError]] = []
        with self._gate:
            try:
                done = self._transact(batch, operations, results)
            except _FAILURES as error:
                done = self._fail(batch, operations, results, error)
        self.revision = batch.revision
        self._note(batch.size + len(batch.changes) * _PAGE + 2 * _PAGE)
        return Outcome(batch.revision, batch.changes, results), operations[done:]

    def _transact(
        self,
        batch: Batch,
        operations: list[Operation],
        results: list[tuple[asyncio.Future[int], int | StorageError]],
    ) -> int:
        begun = False
        done = 0
        for operation in operations:
            if done == _BATCH or batch.size > _BATCH_BYTES:
                break
            done += 1
            if operation.step is not None:
                if not begun:
                    begun = True
                    self._connection.execute("BEGIN IMMEDIATE")
                results.append((operation.future, operation.step(batch)))
            else:
                results.append((operation.future, batch.apply(operation)))
        count = len(batch.changes)
        # One statement is a transaction by itself.
        if not begun and (batch.expiries or count not in _INSERT) and count:
            begun = True
            self._connection.execute("BEGIN IMMEDIATE")
        start = 0
        for n in _ROWS:
            while count - start >= n:
                self._connection.execute(_INSERT[n], batch.rows[start * 5 : (start + n) * 5])
                start += n
        if batch.expiries:
            self._connection.executemany("INSERT INTO ttl VALUES (?,?,?)", batch.expiries)
        if begun:
            self._connection.execute("COMMIT")
        return done

    def _fail(
        self,
        batch: Batch,
        operations: list[Operation],
        results: list[tuple[asyncio.Future[int], int | StorageError]],
        error: Exception,
    ) -> int:
        """Nothing of the batch happened: say so to everyone in it, and be ready for the next."""
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as second:
                logger.error("rolling back in %s failed: %s", self._file, second)
        logger.error("writing to %s failed: %s", self._file, error)
        batch.roll_back()
        batch.revision = self.revision
        batch.changes.clear()
        batch.size = _CHECKPOINT_BYTES + 1  # so that the log is copied: that frees its space on a disk that is full
        results[:] = [
            (operation.future, Unavailable(f"writing to {self._file} failed: {error}", str(error)))
            for operation in operations
        ]
        return len(operations)

    def _note(self, size: int) -> None:
        """So much was written to the log; have it copied when it is due, and wait for that if it lags far behind."""
        self._log_bytes += size
        self._log_size += size
        if self._log_bytes > _CHECKPOINT_BYTES:
            if self._log_size > 2 * WAL_LIMIT and self._file.path is not None:
                self._copied.clear()
                self._copy.set()
                self._copied.wait(_PATIENCE)
            else:
                self._copy.set()

    # -- the checkpoint thread

    def _run_checkpoints(self) -> None:
        connection = self._file.connect()
        while True:
            self._copy.wait()
            self._copy.clear()
            self._log_bytes = 0
            try:
                self._checkpoint(connection)
            except sqlite3.Error as error:
                self._log_size = 0  # writers shall not wait for what does not succeed
                logger.warning("checkpoint of %s failed, will be tried again: %s", self._file, error)
            self._copied.set()
            if self._ended:
                break
        connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Copy the log into the database beside the writers; keep them out only for the rest, and only if it grew long."""
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        size = frames * _PAGE
        if size > WAL_LIMIT:
            with self._gate:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            size = size if busy else 0
        self._log_size = size
