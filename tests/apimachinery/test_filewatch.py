"""Files that are followed: what is told of them, and when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apimachinery import filewatch
from apimachinery.clock import ControlledClock


class Reader:
    """Takes what two files hold if both hold the same."""

    def __init__(self, *paths: Path) -> None:
        self.files = [filewatch.WatchedFile(path) for path in paths]
        self.taken: list[bytes] = []

    async def reload(self) -> None:
        one, two = (file.path.read_bytes() for file in self.files)
        if one != two:
            raise ValueError(f"{one.decode()} is not {two.decode()}")
        self.taken.append(one)


@asynccontextmanager
async def watching(clock: ControlledClock, reader: Reader, *, at_once: bool = False) -> AsyncIterator[None]:
    task = asyncio.create_task(filewatch.watch(clock, reader.files, reader.reload, at_once=at_once))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(clock: ControlledClock, holds: Callable[[], bool]) -> None:
    """Look again and again: files are read in threads."""
    async with asyncio.timeout(30):
        while not holds():
            await clock.advance(filewatch.SECONDS)


def replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "one", tmp_path / "two"
    for path in paths:
        path.write_bytes(b"1")
    return paths


async def test_another_content_is_told_and_the_same_one_is_not(pair: tuple[Path, Path]) -> None:
    file = filewatch.WatchedFile(pair[0])
    assert not await file.changed()
    replace(pair[0], b"1")
    assert not await file.changed()
    replace(pair[0], b"2")
    assert await file.changed()
    assert file.content == b"2"
    assert not await file.changed()


async def test_a_moved_symbolic_link_is_a_change(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(b"2")
    link = tmp_path / "link"
    link.symlink_to(pair[0])
    file = filewatch.WatchedFile(link)
    link.unlink()
    link.symlink_to(pair[1])
    assert await file.changed()
    assert file.content == b"2"


async def test_files_that_belong_together_are_taken_when_both_are_there(
    pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    clock, reader = ControlledClock(), Reader(*pair)
    async with watching(clock, reader):
        replace(pair[0], b"2")
        await until(clock, lambda: "2 is not 1" in caplog.text)
        await clock.advance(10 * filewatch.SECONDS)
        assert caplog.text.count("2 is not 1") == 1  # told once
        assert reader.taken == []
        replace(pair[1], b"2")
        await until(clock, lambda: reader.taken == [b"2"])


async def test_a_change_is_not_forgotten_while_another_file_is_gone(pair: tuple[Path, Path]) -> None:
    clock, reader = ControlledClock(), Reader(*pair)
    async with watching(clock, reader):
        pair[1].rename(pair[1].with_suffix(".away"))
        replace(pair[0], b"2")
        await until(clock, lambda: reader.files[0].content == b"2")
        pair[1].with_suffix(".away").rename(pair[1])
        await clock.advance(5 * filewatch.SECONDS)
        pair[0].write_bytes(b"1")  # what the second holds, which has never changed
        await until(clock, lambda: reader.taken == [b"1"])


async def test_what_changed_before_is_taken_at_once(pair: tuple[Path, Path]) -> None:
    clock, reader = ControlledClock(), Reader(*pair)
    async with watching(clock, reader, at_once=True):
        await until(clock, lambda: bool(reader.taken))
        await clock.advance(10 * filewatch.SECONDS)
    assert reader.taken == [b"1"]
