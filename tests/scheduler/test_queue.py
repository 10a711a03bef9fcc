"""The queue on a clock that the test moves: order, backoff, waking on the right events only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apimachinery.clock import ControlledClock, settle
from scheduler.podinfo import PodInfo
from scheduler.queue import Queue
from tests.scheduler.objects import pod

EVENTS = {"Fit": frozenset({"assigned-pod-deleted", "node-added"}), "Taints": frozenset({"node-taints"})}


@pytest.fixture
def clock() -> ControlledClock:
    return ControlledClock()


@pytest.fixture
async def queue(clock: ControlledClock) -> AsyncIterator[Queue]:
    queue = Queue(clock, EVENTS, initial_backoff=1, max_backoff=10, max_unschedulable=300)
    timers = asyncio.create_task(queue.run())
    yield queue
    timers.cancel()
    await asyncio.gather(timers, return_exceptions=True)


def info(name: str, **spec: Any) -> PodInfo:
    return PodInfo(pod(name, **spec))


async def popped(queue: Queue) -> str | None:
    """The next pod's name, None when none is ready."""
    task = asyncio.ensure_future(queue.pop())
    await settle()
    if task.done():
        return task.result().pod.name
    task.cancel()
    return None


async def test_priority_comes_before_age(queue: Queue) -> None:
    for name, priority in (("old", 0), ("young", 0), ("urgent", 10)):
        queue.add(info(name, priority=priority))
    assert [await popped(queue) for _ in range(4)] == ["urgent", "old", "young", None]


async def test_a_refused_pod_wakes_on_events_of_the_plugin_that_refused_it(
    queue: Queue, clock: ControlledClock
) -> None:
    queue.add(info("a"))
    queue.failed(await queue.pop(), {"Fit"})
    await clock.advance(30)
    queue.moved("node-taints")
    assert await popped(queue) is None
    queue.moved("assigned-pod-deleted")
    assert await popped(queue) == "a"


async def test_backoff_doubles_up_to_its_limit(queue: Queue, clock: ControlledClock) -> None:
    queue.add(info("a"))
    for expected in (1, 2, 4, 8, 10, 10):
        queue.failed(await queue.pop(), {"Fit"})
        queue.moved("node-added")
        await clock.advance(expected - 0.1)
        assert await popped(queue) is None, expected
        await clock.advance(0.1)
        # leave it in the queue: the loop's pop takes it
        assert queue.counts()["active"] == 1, expected


async def test_an_event_during_the_cycle_is_not_lost(queue: Queue, clock: ControlledClock) -> None:
    queue.add(info("a"))
    entry = await queue.pop()
    queue.moved("node-added")
    queue.failed(entry, {"Fit"})
    await clock.advance(1)
    assert await popped(queue) == "a"


async def test_an_error_is_retried_after_backoff_without_any_event(queue: Queue, clock: ControlledClock) -> None:
    queue.add(info("a"))
    queue.failed(await queue.pop())
    assert await popped(queue) is None
    await clock.advance(1)
    assert await popped(queue) == "a"


async def test_the_unschedulable_are_tried_again_after_five_minutes(queue: Queue, clock: ControlledClock) -> None:
    queue.add(info("a"))
    queue.failed(await queue.pop(), {"Fit"})
    await clock.advance(299)
    assert await popped(queue) is None
    await clock.advance(1)
    assert await popped(queue) == "a"


async def test_a_removed_pod_never_comes_back(queue: Queue, clock: ControlledClock) -> None:
    first, second = info("a"), info("b")
    queue.add(first)
    queue.add(second)
    queue.remove(first.uid)
    entry = await queue.pop()
    assert entry.pod.name == "b"
    queue.remove(second.uid)
    queue.failed(entry)
    await clock.advance(600)
    assert await popped(queue) is None
    assert len(queue) == 0
