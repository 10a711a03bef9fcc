"""One priority level: seats, queues and their order, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from apiserver import requestinfo
from apiserver.authn.user import User
from apiserver.bootstrap import flow_control
from apiserver.filters.errors import PlainText
from apiserver.filters.fairness import PriorityAndFairness
from apiserver.flowcontrol import estimate
from apiserver.flowcontrol.controller import Fairness
from apiserver.flowcontrol.levels import Level
from serving.metrics import Metrics
from serving.reply import Reply

Obj = dict[str, Any]
POD = requestinfo.parse("GET", "/api/v1/namespaces/default/pods/x", {})
AUTHENTICATED = ("system:authenticated",)


class Objects:
    """Neither objects nor changes: tests call digest() themselves."""

    def on_change(self, *_: Any) -> None: ...

    async def get(self, *_: Any) -> None: ...

    async def list(self, *_: Any) -> list[Obj]:
        return []


class Resources:
    """Whatever the test says."""

    objects = (0, 0)
    watching = 0

    def stored(self, group: str, plural: str) -> tuple[int, int] | None:
        return self.objects

    def watchers(self, group: str, plural: str, namespace: str, name: str) -> int:
        return self.watching


class Asked:
    """As much of a request as the filter looks at."""

    def __init__(self, user: str, info: requestinfo.RequestInfo = POD, **query: str) -> None:
        self.user = User(user, groups=AUTHENTICATED)
        self.info = info
        self.raw_query = "&".join(query)
        self.query = {name: [value] for name, value in query.items()}
        self.begun = None
        self.reply_headers: Any = ()


class Bench:
    """A filter over levels of the test's own, and requests that run until they are told to end."""

    def __init__(self, *, total: int = 10, queues: int = 8, hand: int = 2, length: int = 5, lendable: int = 0) -> None:
        self.clock = ControlledClock()
        self.resources = Resources()
        self.fairness = Fairness(Objects(), self.clock, total, self.resources, patience=15)
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": length}
        limited = {
            "nominalConcurrencyShares": 995,
            "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"},
        }
        self.level_object: Obj = {
            "metadata": {"name": "all", "uid": "u1"},
            "spec": {"type": "Limited", "limited": limited},
        }
        schema = flow_control.flow_schemas()[-2]
        schema["spec"]["priorityLevelConfiguration"] = {"name": "all"}
        self.schema: Obj = {**schema, "metadata": {"name": "everybody", "uid": "u2"}}
        self.fairness.digest([self.level_object], [self.schema])
        self.filter = PriorityAndFairness(self.fairness, Metrics())
        self.running: dict[Any, asyncio.Event] = {}
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []

    @property
    def level(self) -> Level:
        return self.fairness.levels["all"]

    async def _proceed(self, request: Any) -> Reply:
        self.order.append(request.user.name)
        self.running[request] = asyncio.Event()
        await self.running[request].wait()
        return Reply(200)

    async def ask(self, *users: str, info: requestinfo.RequestInfo = POD) -> list[asyncio.Task[Any]]:
        tasks = [asyncio.ensure_future(self.filter(Asked(user, info), self._proceed)) for user in users]  # type: ignore[arg-type]
        self.tasks += tasks
        await self.settle()
        return tasks

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def end_one(self) -> None:
        request = next(iter(self.running))
        self.running.pop(request).set()
        await self.settle()

    async def end_all(self) -> None:
        while self.running:
            await self.end_one()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_seats_bound_what_runs_and_lines_what_waits() -> None:
    bench = Bench(total=4, queues=1, hand=1, length=3)
    limit = bench.level.limit
    tasks = await bench.ask(*["ann"] * (limit + 4))
    assert bench.level.executing == limit
    assert bench.level.waiting == 3
    with pytest.raises(PlainText) as refused:
        await tasks[-1]
    assert refused.value.code == 429
    assert refused.value.retry_after == 1
    assert bench.level.stats["everybody"].rejected == {"queue-full": 1}
    await bench.end_all()
    assert bench.level.idle
    assert (bench.level.in_use, bench.level.waiting_seats, bench.level._active) == (0, 0, 0)


async def test_a_client_with_many_requests_does_not_keep_others_from_their_turn() -> None:
    bench = Bench(total=4, queues=64, hand=4, length=50)
    await bench.ask(*["greedy"] * 100)
    await bench.ask("modest")
    bench.order.clear()
    for _ in range(3):
        await bench.end_one()
    assert "modest" in bench.order
    await bench.end_all()


async def test_without_queues_what_is_too_much_is_refused() -> None:
    bench = Bench(total=3, queues=0)
    limit = bench.level.limit
    tasks = await bench.ask(*["ann"] * (limit + 1))
    with pytest.raises(PlainText):
        await tasks[-1]
    assert bench.level.stats["everybody"].rejected == {"concurrency-limit": 1}
    await bench.end_all()


async def test_nobody_waits_for_ever() -> None:
    bench = Bench(total=2, queues=1, hand=1)
    tasks = await bench.ask(*["ann"] * (bench.level.limit + 1))
    runner = asyncio.ensure_future(bench.fairness.run())
    await bench.settle()
    await bench.clock.advance(16)
    with pytest.raises(PlainText):
        await tasks[-1]
    assert bench.level.stats["everybody"].rejected == {"time-out": 1}
    runner.cancel()
    await bench.end_all()


async def test_a_client_that_goes_away_leaves_the_line() -> None:
    bench = Bench(total=2, queues=1, hand=1)
    tasks = await bench.ask(*["ann"] * (bench.level.limit + 2))
    tasks[-1].cancel()
    await bench.settle()
    assert bench.level.waiting == 1
    await bench.end_all()
    assert bench.level.idle
    assert tasks[-2].result().status == 200


async def test_a_request_wider_than_the_level_runs_alone() -> None:
    bench = Bench(total=3, queues=4, hand=1)
    bench.resources.objects = (10_000, 1000)
    lists = requestinfo.parse("GET", "/api/v1/pods", {})
    bench.level.max_seats = 0
    first, second = await bench.ask("ann", "bob", info=lists)
    assert (bench.level.executing, bench.level.waiting, bench.level.in_use) == (1, 1, 10)
    await bench.end_all()
    assert first.result().status == second.result().status == 200


async def test_seats_linger_after_a_write_that_many_watch() -> None:
    bench = Bench(total=100)
    bench.resources.watching = 40
    runner = asyncio.ensure_future(bench.fairness.run())
    await bench.ask("ann", info=requestinfo.parse("POST", "/api/v1/namespaces/default/pods", {}))
    assert bench.level.in_use == 4
    await bench.end_all()
    assert (bench.level.executing, bench.level.in_use) == (0, 4)
    await bench.clock.advance(0.006)
    assert bench.level.in_use == 0
    runner.cancel()


async def test_a_level_that_is_taken_away_serves_what_waits_there() -> None:
    bench = Bench(total=2, queues=1, hand=1)
    tasks = await bench.ask(*["ann"] * (bench.level.limit + 1))
    bench.fairness.digest([], [])
    assert bench.level.quiescing
    await bench.end_all()
    assert tasks[-1].result().status == 200
    bench.fairness.digest([], [])
    assert "all" not in bench.fairness.levels


async def test_unused_seats_are_lent() -> None:
    clock = ControlledClock()
    fairness = Fairness(Objects(), clock, 600, Resources(), patience=15)
    fairness.digest(flow_control.priority_levels(), flow_control.flow_schemas())
    nominal = {name: level.nominal for name, level in fairness.levels.items()}
    assert nominal == {
        "exempt": 0,
        "catch-all": 13,
        "system": 74,
        "node-high": 98,
        "leader-election": 25,
        "workload-high": 98,
        "workload-low": 245,
        "global-default": 49,
    }
    low = fairness.levels["workload-low"]
    low._peak = 300  # as if so many seats had been asked for
    low._sum, low._squares = 300.0 * 10, 300.0**2 * 10
    await clock.advance(10)
    fairness.adjust()
    assert low.limit > low.nominal
    assert all(level.limit >= level.lower for level in fairness.levels.values())
    assert sum(level.limit for level in fairness.levels.values()) <= fairness._nominal_sum + 3


def test_hands_are_dealt_without_repeats_and_the_same_again() -> None:
    level = Level("all", lambda: 0.0)
    level.configure(level_object(queues=128, hand=6))
    hands = [[queue.index for queue in level.hand("s", f"user-{at}")] for at in range(200)]
    assert all(len(set(hand)) == 6 for hand in hands)
    assert hands[0] == [queue.index for queue in level.hand("s", "user-0")]
    assert len({index for hand in hands for index in hand}) > 100


def level_object(*, queues: int, hand: int) -> Obj:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    limited = {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Queue", "queuing": queuing}}
    return {"metadata": {"name": "all"}, "spec": {"type": "Limited", "limited": limited}}


@pytest.mark.parametrize(
    ("target", "query", "objects", "seats"),
    [
        ("/api/v1/pods", {}, (10, 1000), 1),
        ("/api/v1/pods", {}, (350, 1000), 4),
        ("/api/v1/pods", {}, (1_000_000, 1000), 10),
        ("/api/v1/pods", {"limit": ["100"]}, (1_000_000, 2000), 2),
        ("/api/v1/namespaces/default/pods", {"fieldSelector": ["metadata.name=a"]}, (1_000_000, 1000), 1),
        ("/api/v1/pods", {"watch": ["1"]}, (350, 1000), 4),
        ("/api/v1/pods", {"watch": ["1"], "resourceVersion": ["17"]}, (350, 1000), 1),
        ("/api/v1/pods", {"watch": ["1"], "resourceVersion": ["17"], "sendInitialEvents": ["true"]}, (350, 1000), 4),
    ],
)
def test_the_width_of_lists(target: str, query: dict[str, list[str]], objects: tuple[int, int], seats: int) -> None:
    resources = Resources()
    resources.objects = objects
    info = requestinfo.parse("GET", target, query)
    assert estimate.work(info, query, resources, 0)[0] == seats


def test_no_request_is_wider_than_its_level_allows() -> None:
    resources = Resources()
    resources.objects, resources.watching = (1_000_000, 1000), 1000
    assert estimate.work(requestinfo.parse("GET", "/api/v1/pods", {}), {}, resources, 3)[0] == 3
    initial, final, seconds = estimate.work(
        requestinfo.parse("DELETE", "/api/v1/namespaces/default/pods/a", {}), {}, resources, 4
    )
    assert (initial, final) == (1, 4)
    assert seconds == pytest.approx(100 * 0.005 / 4)
