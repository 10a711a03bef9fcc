import asyncio

import pytest

from apimachinery.clock import ControlledClock, settle
from apimachinery.tokenbucket import TokenBucket
from client.workqueue import ItemBackoff, ShutDown, WorkQueue


async def test_a_key_is_handed_out_once_and_again_after_done() -> None:
    queue: WorkQueue[str] = WorkQueue(ControlledClock())
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "a"
    queue.add("a")  # while being worked on: waits for done()
    assert await queue.get() == "b"
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_delays_follow_the_clock_and_the_shortest_counts() -> None:
    clock = ControlledClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("b", 7)
    await settle()
    await clock.advance(4.9)
    assert len(queue) == 0
    await clock.advance(0.1)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.advance(6)
    assert await queue.get() == "b"
    assert len(queue) == 0
    queue.shut_down()


async def test_backoff_grows_per_key_until_forgotten() -> None:
    backoff: ItemBackoff[str] = ItemBackoff()
    assert [backoff.next("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    assert backoff.next("b") == 0.005
    for _ in range(100):
        backoff.next("a")
    assert backoff.next("a") == 1000
    backoff.forget("a")
    assert backoff.next("a") == 0.005


async def test_rate_limited_keys_come_back() -> None:
    clock = ControlledClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_rate_limited("a")
    queue.add_rate_limited("b")
    assert queue.num_requeues("a") == 1
    await settle()
    await clock.advance(0.006)
    assert {await queue.get(), await queue.get()} == {"a", "b"}
    queue.forget("a")
    assert queue.num_requeues("a") == 0
    queue.shut_down()


async def test_the_bucket_empties_and_fills() -> None:
    clock = ControlledClock()
    bucket = TokenBucket(clock, rate=10, burst=2)
    assert [bucket.reserve() for _ in range(4)] == [0, 0, pytest.approx(0.1), pytest.approx(0.2)]
    assert not bucket.take()
    await clock.advance(1)
    assert bucket.take()


async def test_shut_down_ends_waiting_workers() -> None:
    queue: WorkQueue[str] = WorkQueue(ControlledClock())
    waiting = asyncio.ensure_future(queue.get())
    await settle()
    queue.add("a")
    assert await waiting == "a"
    waiting = asyncio.ensure_future(queue.get())
    await settle()
    queue.shut_down()
    with pytest.raises(ShutDown):
        await waiting
