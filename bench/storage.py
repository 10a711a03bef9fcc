"""The storage layer by itself, in this process, on a real file: `python -m bench.storage [FOLDER]`.

The file lies in FOLDER (default: the temporary directory), whose disk the write rows measure. `fsync` is what that disk
gives any program: no row of durable single writes can be faster.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from apimachinery.clock import RealClock
from apiserver.storage import open_backend
from apiserver.storage.cacher import Cacher, Caches, Entry
from bench.api import Row

PREFIX = "/registry/core/pods/"
BODY = b'"metadata":{"name":"pod","labels":{"app":"bench"}},"spec":{"text":"' + b"x" * 1400 + b'"}}'
VALUE = b"v1\n" + BODY
OPENING = b'{"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1",'


def attributes(obj: dict[str, Any], version: str) -> tuple[dict[str, str], dict[str, str]]:
    return obj["metadata"].get("labels", {}), {}


def line(type_: str, entry: Entry) -> bytes:
    return b"".join((OPENING, entry.body, b"}\n"))


def fsyncs(folder: Path) -> float:
    """Appends of a page's size, synced one by one, per second."""
    path = folder / "fsync"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    start = time.perf_counter()
    for i in range(500):
        os.pwrite(file, VALUE[:1024] * 8, i * 8192)
        os.fdatasync(file)
    seconds = time.perf_counter() - start
    os.close(file)
    path.unlink()
    return 500 / seconds


async def side_by_side(tasks: int, count: int, write: Callable[[int], Awaitable[object]]) -> float:
    """Calls of write(0), write(1), … by so many tasks, per second."""
    numbers = iter(range(count))

    async def work() -> None:
        for i in numbers:
            await write(i)

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return count / (time.perf_counter() - start)


async def writes(folder: Path) -> AsyncIterator[Row]:
    backend = open_backend(f"sqlite:{folder}/writes.db", RealClock())
    await backend.start()
    for tasks, count, aim in ((1, 3000, 0), (16, 20_000, 6000), (256, 40_000, 40_000)):
        rate = await side_by_side(
            tasks,
            count,
            lambda i, tasks=tasks: backend.create(f"{PREFIX}ns/{tasks}-{i}", VALUE),  # type: ignore[misc]
        )
        yield Row(f"writes, {tasks} at a time", rate, "/s", aim, "durable, 1.5 KB each")
    start = time.perf_counter()
    await backend.compact(backend.revision)
    yield Row("compaction", 63_000 / (time.perf_counter() - start), "rev/s")
    await backend.close()


async def reads(cacher: Cacher) -> AsyncIterator[Row]:
    await side_by_side(256, 10_000, lambda i: cacher.create(f"ns-{i % 20}/{i}", "v1", BODY, {"app": str(i % 10)}, {}))
    start = time.perf_counter()
    size = 0
    for _ in range(20):
        listing = await cacher.list()
        size += len(b'},{"'.join([entry.body for entry in listing.entries]))
    yield Row("list of 10,000", size / (time.perf_counter() - start) / 1e6, "MB/s", 500, "from the cache, joined")
    start = time.perf_counter()
    for _ in range(20):
        await cacher.list(matches=lambda entry: entry.labels.get("app") == "3")
    yield Row("list by label", 200_000 / (time.perf_counter() - start), "obj/s", 0, "objects looked at")
    start = time.perf_counter()
    for i in range(100_000):
        await cacher.get(f"ns-7/{i % 10_000}")
    yield Row("gets", 100_000 / (time.perf_counter() - start), "/s")


async def fan_out(cacher: Cacher, watchers: int, count: int) -> AsyncIterator[Row]:
    """Events through cursors, without sockets: what remains of a core is what sending costs."""
    wanted = (OPENING, count)

    async def follow() -> int:
        seen = 0
        with await cacher.watch("fan", form="json", make=line) as watch:
            ready.release()
            while seen < wanted[1]:
                seen += (await watch.next()).count(wanted[0])
        return seen

    ready = asyncio.Semaphore(0)
    entries = [await cacher.create(f"fan/{i}", "v1", BODY, {}, {}) for i in range(16)]

    async def write(i: int) -> None:
        entry = entries[i % 16]
        entries[i % 16] = await cacher.update(entry.key, "v1", BODY, entry.revision, {}, {})

    tasks = [asyncio.ensure_future(follow()) for _ in range(watchers)]
    for _ in tasks:
        await ready.acquire()
    start = time.perf_counter()
    for i in range(0, count, 16):
        await asyncio.gather(*(write(i + j) for j in range(16)))
    seen = sum(await asyncio.gather(*tasks))
    yield Row(f"events to {watchers} watchers", seen / (time.perf_counter() - start), "/s", 50_000, "without sockets")


async def idle(cacher: Cacher, count: int) -> AsyncIterator[Row]:
    """Memory of a watch that waits."""

    async def follow(i: int) -> None:
        with await cacher.watch(f"quiet-{i}", form="json", make=line) as watch:
            await watch.next()

    before = _resident()
    tasks = [asyncio.ensure_future(follow(i)) for i in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    yield Row("an idle watch", (_resident() - before) / count / 1024, "KB", 0, f"of {count}, with its task")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(folder: Path) -> AsyncIterator[Row]:
    async for row in writes(folder):
        yield row
    clock = RealClock()
    caches = Caches(open_backend(f"sqlite:{folder}/reads.db", clock), clock)
    cacher = caches.resource(PREFIX, attributes)
    await caches.start()
    for part in (idle(cacher, 2000), reads(cacher), fan_out(cacher, 200, 3200)):
        async for row in part:
            yield row
    await caches.close()
    caches = Caches(open_backend(f"sqlite:{folder}/reads.db", clock), clock)
    cacher = caches.resource(PREFIX, attributes)
    start = time.perf_counter()
    await caches.start()
    yield Row("start", (time.perf_counter() - start) * 1000, "ms", 0, f"{len(cacher):,} objects")
    await caches.close()


def rows(place: Path | None = None) -> Iterator[Row]:
    """All rows, each as soon as it is measured."""
    with tempfile.TemporaryDirectory(dir=place) as name, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        folder = Path(name)
        yield Row("fsync", fsyncs(folder), "/s", 0, "of 8 KB, appended, this disk")
        measured = measure(folder)

        async def step() -> Row | None:
            return await anext(measured, None)

        while (row := runner.run(step())) is not None:
            yield row


if __name__ == "__main__":
    from bench.__main__ import show

    for each in rows(Path(sys.argv[1]) if sys.argv[1:] else None):
        show(each)
