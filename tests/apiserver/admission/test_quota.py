"""Quotas: what they count, what they refuse, and that concurrent writers never exceed them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apimachinery import quota
from apimachinery.errors import ApiError
from tests.apiserver.admission.support import Obj, World, pod


def resource_quota(
    name: str = "q", used: dict[str, str] | None = None, scopes: list[str] | None = None, **hard: str
) -> Obj:
    limits = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    spec: Obj = {"hard": limits, **({"scopes": scopes} if scopes else {})}
    status = {"hard": limits, "used": used if used is not None else dict.fromkeys(limits, "0")}
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": spec, "status": status}


@pytest.fixture
def world() -> World:
    return World("ResourceQuota", only=True)


async def used(world: World, name: str = "q") -> dict[str, str]:
    found = await world.objects.get("", "resourcequotas", "ns", name)
    assert found is not None
    return dict(found["status"]["used"])


def configmap(name: str = "c") -> Obj:
    return {"metadata": {"name": name, "namespace": "ns"}}


async def test_counts(world: World) -> None:
    world.put("resourcequotas", resource_quota(count__configmaps="1", configmaps="5"))
    await world.run("CREATE", "configmaps", configmap())
    assert await used(world) == {"count/configmaps": "1", "configmaps": "1"}
    with pytest.raises(ApiError) as caught:
        await world.run("CREATE", "configmaps", configmap("b"))
    assert caught.value.message == (
        'configmaps "b" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, '
        "limited: count/configmaps=1"
    )
    assert await world.run("UPDATE", "configmaps", configmap(), configmap())
    assert await world.run("CREATE", "secrets", configmap("s"))


async def test_pods_must_state_what_is_limited(world: World) -> None:
    world.put("resourcequotas", resource_quota(requests_cpu="1", limits_memory="1Gi"))
    with pytest.raises(ApiError, match=r"failed quota: q: must specify limits\.memory for: c; requests\.cpu for: c"):
        await world.create_pod()
    resources = {"requests": {"cpu": "400m"}, "limits": {"memory": "100Mi"}}
    await world.create_pod(containers=[{"name": "c", "image": "i", "resources": resources}])
    assert await used(world) == {"requests.cpu": "400m", "limits.memory": "100Mi"}


async def test_a_dry_run_is_checked_and_not_booked(world: World) -> None:
    world.put("resourcequotas", resource_quota(pods="1"))
    await world.run("CREATE", "pods", pod(), dry_run=True)
    assert await used(world) == {"pods": "0"}
    await world.create_pod()
    with pytest.raises(ApiError, match="exceeded quota"):
        await world.run("CREATE", "pods", pod("b"), dry_run=True)


async def test_scopes(world: World) -> None:
    world.put("resourcequotas", resource_quota(scopes=["BestEffort"], pods="0"))
    with pytest.raises(ApiError, match="exceeded quota"):
        await world.create_pod()
    resources = {"requests": {"cpu": "1"}}
    assert await world.create_pod(containers=[{"name": "c", "image": "i", "resources": resources}])


async def test_unknown_usage_holds_back(world: World) -> None:
    world.put("resourcequotas", resource_quota(used={}, pods="5"))
    with pytest.raises(ApiError, match="status unknown for quota: q, resources: pods"):
        await world.create_pod()
    world.put("resourcequotas", {**resource_quota(pods="0"), "status": {}})
    assert await world.create_pod()


async def test_an_update_books_the_difference(world: World) -> None:
    world.put("resourcequotas", resource_quota(used={"requests.storage": "1Gi"}, requests_storage="2Gi"))

    def claim(size: str) -> Obj:
        return {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": size}}}}

    await world.run("UPDATE", "persistentvolumeclaims", claim("2Gi"), claim("1Gi"))
    assert await used(world) == {"requests.storage": "2Gi"}
    with pytest.raises(ApiError, match=r"requested: requests\.storage=1Gi, used: requests\.storage=2Gi"):
        await world.run("UPDATE", "persistentvolumeclaims", claim("3Gi"), claim("2Gi"))


async def test_many_at_once_never_exceed_it(world: World) -> None:
    world.put("resourcequotas", resource_quota(pods="5"))

    async def attempt(number: int) -> bool:
        try:
            await world.run("CREATE", "pods", pod(f"p{number}"))
        except ApiError as error:
            if "exceeded quota" not in error.message:
                raise
            return False
        return True

    outcomes = await asyncio.gather(*(attempt(number) for number in range(20)))
    assert sum(outcomes) == 5
    assert await used(world) == {"pods": "5"}


async def test_those_that_come_together_are_booked_in_one_write(world: World, monkeypatch: Any) -> None:
    world.put("resourcequotas", resource_quota(pods="30"))
    world.put("resourcequotas", resource_quota("other", count__pods="10"))
    update = world.objects.update
    written: list[str] = []

    async def count(group: str, plural: str, obj: Obj, *, subresource: str = "") -> Obj:
        written.append(obj["metadata"]["name"])
        await asyncio.sleep(0)
        return await update(group, plural, obj, subresource=subresource)

    monkeypatch.setattr(world.objects, "update", count)
    creates = [world.run("CREATE", "pods", pod(f"p{number}")) for number in range(20)]
    outcomes = await asyncio.gather(*creates, return_exceptions=True)
    assert sum(isinstance(outcome, ApiError) for outcome in outcomes) == 10
    assert await used(world) == {"pods": "10"}, "what one quota refuses is not booked in another"
    assert await used(world, "other") == {"count/pods": "10"}
    assert sorted(written) == ["other", "q"]


async def test_a_client_that_leaves_takes_nobody_with_it(world: World) -> None:
    world.put("resourcequotas", resource_quota(pods="5"))
    first, second = (asyncio.ensure_future(world.run("CREATE", "pods", pod(name))) for name in ("a", "b"))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert int((await used(world))["pods"]) >= 1


async def test_another_servers_booking_is_seen(world: World, monkeypatch: Any) -> None:
    world.put("resourcequotas", resource_quota(pods="1"))
    update = world.objects.update
    meddled: list[bool] = []

    async def meddle(group: str, plural: str, obj: Obj, *, subresource: str = "") -> Obj:
        if not meddled:
            meddled.append(True)
            world.put("resourcequotas", resource_quota(used={"pods": "1"}, pods="1"))
        return await update(group, plural, obj, subresource=subresource)

    monkeypatch.setattr(world.objects, "update", meddle)
    with pytest.raises(ApiError, match="exceeded quota"):
        await world.create_pod()
    assert await used(world) == {"pods": "1"}


@pytest.mark.parametrize(
    ("group", "plural", "obj", "expected"),
    [
        ("apps", "deployments", {}, "count/deployments.apps=1"),
        ("", "services", {"spec": {"type": "NodePort", "ports": [{}, {}]}}, "services.nodeports=2"),
        (
            "",
            "services",
            {"spec": {"type": "LoadBalancer", "ports": [{}, {"nodePort": 1}], "allocateLoadBalancerNodePorts": False}},
            "services.loadbalancers=1,services.nodeports=1",
        ),
        (
            "",
            "persistentvolumeclaims",
            {"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}},
            "gold.storageclass.storage.k8s.io/requests.storage=1Gi",
        ),
        ("", "pods", {"status": {"phase": "Succeeded"}}, "count/pods=1"),
    ],
)
def test_usage(group: str, plural: str, obj: Obj, expected: str) -> None:
    found = quota.usage(group, plural, {"metadata": {}, **obj}, 0)
    for part in expected.split(","):
        assert part in quota.draw(found).split(",")
    if plural == "pods":
        assert quota.draw(found) == expected
