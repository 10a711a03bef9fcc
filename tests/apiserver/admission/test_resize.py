"""Resizes of pods that are on a node: what the node can give, and can do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apimachinery.errors import ApiError
from tests.apiserver.admission.support import Obj, World, pod


@pytest.fixture
def world() -> World:
    world = World()
    node = {"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}}}
    world.put("nodes", {**node, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}})
    return world


async def resize(world: World, old: Obj, **resources: Any) -> None:
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["resources"] = resources
    await world.run("UPDATE", "pods", new, old, subresource="resize", name="p")


async def refusal(world: World, old: Obj, **resources: Any) -> str:
    with pytest.raises(ApiError) as caught:
        await resize(world, old, **resources)
    assert caught.value.code == 403
    return caught.value.message


async def test_what_the_node_can_never_give(world: World) -> None:
    old = pod(nodeName="n")
    await resize(world, old, requests={"cpu": "2", "memory": "1Gi"})
    assert await refusal(world, old, requests={"cpu": "2001m", "memory": "2Gi"}) == (
        'pods "p" is forbidden: Node didn\'t have enough allocatable resources: '
        "cpu, requested: 2001, allocatable: 2000; memory, requested: 2147483648, allocatable: 1073741824"
    )
    await resize(world, pod(), requests={"cpu": "200"})


async def test_where_it_is_not_possible(world: World) -> None:
    assert await refusal(world, pod(nodeName="x"), requests={"cpu": "1"}) == 'pods "p" is forbidden: node "x" not found'
    world.put("nodes", {"metadata": {"name": "w"}, "status": {"allocatable": {"cpu": "2"}}})
    assert await refusal(world, pod(nodeName="w"), requests={"cpu": "1"}) == (
        'pods "p" is forbidden: pod resize is only supported on linux nodes, node "w" is ""'
    )
    await world.run("UPDATE", "pods", pod(nodeName="x"), pod(nodeName="x"), subresource="resize", name="p")


async def test_what_nodes_have_to_declare(world: World) -> None:
    old = pod(nodeName="n", initContainers=[{"name": "i", "image": "i"}])
    new = copy.deepcopy(old)
    new["spec"]["resources"] = {"requests": {"cpu": "1"}}
    new["spec"]["initContainers"][0]["resources"] = {"requests": {"cpu": "1"}}
    with pytest.raises(ApiError) as caught:
        await world.run("UPDATE", "pods", new, old, subresource="resize", name="p")
    features = ["InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers"]
    assert caught.value.message == (
        f'pods "p" is forbidden: pod update requires features {", ".join(features)} which are not available on node "n"'
    )
    node = {"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}}}
    world.put("nodes", {**node, "status": {"allocatable": {"cpu": "2"}, "declaredFeatures": features}})
    await world.run("UPDATE", "pods", new, old, subresource="resize", name="p")
