"""The database file: who may open it, what it must look like, and how each connection is set up.

One table holds everything: `log`, a row per write, keyed by revision. The state at any revision, the history of a key and
the changes after a revision are all read from it; its index by key answers them without touching values.

    log      revision, key, dead (1 for a deletion), prev (the revision this write replaced, 0 for a creation), value
    ttl      what expires when; rows go when they are due, whatever became of the record
    meta     compacted: reads at older revisions are refused

The newest revision is the greatest of the log's last and `compacted`, so it needs no row of its own and cannot go back.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import sqlite3
from pathlib import Path

from apiserver.storage.base import CannotOpen

APPLICATION_ID = 0x73747273  # "strs"; what file(1) and we recognise the file by
SCHEMA_VERSION = 1
FIRST_REVISION = 1  # of an empty store, as in etcd: 0 means "any" to clients
WAL_LIMIT = 16 << 20  # bytes that the write-ahead log is cut back to when it starts over
_CHECK_BYTES = 32 << 20  # files up to this size are checked at every start; larger ones show damage when they are read
_MAGIC = b"SQLite format 3\x00"
_SCHEMA = f"""
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    dead INTEGER NOT NULL,
    prev INTEGER NOT NULL,
    value BLOB
);
CREATE INDEX log_key ON log (key, revision, dead);
CREATE TABLE ttl (expires REAL NOT NULL, revision INTEGER NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (expires, revision)) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('compacted', {FIRST_REVISION});
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
_memories = itertools.count()


class File:
    """A store's file, locked by this process from open() to close(). An empty path means a store in memory only."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock: int | None = None
        self._memory = f"file:/steersman-{os.getpid()}-{next(_memories)}?vfs=memdb"
        self._keep: sqlite3.Connection | None = None  # a memory store lives as long as a connection to it

    def __str__(self) -> str:
        return str(self.path or "the store in memory")

    def open(self) -> None:
        """Lock, check and if need be create the store. CannotOpen says what is wrong and what to do."""
        try:
            if self.path is not None:
                self._acquire(self.path)
                self._look_at(self.path)
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._keep is not None:
            self._keep.close()
            self._keep = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def connect(self, *, cache_bytes: int = 2 << 20) -> sqlite3.Connection:
        """A connection in autocommit mode; usable from any one thread at a time."""
        target = self._memory if self.path is None else str(self.path)
        connection = sqlite3.connect(
            target,
            uri=self.path is None,
            isolation_level=None,
            check_same_thread=False,
            timeout=5,
            cached_statements=64,
        )
        try:
            connection.execute(f"PRAGMA cache_size = {-(cache_bytes >> 10)}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = FAST")  # some builds zero freed pages: twice the writing
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def fill_log(self, size: int) -> None:
        """Make the write-ahead log at least that long, with zeros, which SQLite takes for the end of its content.

        Overwriting part of a file is synced in two thirds of the time that growing it takes. Call it before the first
        write and after a connection has read something, which creates the log.
        """
        if self.path is None:
            return
        with open(f"{self.path}-wal", "r+b", buffering=0) as log:
            missing = size - log.seek(0, os.SEEK_END)
            if missing > 0:
                log.write(bytes(missing))
                os.fsync(log.fileno())

    def _acquire(self, path: Path) -> None:
        # A file of its own: closing any descriptor of the database would drop SQLite's own locks on it.
        try:
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotOpen(f"cannot open {path}: {error.strerror}: {error.filename}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            by = f"process {owner}" if owner else "another process"
            raise CannotOpen(f"{path} is in use by {by}: stop that one first, or use another data directory") from error
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # the number only makes the message above better; a full disk must not keep a store closed

    def _look_at(self, path: Path) -> None:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                head = os.read(file, len(_MAGIC))
            finally:
                os.close(file)
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise CannotOpen(f"cannot open {path}: {error.strerror}") from error
        if head and head != _MAGIC:
            raise CannotOpen(
                f"{path} is not a steersman store (not an SQLite database): move it away, or restore a copy"
            )

    def _prepare(self) -> None:
        try:
            connection = self.connect()
        except sqlite3.Error as error:
            raise CannotOpen(f"cannot open {self}: {error}") from error
        try:
            self._check(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise CannotOpen(f"cannot open {self}: {error}") from error
            raise CannotOpen(f"{self} is damaged ({error}): restore a copy, or move it away to start afresh") from error
        except CannotOpen:
            connection.close()
            raise
        if self.path is None:
            self._keep = connection
        else:
            connection.close()

    def _check(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != APPLICATION_ID and not (empty and application == 0):
            raise CannotOpen(f"{self} is the database of another program: move it away, or use another data directory")
        if empty:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has to precede the first table
        elif version > SCHEMA_VERSION:
            raise CannotOpen(
                f"{self} was written by a newer steersman (format {version}, this one knows {SCHEMA_VERSION}): upgrade"
            )
        connection.execute("PRAGMA journal_mode = " + ("WAL" if self.path is not None else "MEMORY"))
        if empty:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        elif self.path is not None and self.path.stat().st_size <= _CHECK_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise CannotOpen(f"{self} is damaged ({verdict}): restore a copy, or move it away to start afresh")
