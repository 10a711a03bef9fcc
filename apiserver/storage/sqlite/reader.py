"""Reads of the database file: each runs in a thread, on a connection of its own, in a transaction no longer than a page.

Functions take a connection; nothing here is kept between calls. A read transaction that stayed open would keep the
write-ahead log from being started over, and the file would grow without bound.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter

from apiserver.storage.base import Change, Compacted, FutureRevision, Page, Record

# The newest revision of each key in a range as of a revision, from the index alone. SQLite takes the bare column `dead`
# from the row that max() chose.
_KEYS = (
    "SELECT key, max(revision) AS revision, dead FROM log"
    " WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key HAVING dead = 0 ORDER BY key"
)
_LIST = f"{_KEYS} LIMIT ?"
_VALUES = "SELECT key, value, revision FROM log WHERE revision IN ({})"
_COUNT = f"SELECT count(*) FROM ({_KEYS})"
_GET = "SELECT key, value, revision, dead FROM log WHERE key = ? AND revision <= ? ORDER BY revision DESC LIMIT 1"
_REVISIONS = (
    "SELECT revision FROM log INDEXED BY log_key"
    " WHERE key >= ? AND key < ? AND revision > ? AND revision <= ? ORDER BY revision LIMIT ?"
)
_CHANGES = (
    "SELECT log.key, log.value, log.revision, log.prev, old.value FROM log LEFT JOIN log AS old ON old.revision = log.prev"
    " WHERE log.revision IN ({}) ORDER BY log.revision"
)


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """A read transaction; yields (newest revision, compacted revision) as it sees them."""
    connection.execute("BEGIN")
    try:
        newest, compacted = connection.execute(
            "SELECT (SELECT max(revision) FROM log), (SELECT value FROM meta WHERE name = 'compacted')"
        ).fetchone()
        yield max(newest or 0, compacted), compacted
    finally:
        connection.execute("ROLLBACK")


def _as_of(revision: int, newest: int, compacted: int) -> int:
    if revision > newest:
        raise FutureRevision(revision, newest)
    if revision and revision < compacted:
        raise Compacted(revision, compacted)
    return revision or newest


def end_of(prefix: str) -> str:
    """The first key after all that begin with prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def get(connection: sqlite3.Connection, key: str, revision: int) -> Record | None:
    with snapshot(connection) as (newest, compacted):
        row = connection.execute(_GET, (key, _as_of(revision, newest, compacted))).fetchone()
    return Record(key, row[1], row[2]) if row is not None and not row[3] else None


def page(connection: sqlite3.Connection, prefix: str, revision: int, start: str, limit: int, *, count: bool) -> Page:
    """At most limit (> 0) records from start on; count: say how many remain."""
    first, end = max(prefix, start), end_of(prefix)
    with snapshot(connection) as (newest, compacted):
        revision = _as_of(revision, newest, compacted)
        rows = connection.execute(_LIST, (first, end, revision, limit + 1)).fetchall()
        more = len(rows) > limit
        remaining = None if more else 0
        if more and count:
            remaining = connection.execute(_COUNT, (rows[limit][0], end, revision)).fetchone()[0]
        # In two steps: joined, SQLite would copy all values once more to sort them.
        marks = ",".join([str(row[1]) for row in rows[:limit]])
        records = [Record(*row) for row in connection.execute(_VALUES.format(marks))]
    records.sort(key=itemgetter(0))
    return Page(records, revision, more, remaining)


def revisions(connection: sqlite3.Connection, prefix: str, after: int, until: int, limit: int) -> list[int]:
    """The revisions of changes with after < revision <= until, oldest first."""
    with snapshot(connection) as (newest, compacted):
        if after < compacted:
            raise Compacted(after, compacted)
        rows = connection.execute(_REVISIONS, (prefix, end_of(prefix), after, min(until, newest), limit)).fetchall()
    return [row[0] for row in rows]


def changes(connection: sqlite3.Connection, wanted: list[int]) -> list[Change]:
    """The changes of those revisions, all of which must still be kept, and what they replaced too."""
    with snapshot(connection) as (_, compacted):
        if wanted[0] <= compacted:
            raise Compacted(wanted[0] - 1, compacted)
        marks = ",".join(map(str, wanted))
        return [Change(*row) for row in connection.execute(_CHANGES.format(marks))]
