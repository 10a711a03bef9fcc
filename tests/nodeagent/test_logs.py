# ruff: noqa: ASYNC240 (a test may wait for its own few files)
"""Container logs: the runtime's format, tails, filters, following over a rotation; last words of a container."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent import crilog, runtime, terminationlog
from nodeagent.crilog import Options
from tests.nodeagent.pods import ran

LINES = (
    b"2026-01-02T03:04:05.000000001Z stdout F one\n"
    b"2026-01-02T03:04:06.000000001Z stderr F two\n"
    b"2026-01-02T03:04:07.000000001Z stdout P th\n"
    b"2026-01-02T03:04:07.000000002Z stdout F ree\r\n"
    b"2026-01-02T03:04:08.000000001Z stdout F four\n"
)


async def text(path: Path, alive: Any = lambda: False, **options: Any) -> bytes:
    return b"".join([piece async for piece in crilog.read(path, Options(**options), alive)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(LINES)
    return path


async def test_whole(log: Path) -> None:
    assert await text(log) == b"one\ntwo\nthree\r\nfour\n"


async def test_an_unfinished_line_waits(log: Path) -> None:
    log.write_bytes(LINES + b"2026-01-02T03:04:09Z stdout F fi")
    assert await text(log) == b"one\ntwo\nthree\r\nfour\n"


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (0, b""),
        (1, b"four\n"),
        (2, b"three\r\nfour\n"),
        (3, b"two\nthree\r\nfour\n"),
        (9, b"one\ntwo\nthree\r\nfour\n"),
    ],
)
async def test_tails(log: Path, tail: int, expected: bytes) -> None:
    assert await text(log, tail=tail) == expected


async def test_a_tail_over_many_blocks(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(b"2026-01-02T03:04:05Z stdout F %06d\n" % i for i in range(20_000)))
    assert await text(path, tail=5000) == b"".join(b"%06d\n" % i for i in range(15_000, 20_000))


async def test_filters(log: Path) -> None:
    assert await text(log, stream="stderr") == b"two\n"
    assert await text(log, since=1767323047.0) == b"three\r\nfour\n"
    assert await text(log, limit=6) == b"one\ntw"
    stamped = await text(log, timestamps=True)
    assert stamped.splitlines()[2] == b"2026-01-02T03:04:07.000000001Z three"


async def test_following_ends_with_the_container(log: Path) -> None:
    turns: Iterator[int] = iter(range(100))

    def alive() -> bool:
        turn = next(turns)
        if turn == 1:
            with log.open("ab") as file:
                file.write(b"2026-01-02T03:04:09Z stdout F five\n")
        if turn == 2:
            log.rename(log.with_name("0.log.20260102-030409"))
            log.write_bytes(b"2026-01-02T03:04:10Z stdout F six\n")
        return turn < 4

    assert await text(log, alive, follow=True, tail=1) == b"four\nfive\nsix\n"


async def test_rotated_files_come_first(log: Path) -> None:
    log.with_name("0.log.20260101-000000").write_bytes(b"2026-01-01T00:00:00Z stdout F zero\n")
    assert (await text(log)).startswith(b"zero\none\n")


def test_last_words(log: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("disk full")
    annotations = {
        runtime.TERMINATION_PATH: "/dev/termination-log",
        runtime.TERMINATION_POLICY: "FallbackToLogsOnError",
    }
    dead = dataclasses.replace(
        ran(state=runtime.EXITED, code=1),
        annotations=annotations,
        mounts=(("/dev/termination-log", str(words)),),
        log_path=str(log),
    )
    assert terminationlog.with_message(dead).message == "disk full"
    words.write_text("")
    assert terminationlog.with_message(dead).message == "one\ntwo\nthree\r\nfour\n"
    assert terminationlog.with_message(dataclasses.replace(dead, exit_code=0)).message == ""
