import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from apimachinery.clock import RealClock
from client.leaderelection import Config, LeaderElector, LeadershipLost
from client.resources import LEASES
from tests.support import memoryapi


def config(identity: str) -> Config:
    return Config(name="test", identity=identity, lease_duration=1.0, renew_deadline=0.3, retry_period=0.05)


class Work:
    """lead() of one replica."""

    def __init__(self) -> None:
        self.started = asyncio.Event()

    async def __call__(self) -> None:
        self.started.set()
        await asyncio.Event().wait()


async def test_one_leads_and_the_other_takes_over_when_it_ends(tmp_path: Path) -> None:
    async with memoryapi.serve(tmp_path) as (server, client):
        first, second = Work(), Work()
        one = asyncio.ensure_future(LeaderElector(client, config("one"), clock=RealClock()).run(first))
        await first.started.wait()
        two = asyncio.ensure_future(LeaderElector(client, config("two"), clock=RealClock()).run(second))
        await asyncio.sleep(0.2)
        assert not second.started.is_set()
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        async with asyncio.timeout(5):
            await second.started.wait()
        lease = server.get(LEASES, "kube-system/test")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == "two"
        assert lease["spec"]["leaseTransitions"] == 1
        two.cancel()
        await asyncio.gather(two, return_exceptions=True)
        assert server.get(LEASES, "kube-system/test")["spec"]["holderIdentity"] == ""  # type: ignore[index]


async def test_a_leader_that_cannot_renew_stops(tmp_path: Path) -> None:
    async with memoryapi.serve(tmp_path) as (server, client):
        work = Work()
        task = asyncio.ensure_future(LeaderElector(client, config("one"), clock=RealClock()).run(work))
        await work.started.wait()
        server.faults.append(lambda request: web.Response(status=500))
        async with asyncio.timeout(5):
            with pytest.raises(LeadershipLost):
                await task


async def test_a_dead_holder_is_waited_for(tmp_path: Path) -> None:
    async with memoryapi.serve(tmp_path) as (server, client):
        spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2000-01-01T00:00:00.000000Z"}
        server.put(LEASES, {"metadata": {"name": "test", "namespace": "kube-system"}, "spec": spec})
        work = Work()
        elector = LeaderElector(client, config("one"), clock=RealClock())
        began = RealClock().monotonic()
        task = asyncio.ensure_future(elector.run(work))
        async with asyncio.timeout(5):
            await work.started.wait()
        assert RealClock().monotonic() - began >= 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
