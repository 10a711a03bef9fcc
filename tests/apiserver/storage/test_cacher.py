"""The watch cache: what readers and watchers are told beyond what every store promises (test_conformance.py)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from apimachinery.clock import ControlledClock, settle
from apiserver.storage import base, open_backend
from apiserver.storage.cacher import Cacher, Caches, Entry, Watch, WatchExpired
from apiserver.storage.events import Ring
from tests.apiserver.storage.subjects import PREFIX, attributes, body, line, mark

Things = tuple[Caches, Cacher, ControlledClock]


@pytest.fixture
async def things() -> AsyncIterator[Things]:
    clock = ControlledClock()
    caches = Caches(open_backend("memory:", clock), clock)
    cacher = caches.resource(PREFIX, attributes)
    await caches.start()
    yield caches, cacher, clock
    await caches.close()


def labelled(data: str, **labels: str) -> bytes:
    return body(data, labels=labels)


def having(**labels: str) -> Callable[[Entry], bool]:
    return lambda entry: labels.items() <= dict(entry.labels).items()


async def told(watch: Watch) -> list[tuple[str, str, str, int]]:
    """What a watch has to say now."""
    return [tuple(json.loads(text)) for text in (await watch.next()).splitlines()]


async def quiet(watch: Watch) -> bool:
    """Whether it has nothing to say."""
    task = asyncio.ensure_future(watch.next())
    for _ in range(5):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    await asyncio.wait({task})
    return not done


async def test_a_body_gets_its_resource_version_in_front(things: Things) -> None:
    _, cacher, _ = things
    entry = await cacher.create("ns/a", "v1", b'"metadata":{"name":"a"},"data":"x"}')
    assert entry.body == b'"metadata":{"resourceVersion":"2","name":"a"},"data":"x"}'
    assert (entry.key, entry.namespace, entry.name, entry.version, entry.revision) == ("ns/a", "ns", "a", "v1", 2)
    entry = await cacher.update("ns/a", "v2", b'"metadata":{},"data":"x"}', 2)
    assert entry.body == b'"metadata":{"resourceVersion":"3"},"data":"x"}'
    assert entry.version == "v2"
    assert entry.at(12345).body == b'"metadata":{"resourceVersion":"12345"},"data":"x"}'
    gone = await cacher.delete("ns/a", 3)
    assert (gone.revision, gone.body) == (4, b'"metadata":{"resourceVersion":"4"},"data":"x"}')
    with pytest.raises(ValueError, match="begins with"):
        await cacher.create("ns/b", "v1", b'{"metadata":{}}')


async def test_attributes_are_taken_from_the_writer_or_else_asked_for_once(things: Things) -> None:
    _, cacher, _ = things
    given = await cacher.create("ns/a", "v1", labelled("1", a="b"), {"a": "b"}, {"data": "given"})
    assert (given.labels, given.fields) == ({"a": "b"}, {"data": "given"})
    asked = await cacher.create("ns/b", "v1", labelled("1", a="b"))
    assert (asked.labels, asked.fields) == ({"a": "b"}, {"data": "1"})
    assert asked.labels is asked.labels
    alike = await cacher.create("ns/c", "v1", labelled("1", a="b"), {"a": "b"}, {})
    assert alike.labels is given.labels, "label sets are shared"
    mine = {"a": "c"}
    kept = await cacher.create("ns/d", "v1", labelled("1", a="c"), mine, {})
    mine["a"] = "changed"
    assert kept.labels == {"a": "c"}


async def test_a_selector_with_a_limit_pages_through_what_matches(things: Things) -> None:
    _, cacher, _ = things
    for i in range(10):
        await cacher.create(f"ns/{i}", "v1", labelled("", even=str(i % 2 == 0)))
    found: list[str] = []
    after, revision, pages = "", 0, 0
    while True:
        listing = await cacher.list("ns", matches=having(even="True"), limit=2, after=after, revision=revision)
        found += [entry.name for entry in listing.entries]
        assert listing.remaining is None
        revision, after, pages = listing.revision, listing.next, pages + 1
        if not after:
            break
        await cacher.delete(f"ns/{pages}", 2 + pages)
    assert found == ["0", "2", "4", "6", "8"]


async def test_other_forms_are_made_once_while_they_are_hot_and_forgotten_when_cold(things: Things) -> None:
    _, cacher, clock = things
    entry = await cacher.create("ns/a", "v1", body("x"))
    made: list[str] = []

    def make(entry: Entry) -> bytes:
        made.append(entry.key)
        return b"row"

    assert entry.form("table", make) == entry.form("table", make) == b"row"
    assert made == ["ns/a"]
    entry.form("other", make)
    assert len(made) == 2
    await clock.advance(61)
    entry.form("table", make)
    await clock.advance(61)
    entry.form("table", make)
    assert len(made) == 2, "what was asked for in time stays"
    entry.form("other", make)
    assert len(made) == 3


async def test_the_pool_of_forms_is_bounded(things: Things) -> None:
    _, cacher, _ = things
    entries = [await cacher.create(f"ns/{i}", "v1", body("x")) for i in range(100)]
    for entry in entries:
        entry.form("table", lambda _: bytes(1 << 20))
    home = entries[0]._home
    kept = sum(len(form) for forms in (home._young, home._old) for each in forms.values() for form in each.values())
    assert kept <= 64 << 20


# -- watches


async def test_a_watch_joins_what_happened(things: Things) -> None:
    _, cacher, _ = things
    with await cacher.watch(form="json", make=line) as watch:
        assert await quiet(watch)
        await cacher.create("ns/a", "v1", body("1"))
        await cacher.update("ns/a", "v1", body("2"), 2)
        await cacher.delete("ns/a", 3)
        assert await told(watch) == [
            ("ADDED", "ns/a", "1", 2),
            ("MODIFIED", "ns/a", "2", 3),
            ("DELETED", "ns/a", "2", 4),
        ]
        waiting = asyncio.ensure_future(told(watch))
        await cacher.create("ns/b", "v1", body("1"))
        assert await waiting == [("ADDED", "ns/b", "1", 5)]


async def test_entering_and_leaving_a_selector_are_addition_and_deletion(things: Things) -> None:
    _, cacher, _ = things
    with await cacher.watch(form="json", make=line, matches=having(a="1")) as watch:
        await cacher.create("ns/x", "v1", labelled("out", a="0"))
        assert await quiet(watch)
        await cacher.update("ns/x", "v1", labelled("in", a="1"), 2)
        await cacher.update("ns/x", "v1", labelled("still", a="1"), 3)
        await cacher.update("ns/x", "v1", labelled("left", a="0"), 4)
        assert await told(watch) == [
            ("ADDED", "ns/x", "in", 3),
            ("MODIFIED", "ns/x", "still", 4),
            ("DELETED", "ns/x", "still", 5),
        ]
        await cacher.delete("ns/x", 5)
        assert await quiet(watch)


async def test_watches_of_a_namespace_and_of_a_name(things: Things) -> None:
    _, cacher, _ = things
    namespace = await cacher.watch("ns", form="json", make=line)
    name = await cacher.watch("ns", "b", form="json", make=line)
    anywhere = await cacher.watch("", "b", form="json", make=line)
    for key in ("ns/a", "ns/b", "other/b", "ns-2/a"):
        await cacher.create(key, "v1", body(""))
    assert [event[1] for event in await told(namespace)] == ["ns/a", "ns/b"]
    assert [event[1] for event in await told(name)] == ["ns/b"]
    assert [event[1] for event in await told(anywhere)] == ["ns/b", "other/b"]


async def test_a_trigger_keeps_others_asleep(things: Things) -> None:
    _, cacher, _ = things

    def at(node: str) -> Callable[[Entry], bool]:
        return lambda entry: entry.fields["data"] == node

    watches = {n: await cacher.watch(form="json", make=line, matches=at(n), trigger=("data", n)) for n in ("n1", "n2")}
    await cacher.create("ns/a", "v1", body(""))
    assert all(watch.idle for watch in watches.values())
    await cacher.update("ns/a", "v1", body("n1"), 2)
    assert watches["n2"].idle
    await cacher.update("ns/a", "v1", body("n2"), 3)
    assert await told(watches["n1"]) == [("ADDED", "ns/a", "n1", 3), ("DELETED", "ns/a", "n1", 4)]
    assert await told(watches["n2"]) == [("ADDED", "ns/a", "n2", 4)]
    await cacher.delete("ns/a", 4)
    assert watches["n1"].idle
    assert await told(watches["n2"]) == [("DELETED", "ns/a", "n2", 5)]


async def test_a_watch_starts_after_its_revision(things: Things) -> None:
    _, cacher, _ = things
    await cacher.create("ns/a", "v1", body("1"))
    await cacher.create("ns/b", "v1", body("1"))
    with await cacher.watch(start=2, form="json", make=line) as watch:
        assert await told(watch) == [("ADDED", "ns/b", "1", 3)]
    with await cacher.watch(start=3, form="json", make=line) as watch:
        assert await quiet(watch)
    with await cacher.watch(start=5, form="json", make=line) as watch:  # the future
        for i in range(4):
            await cacher.create(f"ns/{i}", "v1", body(""))
        assert [event[3] for event in await told(watch)] == [6, 7]


async def test_the_initial_state_comes_first_in_slices_and_ends_with_a_bookmark(things: Things) -> None:
    _, cacher, _ = things
    for i in range(30):
        await cacher.create(f"ns/{i:02}", "v1", body("x" * 30_000))
    await cacher.create("other/a", "v1", body(""))
    with await cacher.watch("ns", initial=True, initial_end=True, form="json", make=line, bookmark=mark) as watch:
        await cacher.create("ns/new", "v1", body(""))
        slices = []
        while True:
            slices.append(await told(watch))
            if slices[-1][-1][0] == "BOOKMARK":
                break
        assert len(slices) > 2
        events = [event for each in slices for event in each]
        assert [(event[0], event[1]) for event in events[:-1]] == [("ADDED", f"ns/{i:02}") for i in range(30)]
        assert events[-1] == ("BOOKMARK", "", "end", 32)
        assert await told(watch) == [("ADDED", "ns/new", "", 33)]


async def test_an_empty_initial_state_has_its_bookmark_too(things: Things) -> None:
    _, cacher, _ = things
    with await cacher.watch(initial=True, initial_end=True, form="json", make=line, bookmark=mark) as watch:
        assert await told(watch) == [("BOOKMARK", "", "end", 1)]
    with await cacher.watch(initial=True, form="json", make=line, bookmark=mark) as watch:
        assert await quiet(watch)


async def test_bookmarks_come_each_minute_and_before_the_deadline(things: Things) -> None:
    caches, cacher, clock = things
    other = caches.resource("/registry/core/others/", attributes)
    deadline = clock.monotonic() + 100
    with await cacher.watch(form="json", make=line, bookmark=mark, deadline=deadline) as watch:
        await other.create("ns/a", "v1", body(""))
        await clock.advance(59)
        assert await quiet(watch)
        await clock.advance(2)
        assert await told(watch) == [("BOOKMARK", "", "", 2)], "of the whole store's revision"
        await clock.advance(36)
        assert await quiet(watch)
        await clock.advance(2)
        assert await told(watch) == [("BOOKMARK", "", "", 2)]
        await clock.advance(2)
        assert await watch.next() == b""
        assert await watch.next() == b""


async def test_ending_watches(things: Things) -> None:
    caches, cacher, _ = things
    with await cacher.watch(form="json", make=line) as watch:
        waiting = asyncio.ensure_future(watch.next())
        await asyncio.sleep(0)
        caches.end_watches()
        assert await waiting == b""


async def test_the_first_event_may_be_encoded_in_another_way(things: Things) -> None:
    _, cacher, _ = things

    def first(type_: str, entry: Entry) -> bytes:
        return b'["FIRST", "", "", 0]\n' + line(type_, entry)

    with await cacher.watch(form="json", make=line, first=first) as watch:
        await cacher.create("ns/a", "v1", body(""))
        await cacher.create("ns/b", "v1", body(""))
        assert [event[0] for event in await told(watch)] == ["FIRST", "ADDED"]
        assert [event[0] for event in await told(watch)] == ["ADDED"]
    with await cacher.watch(form="json", make=line, first=first, initial=True) as watch:
        assert [event[0] for event in await told(watch)] == ["FIRST", "ADDED", "ADDED"]


async def test_watchers_share_their_bytes(things: Things) -> None:
    _, cacher, _ = things
    made: list[str] = []

    def make(type_: str, entry: Entry) -> bytes:
        made.append(type_)
        return line(type_, entry)

    watches = [await cacher.watch(form="json", make=make) for _ in range(5)]
    watches += [await cacher.watch("ns", form="json", make=make)]
    await cacher.create("ns/a", "v1", body("1"))
    await cacher.update("ns/a", "v1", body("2"), 2)
    said = [await watch.next() for watch in watches]
    assert made == ["ADDED", "MODIFIED"]
    assert len(set(said)) == 1
    assert all(each is said[0] for each in said[:5])


async def test_an_old_start_is_served_from_history(things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    _, cacher, _ = things
    cacher._image.ring._limit = 4
    await cacher.create("other/a", "v1", body("x"))
    await cacher.create("ns/a", "v1", body("0"))
    for i in range(1, 20):
        await cacher.update("ns/a", "v1", body(str(i)), 2 + i)
    assert cacher._image.ring.floor > 3
    with await cacher.watch("ns", start=1, form="json", make=line) as watch:
        await cacher.update("ns/a", "v1", body("live"), 22)
        events: list[tuple[str, str, str, int]] = []
        while not events or events[-1][2] != "live":
            events += await told(watch)
        assert [event[2] for event in events] == [*map(str, range(20)), "live"]
        assert events[0][0] == "ADDED"
        assert {event[0] for event in events[1:]} == {"MODIFIED"}
    assert [e.decode()["data"] for e in (await cacher.list("ns", revision=5)).entries] == ["2"]
    listing = await cacher.list(revision=5, limit=1)
    assert ([e.key for e in listing.entries], listing.next, listing.remaining) == (["ns/a"], "ns/a", 1)
    await cacher._backend.compact(20)
    with pytest.raises(base.Compacted):
        await cacher.watch(start=1, form="json", make=line)
    with pytest.raises(base.Compacted):
        await cacher.list(revision=5)


async def test_who_falls_behind_the_ring_is_ended(things: Things) -> None:
    _, cacher, _ = things
    cacher._image.ring._limit = 4
    slow = await cacher.watch(form="json", make=line)
    elsewhere = await cacher.watch("other", form="json", make=line)
    for i in range(10):
        await cacher.create(f"ns/{i}", "v1", body(""))
    with pytest.raises(WatchExpired):
        await slow.next()
    assert await quiet(elsewhere), "others' events do not make a watcher slow"
    await cacher.create("other/a", "v1", body(""))
    assert await told(elsewhere) == [("ADDED", "other/a", "", 12)]


async def test_the_ring_is_bounded_in_bytes(things: Things) -> None:
    _, cacher, _ = things
    revision = (await cacher.create("ns/a", "v1", body("x" * 1_000_000))).revision
    for _ in range(60):
        revision = (await cacher.update("ns/a", "v1", body("x" * 1_000_000), revision)).revision
    ring: Ring = cacher._image.ring
    assert 1 <= ring.head - ring.base < 40


async def test_a_fresh_read_waits_for_its_revision(things: Things) -> None:
    _, cacher, clock = things
    waiting = asyncio.ensure_future(cacher.fresh(2))
    await asyncio.sleep(0)
    await cacher.create("ns/a", "v1", body(""))
    await waiting
    waiting = asyncio.ensure_future(cacher.fresh(9))
    await settle()
    await clock.advance(3)
    with pytest.raises(base.FutureRevision):
        await waiting


async def test_a_resource_added_later_and_removed(things: Things) -> None:
    caches, cacher, _ = things
    prefix = "/registry/example.com/widgets/"
    await caches.backend.create(prefix + "ns/a", b"v1\n" + body("1"))
    widgets = caches.resource(prefix, attributes)
    assert [entry.key for entry in (await widgets.list()).entries] == ["ns/a"], "reads wait for it to be loaded"
    with pytest.raises(ValueError, match="already"):
        caches.resource(prefix, attributes)
    watch = await widgets.watch(form="json", make=line)
    await widgets.close()
    assert await watch.next() == b""
    again = caches.resource(prefix, attributes)
    await again.start()
    assert len(again) == 1
    assert len(cacher) == 0


async def test_writes_during_loading_are_not_missed(things: Things) -> None:
    caches, _, _ = things
    prefix = "/registry/example.com/widgets/"
    await asyncio.gather(*(caches.backend.create(f"{prefix}ns/{i:05}", b"v1\n" + body("1")) for i in range(5000)))
    widgets = caches.resource(prefix, attributes)
    async with asyncio.TaskGroup() as group:
        group.create_task(widgets.start())

        async def write(i: int) -> None:
            await asyncio.sleep(0)
            revision = (await caches.backend.get(f"{prefix}ns/{i:05}")) or pytest.fail("missing")
            await caches.backend.update(revision.key, b"v1\n" + body("2"), revision.revision)

        for i in range(0, 5000, 250):
            group.create_task(write(i))
    listing = await widgets.list()
    assert len(listing.entries) == 5000
    assert sum(entry.decode()["data"] == "2" for entry in listing.entries) == 20
    assert listing.revision == caches.revision


async def test_many_idle_watches_stay_asleep(things: Things) -> None:
    _, cacher, _ = things
    watches = [await cacher.watch(f"ns-{i}", form="json", make=line) for i in range(2000)]
    await cacher.create("ns-7/a", "v1", body(""))
    assert [i for i, watch in enumerate(watches) if not watch.idle] == [7]
