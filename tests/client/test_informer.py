import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from apimachinery.clock import RealClock
from client import informer as informers
from client.api import Client
from client.informer import Informer, Informers
from client.resources import CONFIG_MAPS, PODS
from tests.support.memoryapi import MemoryApi

Served = tuple[MemoryApi, Client]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informers, "_FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(informers, "_MAX_BACKOFF", 0.02)


def pod(name: str, node: str = "", namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, "spec": {"nodeName": node}}


class Log:
    """What a handler heard, and a way to wait for it."""

    def __init__(self, informer: Informer) -> None:
        self.events: list[tuple[str, str]] = []
        self._changed = asyncio.Event()
        informer.add_handler(
            added=lambda obj: self._note("added", obj),
            updated=lambda old, new: self._note("updated", new),
            deleted=lambda obj: self._note("deleted", obj),
        )

    def _note(self, what: str, obj: dict[str, Any]) -> None:
        self.events.append((what, obj["metadata"]["name"]))
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def test_list_then_watch_with_indexes(served: Served) -> None:
    server, client = served
    server.put(PODS, pod("a", "n1"))
    informer = Informer(client, PODS, indexers={"node": lambda obj: [obj["spec"]["nodeName"]]})
    log = Log(informer)
    task = asyncio.ensure_future(informer.run())
    await informer.wait_synced()
    assert log.events == [("added", "a")]
    found = informer.get("default/a")
    assert found is not None
    assert (found["kind"], found["apiVersion"]) == ("Pod", "v1")
    server.put(PODS, pod("b", "n1", namespace="other"))
    server.put(PODS, pod("a", "n2"))
    await log.until(lambda: ("updated", "a") in log.events)
    assert [obj["metadata"]["name"] for obj in informer.by_index("node", "n1")] == ["b"]
    assert [obj["metadata"]["name"] for obj in informer.by_index("node", "n2")] == ["a"]
    assert [obj["metadata"]["name"] for obj in informer.list("other")] == ["b"]
    server.remove(PODS, "default/a")
    await log.until(lambda: ("deleted", "a") in log.events)
    assert informer.by_index("node", "n2") == []
    assert len(informer) == 1
    task.cancel()


async def test_a_broken_watch_resumes_without_a_new_list(served: Served) -> None:
    server, client = served
    server.put(PODS, pod("a"))
    informer = Informer(client, PODS)
    log = Log(informer)
    task = asyncio.ensure_future(informer.run())
    await informer.wait_synced()
    server.drop_watches()
    server.put(PODS, pod("b"))
    await log.until(lambda: ("added", "b") in log.events)
    assert sum("watch" not in line for line in server.requests) == 1
    task.cancel()


async def test_after_410_handlers_hear_only_of_differences(served: Served) -> None:
    server, client = served
    server.put(PODS, pod("kept"))
    server.put(PODS, pod("gone"))
    informer = Informer(client, PODS)
    log = Log(informer)
    task = asyncio.ensure_future(informer.run())
    await informer.wait_synced()
    blocked = True

    def refuse(request: web.Request) -> web.Response | None:
        return web.Response(status=503) if blocked else None

    server.faults.append(refuse)
    server.drop_watches()
    log.events.clear()
    server.remove(PODS, "default/gone")
    server.put(PODS, pod("new"))
    server.compact()
    server.put(PODS, pod("later"))
    server.compact()
    blocked = False
    await log.until(lambda: len(log.events) >= 3)
    assert sorted(log.events) == [("added", "later"), ("added", "new"), ("deleted", "gone")]
    task.cancel()


async def test_an_object_made_again_is_deleted_and_added(served: Served) -> None:
    server, client = served
    server.put(PODS, pod("a", uid="1"))
    informer = Informer(client, PODS)
    log = Log(informer)
    task = asyncio.ensure_future(informer.run())
    await informer.wait_synced()
    server.put(PODS, pod("a", uid="2"))
    await log.until(lambda: len(log.events) == 3)
    assert log.events == [("added", "a"), ("deleted", "a"), ("added", "a")]
    task.cancel()


async def test_paging_and_late_handlers(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = served
    monkeypatch.setattr(informers, "PAGE", 2)
    for number in range(5):
        server.put(PODS, pod(f"p{number}", managedFields=[{}]))
    shared = Informers(client)
    informer = shared.get(PODS)
    assert shared.get(PODS) is informer
    task = asyncio.ensure_future(shared.run())
    await shared.wait_synced()
    log = Log(informer)
    assert len(log.events) == 5
    assert all("managedFields" not in obj["metadata"] for obj in informer.list())
    later = shared.get(CONFIG_MAPS)
    await later.wait_synced()
    task.cancel()


async def test_a_missing_resource_is_retried(served: Served) -> None:
    server, client = served
    gone = True
    server.faults.append(lambda request: web.Response(status=404) if gone else None)
    informer = Informer(client, PODS)
    task = asyncio.ensure_future(informer.run())
    while informer.last_error is None:
        await RealClock().sleep(0.005)
    assert not informer.synced
    gone = False
    async with asyncio.timeout(5):
        await informer.wait_synced()
    task.cancel()
