# ruff: noqa: ASYNC240 (looking at a file is what these tests are for)
"""The file of the embedded engine: what it survives, what it refuses, and that it stays small."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apimachinery.clock import ControlledClock
from apiserver.storage import base, open_backend
from apiserver.storage.sqlite import SQLite
from tests.apiserver.storage.subjects import PREFIX

VALUE = b'v1\n"metadata":{},"data":"' + b"x" * 1000 + b'"}'
BIG = b'v1\n"metadata":{},"data":"' + b"x" * 100_000 + b'"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SQLite]:
    backend = SQLite(path, ControlledClock())
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


async def records(backend: base.Backend) -> dict[str, int]:
    return {r.key: r.revision for r in (await backend.list(PREFIX)).records}


async def test_a_restart_keeps_everything_and_goes_on_counting(path: Path) -> None:
    async with opened(path) as backend:
        await backend.create(PREFIX + "a", VALUE)
        await backend.create(PREFIX + "b", VALUE, ttl=1)
        await backend.update(PREFIX + "a", VALUE, 2)
        await backend.delete(PREFIX + "a", 4)
    async with opened(path) as backend:
        assert backend.revision == 5
        assert await records(backend) == {PREFIX + "b": 3}
        assert (await backend.list(PREFIX, revision=2)).records[0].key == PREFIX + "a"
        with pytest.raises(base.KeyExists):
            await backend.create(PREFIX + "b", VALUE)
        await backend.compact(5)
    async with opened(path) as backend:
        assert backend.revision == 5
        assert await backend.create(PREFIX + "a", VALUE) == 6
        with pytest.raises(base.Compacted):
            await backend.list(PREFIX, revision=4)


async def test_what_was_acknowledged_survives_kill(path: Path) -> None:
    acknowledged: dict[str, int] = {}
    for _ in range(2):
        command = [sys.executable, "-m", "tests.apiserver.storage.crashwriter", str(path)]
        writer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert writer.stdout is not None
        async for line in writer.stdout:
            if line.endswith(b"\n"):
                key, revision = line.decode().split()
                acknowledged[key] = int(revision)
            if len(acknowledged) % 400 == 0:
                writer.kill()
        await writer.wait()
        async with opened(path) as backend:
            found = await records(backend)
            assert acknowledged.items() <= found.items()
            assert backend.revision == max(found.values())
            assert len(set(found.values())) == len(found)


async def test_a_second_process_is_refused(path: Path) -> None:
    async with opened(path) as backend:
        code = (
            "import asyncio, sys\n"
            "from apimachinery.clock import RealClock\n"
            "from apiserver.storage import base, open_backend\n"
            "try: asyncio.run(open_backend('sqlite:' + sys.argv[1], RealClock()).start())\n"
            "except base.CannotOpen as error: print(error)\n"
        )
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await run.communicate()
        assert f"{path} is in use by process {os.getpid()}" in output.decode()
        assert await backend.create(PREFIX + "a", VALUE) == 2
    async with opened(path):
        pass


async def test_within_a_process_too(path: Path) -> None:
    async with opened(path):
        with pytest.raises(base.CannotOpen, match="in use"):
            await SQLite(path, ControlledClock()).start()


async def refusal(path: Path) -> str:
    before = path.read_bytes()
    with pytest.raises(base.CannotOpen) as refused:
        async with opened(path):
            pass
    assert path.read_bytes() == before, "what is refused is left alone"
    return str(refused.value)


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("my diary\n" * 100)
    assert "is not a steersman store" in await refusal(path)


async def test_another_programs_database_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (name)")
    connection.close()
    assert "database of another program" in await refusal(path)


async def test_a_newer_format_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer steersman (format 99" in await refusal(path)


async def test_a_damaged_file_is_refused(path: Path) -> None:
    async with opened(path) as backend:
        await asyncio.gather(*(backend.create(f"{PREFIX}{i}", VALUE) for i in range(500)))
    with path.open("r+b") as file:
        for page in range(2, 60):
            file.seek(page * 4096)
            file.write(b"\xff" * 200)
    assert "is damaged" in await refusal(path)


@pytest.mark.parametrize("size", [0, 1, 50])
async def test_a_truncated_file(path: Path, size: int) -> None:
    async with opened(path) as backend:
        await backend.create(PREFIX + "a", VALUE)
    os.truncate(path, size)
    if size:
        with pytest.raises(base.CannotOpen):
            async with opened(path):
                pass
    else:
        async with opened(path) as backend:
            assert backend.revision == 1


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(base.CannotOpen, match="No such file or directory"):
        async with opened(tmp_path / "none" / "store.db"):
            pass


async def test_only_the_owner_may_read_it(path: Path) -> None:
    async with opened(path) as backend:
        await backend.create(PREFIX + "a", VALUE)
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file


def test_unknown_engines_are_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'etcd://host' names no storage engine; available: sqlite:, memory:"):
        open_backend("etcd://host", ControlledClock())
    with pytest.raises(ValueError, match="names no file"):
        open_backend("sqlite:", ControlledClock())


async def test_a_value_that_cannot_be_stored_harms_nobody(path: Path) -> None:
    async with opened(path) as backend:
        bad = backend.create(PREFIX + "\ud800", VALUE)
        with pytest.raises(base.Unavailable):
            await bad
        assert await backend.create(PREFIX + "a", VALUE) == 2


async def test_file_and_log_stay_bounded(path: Path) -> None:
    async with opened(path) as backend:
        revisions = {i: await backend.create(f"{PREFIX}{i}", BIG) for i in range(20)}
        largest = 0
        for _ in range(100):

            async def write(i: int) -> None:
                revisions[i] = await backend.update(f"{PREFIX}{i}", BIG, revisions[i])

            await asyncio.gather(*(write(i) for i in range(20)))
            await backend.compact(backend.revision)
            largest = max(largest, sum(file.stat().st_size for file in path.parent.iterdir()))
        assert largest < 64 << 20  # of 200 MB written, 2 MB are live
    assert path.stat().st_size < 40 << 20


async def test_free_pages_are_given_back(path: Path) -> None:
    async with opened(path) as backend:
        revisions = await asyncio.gather(*(backend.create(f"{PREFIX}{i}", BIG) for i in range(400)))
        await asyncio.gather(*(backend.delete(f"{PREFIX}{i}", revision) for i, revision in enumerate(revisions)))
        await backend.compact(backend.revision)
    assert path.stat().st_size < 20 << 20


async def test_reads_go_on_while_the_store_is_compacted_and_written(path: Path) -> None:
    async with opened(path) as backend:
        revisions = list(await asyncio.gather(*(backend.create(f"{PREFIX}{i:04}", VALUE) for i in range(3000))))
        page = await backend.list(PREFIX, limit=100)
        for i in range(0, 3000, 2):
            await backend.delete(f"{PREFIX}{i:04}", revisions[i])
            if i % 600 == 0:
                at = page.revision
                page = await backend.list(PREFIX, at, page.records[-1].key + "\0", 100)
                assert len(page.records) == 100
                assert page.revision == at
        async with asyncio.TaskGroup() as group:
            group.create_task(backend.compact(backend.revision))
            for _ in range(5):
                assert len((await backend.list(PREFIX)).records) == 1500
                assert await backend.create(f"{PREFIX}x", VALUE) == backend.revision
                await backend.delete(f"{PREFIX}x", backend.revision)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_refuses_writes_and_loses_nothing(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = small_disk / "store.db"
    kept: dict[str, int] = {}
    async with opened(path) as backend:

        async def fill(what: str) -> None:
            for i in range(1000):
                kept[f"{PREFIX}{what}{i}"] = await backend.create(f"{PREFIX}{what}{i}", BIG)

        with pytest.raises(base.Unavailable, match="full"):
            await fill("a")
        assert kept
        revision = backend.revision
        assert await records(backend) == kept
        with pytest.raises(base.Unavailable, match="full"):
            await fill("b")
        mount = await asyncio.create_subprocess_exec("mount", "-o", "remount,size=64m", str(small_disk))
        assert await mount.wait() == 0
        kept[f"{PREFIX}after"] = await backend.create(f"{PREFIX}after", BIG)
        assert kept[f"{PREFIX}after"] > revision
    async with opened(path) as backend:
        assert await records(backend) == kept
