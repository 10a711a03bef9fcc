"""What every storage engine promises, by itself and behind the watch cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apimachinery.clock import ControlledClock
from apiserver.storage import base
from tests.apiserver.storage.subjects import ENGINES, PREFIX, Bare, Cached, opened

VARIANTS = [
    pytest.param((engine, cached), id=f"{engine}-{'cached' if cached else 'bare'}")
    for engine in ENGINES
    for cached in (False, True)
]


@pytest.fixture
def clock() -> ControlledClock:
    return ControlledClock()


@pytest.fixture(params=VARIANTS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ControlledClock) -> AsyncIterator[Bare | Cached]:
    engine, cached = request.param
    async with opened(engine, bool(cached), tmp_path, clock) as subject:
        assert isinstance(subject, (Bare, Cached))
        yield subject


async def test_a_new_store_is_empty_at_revision_one(store: Bare | Cached) -> None:
    assert await store.list() == ([], 1, "", None)
    assert await store.get("ns/a") is None
    assert await store.backend.current_revision() == store.backend.revision == 1


async def test_every_write_has_the_next_revision(store: Bare | Cached) -> None:
    assert await store.create("ns/a", "1") == 2
    assert await store.create("ns/b", "1") == 3
    assert await store.update("ns/a", "2", 2) == 4
    assert await store.delete("ns/b", 3) == 5
    assert await store.get("ns/a") == ("2", 4)
    assert await store.get("ns/b") is None
    assert await store.backend.current_revision() == 5


async def test_a_key_can_be_created_once(store: Bare | Cached) -> None:
    first = await store.create("ns/a", "1")
    with pytest.raises(base.KeyExists):
        await store.create("ns/a", "2")
    assert await store.get("ns/a") == ("1", first)
    await store.delete("ns/a", first)
    again = await store.create("ns/a", "3")
    assert again == first + 2, "a refused write takes no revision"


async def test_writes_name_the_revision_they_replace(store: Bare | Cached) -> None:
    first = await store.create("ns/a", "1")
    second = await store.update("ns/a", "2", first)
    with pytest.raises(base.Conflict) as conflict:
        await store.update("ns/a", "3", first)
    assert (conflict.value.expected, conflict.value.actual) == (first, second)
    with pytest.raises(base.Conflict):
        await store.delete("ns/a", first)
    with pytest.raises(base.NotFound):
        await store.update("ns/none", "3", first)
    with pytest.raises(base.NotFound):
        await store.delete("ns/none", first)
    assert await store.get("ns/a") == ("2", second)


async def test_of_racing_updates_one_wins(store: Bare | Cached) -> None:
    revision = await store.create("ns/a", "0")
    results = await asyncio.gather(*(store.update("ns/a", str(i), revision) for i in range(20)), return_exceptions=True)
    won = [(str(i), r) for i, r in enumerate(results) if isinstance(r, int)]
    assert len(won) == 1
    assert all(isinstance(r, base.Conflict) for r in results if not isinstance(r, int))
    assert await store.get("ns/a") == won[0]


async def test_lists_are_in_key_order_and_by_namespace(store: Bare | Cached) -> None:
    for key in ("b/z", "a/y", "a-b/x", "a/x", "ab/x"):
        await store.create(key, key)
    assert [item[0] for item in (await store.list())[0]] == ["a-b/x", "a/x", "a/y", "ab/x", "b/z"]
    assert [item[0] for item in (await store.list("a"))[0]] == ["a/x", "a/y"]
    assert (await store.list("none"))[0] == []


async def test_paging_stays_at_one_revision(store: Bare | Cached) -> None:
    for i in range(7):
        await store.create(f"ns/{i}", "old")
    items, revision, after, remaining = await store.list("ns", limit=3)
    assert ([item[0] for item in items], after, remaining) == (["ns/0", "ns/1", "ns/2"], "ns/2", 4)
    await store.update("ns/4", "new", 6)
    await store.delete("ns/5", 7)
    await store.create("ns/45", "new")
    items, second, after, remaining = await store.list("ns", after=after, limit=3, revision=revision)
    assert items == [("ns/3", "old", 5), ("ns/4", "old", 6), ("ns/5", "old", 7)]
    assert (second, after, remaining) == (revision, "ns/5", 1)
    assert await store.list("ns", after=after, limit=3, revision=revision) == ([("ns/6", "old", 8)], revision, "", None)


async def test_the_future_is_refused(store: Bare | Cached) -> None:
    await store.create("ns/a", "1")
    with pytest.raises(base.FutureRevision):
        await store.list(revision=3)


async def test_changes_are_told_in_order_and_without_gaps(store: Bare | Cached) -> None:
    first = await store.create("ns/a", "1")
    await store.create("other/a", "1")
    await store.update("ns/a", "2", first)
    await store.delete("ns/a", 4)
    everything = [
        ("ADDED", "ns/a", "1", 2),
        ("ADDED", "other/a", "1", 3),
        ("MODIFIED", "ns/a", "2", 4),
        ("DELETED", "ns/a", "2", 5),
    ]
    assert await store.changes(1) == everything
    assert await store.changes(3) == everything[2:]
    assert await store.changes(1, "other") == everything[1:2]
    assert await store.changes(5) == []


async def test_subscribers_hear_of_a_write_before_its_writer(store: Bare | Cached) -> None:
    heard: list[int] = []
    stop = store.backend.subscribe(PREFIX, lambda changes: heard.extend(change.revision for change in changes))
    other: list[base.Change] = []
    store.backend.subscribe("/registry/core/others/", other.extend)

    async def write(i: int) -> None:
        revision = await store.create(f"ns/{i}", "")
        assert revision in heard
        assert store.backend.revision >= revision

    await asyncio.gather(*(write(i) for i in range(50)))
    assert heard == list(range(2, 52))
    stop()
    await store.create("ns/unheard", "")
    assert len(heard) == 50
    assert not other


async def test_waiting_for_a_revision(store: Bare | Cached) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(store.backend.reached(3))
        await store.create("ns/a", "")
        assert not waiting.done()
        await store.create("ns/b", "")


async def test_compaction_forgets_what_was_replaced_and_keeps_what_is(store: Bare | Cached) -> None:
    first = await store.create("ns/a", "1")
    await store.create("ns/b", "1")
    second = await store.update("ns/a", "2", first)
    gone = await store.delete("ns/b", 3)
    third = await store.update("ns/a", "3", second)
    await store.backend.compact(gone)
    with pytest.raises(base.Compacted) as compacted:
        await store.backend.list(PREFIX, revision=second)
    assert compacted.value.compacted == gone
    with pytest.raises(base.Compacted):
        async for _ in store.backend.changes(PREFIX, second, third):
            pass
    assert [r.revision for r in (await store.backend.list(PREFIX, revision=gone)).records] == [second]
    assert await store.get("ns/a") == ("3", third)
    assert await store.changes(gone) == [("MODIFIED", "ns/a", "3", third)]
    await store.backend.compact(third)
    assert await store.get("ns/a") == ("3", third)
    await store.backend.compact(first)  # what is already forgotten


async def test_compacting_the_newest_deletion_does_not_set_the_revision_back(store: Bare | Cached) -> None:
    revision = await store.create("ns/a", "1")
    gone = await store.delete("ns/a", revision)
    await store.backend.compact(gone)
    assert await store.create("ns/b", "1") == gone + 1


async def test_a_record_with_a_time_to_live_goes(store: Bare | Cached, clock: ControlledClock) -> None:
    value = b'v1\n"metadata":{},"data":""}'
    await store.backend.create(PREFIX + "ns/short", value, ttl=60)
    long = await store.backend.create(PREFIX + "ns/long", value, ttl=60)
    await store.backend.update(PREFIX + "ns/long", value, long, ttl=7200)
    await store.create("ns/stays", "")
    await until(store, clock, 6)
    assert [item[0] for item in (await store.list())[0]] == ["ns/long", "ns/stays"]
    assert await store.changes(5) == [("DELETED", "ns/short", "", 6)]
    await clock.advance(7200)
    await until(store, clock, 7)
    assert [item[0] for item in (await store.list())[0]] == ["ns/stays"]


async def until(store: Bare | Cached, clock: ControlledClock, revision: int) -> None:
    """Move the clock until the store has reached that revision by itself."""
    reached = asyncio.ensure_future(store.backend.reached(revision))
    while not reached.done():
        await clock.advance(5)
        await asyncio.wait({reached}, timeout=0.01)  # the engine's threads keep real time
    await reached


async def test_history_is_kept_for_its_time_and_then_compacted(store: Bare | Cached, clock: ControlledClock) -> None:
    first = await store.create("ns/a", "1")
    await store.update("ns/a", "2", first)
    await clock.advance(250)
    assert len((await store.backend.list(PREFIX, revision=first)).records) == 1
    for _ in range(100):  # compaction runs beside us
        await clock.advance(30)
        try:
            await store.backend.list(PREFIX, revision=first)
        except base.Compacted:
            break
    else:
        pytest.fail("never compacted")
    assert await store.get("ns/a") == ("2", 3)


async def test_a_cancelled_writer_does_not_lose_the_write(store: Bare | Cached) -> None:
    task = asyncio.ensure_future(store.create("ns/a", "1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.backend.reached(2)
    assert await store.get("ns/a") == ("1", 2)


async def test_a_closed_store_says_so(store: Bare | Cached) -> None:
    await store.backend.close()
    with pytest.raises(base.Unavailable):
        await store.create("ns/a", "1")
    with pytest.raises(base.Unavailable):
        await store.backend.get("ns/a")
    await store.backend.close()
