import asyncio
from typing import Any

import pytest

from apimachinery import meta
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, PODS, REPLICA_SETS
from controllers.garbagecollector import GarbageCollector, Graph
from tests.controllers.harness import Harness

Obj = dict[str, Any]


def owned(name: str, *owners: Obj, blocking: bool = False) -> Obj:
    references = [
        {
            "apiVersion": owner.get("apiVersion", "v1"),
            "kind": owner.get("kind", "ConfigMap"),
            "name": meta.name(owner),
            "uid": meta.uid(owner),
            "blockOwnerDeletion": blocking,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "namespace": "default", "ownerReferences": references}}


def graph_object(uid: str, *owner_uids: str, **metadata: Any) -> Obj:
    references = [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner} for owner in owner_uids]
    return {"metadata": {"name": uid, "namespace": "default", "uid": uid, "ownerReferences": references, **metadata}}


def test_dependents_of_a_removed_object_are_looked_at() -> None:
    graph = Graph()
    assert graph.observe(CONFIG_MAPS, graph_object("owner")) == []
    assert graph.observe(CONFIG_MAPS, graph_object("child", "owner")) == []
    assert graph.remove("owner") == ["delete:child"]
    assert graph.known_absent({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "owner"}, "default")


def test_an_owner_not_seen_yet_is_looked_up_and_becomes_real() -> None:
    graph = Graph()
    assert graph.observe(CONFIG_MAPS, graph_object("child", "owner")) == ["delete:owner"]
    assert graph.nodes["owner"].virtual
    assert graph.observe(CONFIG_MAPS, graph_object("owner")) == []
    assert not graph.nodes["owner"].virtual


def test_a_reference_to_something_else_of_the_same_uid_is_looked_at() -> None:
    graph = Graph()
    graph.observe(PODS, graph_object("owner"))
    assert graph.observe(CONFIG_MAPS, graph_object("child", "owner")) == ["delete:child"]


def test_deletion_with_finalizers_calls_for_work_once() -> None:
    graph = Graph()
    graph.observe(CONFIG_MAPS, graph_object("owner"))
    graph.observe(CONFIG_MAPS, graph_object("child", "owner"))
    going = graph_object("owner", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["foregroundDeletion"])
    assert graph.observe(CONFIG_MAPS, going) == ["delete:child", "delete:owner"]
    assert graph.observe(CONFIG_MAPS, going) == []
    assert graph.remove("child") == ["delete:owner"]
    orphaning = graph_object("other", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["orphan"])
    assert graph.observe(CONFIG_MAPS, orphaning) == ["orphan:other"]
    assert graph.observe(CONFIG_MAPS, orphaning) == []


async def settled(harness: Harness) -> GarbageCollector:
    (collector,) = harness.start(GarbageCollector)
    assert isinstance(collector, GarbageCollector)
    async with asyncio.timeout(5):
        await collector._ready.wait()
    return collector


async def test_background(harness: Harness) -> None:
    await settled(harness)
    owner = await harness.client.create(CONFIG_MAPS, owned("owner"))
    middle = await harness.client.create(CONFIG_MAPS, owned("middle", owner))
    await harness.client.create(PODS, owned("leaf", middle))
    await harness.client.create(PODS, owned("kept"))
    await harness.client.delete(CONFIG_MAPS, "owner", "default")
    await harness.until(lambda: not harness.all(CONFIG_MAPS) and [meta.name(p) for p in harness.all(PODS)] == ["kept"])


async def test_one_of_two_owners_is_enough(harness: Harness) -> None:
    await settled(harness)
    first = await harness.client.create(CONFIG_MAPS, owned("first"))
    second = await harness.client.create(CONFIG_MAPS, owned("second"))
    await harness.client.create(PODS, owned("child", first, second))
    await harness.client.delete(CONFIG_MAPS, "first", "default")

    def owners() -> list[str]:
        return [reference["name"] for reference in meta.owners(harness.get(PODS, "child") or {"metadata": {}})]

    await harness.until(lambda: owners() == ["second"])
    await harness.client.delete(CONFIG_MAPS, "second", "default")
    await harness.until(lambda: not harness.all(PODS))


async def test_an_owner_that_never_was(harness: Harness) -> None:
    ghost = {"metadata": {"name": "ghost", "uid": "ghost"}}
    await harness.client.create(PODS, owned("child", ghost))
    real = await harness.client.create(CONFIG_MAPS, owned("real"))
    replaced = {"metadata": {"name": "real", "uid": "an older one"}}
    await harness.client.create(PODS, owned("other", replaced))
    await settled(harness)
    await harness.until(lambda: not harness.all(PODS))
    assert harness.get(CONFIG_MAPS, meta.name(real)) is not None


async def test_foreground_waits_for_what_blocks(harness: Harness) -> None:
    await settled(harness)
    harness.pods_become = None
    owner = await harness.client.create(CONFIG_MAPS, owned("owner"))
    child = owned("child", owner, blocking=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    await harness.client.create(PODS, child)
    await harness.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy="Foreground")
    await harness.until(lambda: meta.deleting(harness.get(PODS, "child") or {"metadata": {}}))
    assert harness.get(CONFIG_MAPS, "owner") is not None
    await harness.client.patch(PODS, "child", {"metadata": {"finalizers": None}}, "default")
    await harness.until(lambda: not harness.all(PODS) and harness.get(CONFIG_MAPS, "owner") is None)


async def test_orphan(harness: Harness) -> None:
    await settled(harness)
    owner = await harness.client.create(CONFIG_MAPS, owned("owner"))
    await harness.client.create(PODS, owned("child", owner))
    await harness.until(lambda: True)
    await asyncio.sleep(0.1)  # the graph must know the child: orphaning goes by what was seen
    await harness.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy="Orphan")
    await harness.until(lambda: harness.get(CONFIG_MAPS, "owner") is None)
    assert meta.owners(harness.get(PODS, "child") or {}) == []


async def test_custom_resources_take_part(harness: Harness) -> None:
    await settled(harness)
    widgets = Resource("example.com", "v1", "widgets", "Widget", True)
    harness.api.resources[("example.com", "v1", "widgets")] = widgets
    harness.api.objects[("example.com", "widgets")] = {}
    await harness.client.create(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": "widgets.example.com"}})
    owner = await harness.client.create(REPLICA_SETS, owned("owner"))
    await harness.client.create(widgets, owned("child", owner))
    await harness.client.delete(REPLICA_SETS, "owner", "default")
    await harness.until(lambda: not harness.all(widgets))
    with pytest.raises(ApiError):
        await harness.client.get(widgets, "child", "default")
