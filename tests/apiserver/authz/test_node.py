"""The Node authorizer: a node reaches what its pods need and no more."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import selectors
from apimachinery.clock import ControlledClock
from apiserver import authz
from apiserver.authn.user import User
from apiserver.authz.base import Attributes, Decision
from tests.support.reader import MemoryObjects

N1 = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
N2 = User("system:node:n2", groups=("system:nodes", "system:authenticated"))


class World:
    def __init__(self) -> None:
        self.objects = MemoryObjects()
        self.authz = authz.build(authz.Config(("Node",)), self.objects, ControlledClock())

    async def ask(
        self, verb: str, plural: str, name: str = "", user: User = N1, ns: str = "ns", **rest: Any
    ) -> Decision:
        plural, _, subresource = plural.partition("/")
        return await self.authz.authorize(
            Attributes(user, verb, plural=plural, subresource=subresource, name=name, namespace=ns, **rest)
        )

    async def may(self, verb: str, plural: str, name: str = "", user: User = N1, **rest: Any) -> bool:
        return (await self.ask(verb, plural, name, user, **rest)).allowed

    def pod(self, name: str = "p", node: str = "n1", **meta: Any) -> None:
        spec = {
            "nodeName": node,
            "serviceAccountName": "bot",
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "from"}}]}],
            "containers": [{"name": "c", "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "env"}}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "vol"}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": "proj"}}]}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "scratch", "ephemeral": {}},
            ],
        }
        self.objects.put("", "pods", {"metadata": {"namespace": "ns", "name": name, **meta}, "spec": spec})


@pytest.fixture
def world() -> World:
    return World()


NEEDED = [
    ("secrets", "pull"),
    ("secrets", "from"),
    ("secrets", "vol"),
    ("configmaps", "env"),
    ("configmaps", "proj"),
    ("persistentvolumeclaims", "claim"),
    ("persistentvolumeclaims", "p-scratch"),
    ("pods", "p"),
]


async def test_what_a_pod_needs(world: World) -> None:
    for plural, name in NEEDED:
        assert not await world.may("get", plural, name)
    world.pod()
    for plural, name in NEEDED:
        assert await world.may("get", plural, name)
        assert not await world.may("get", plural, name, N2)
        assert not await world.may("get", plural, name, ns="other")
    assert await world.may("create", "serviceaccounts/token", "bot")
    assert await world.may("watch", "secrets", "vol")
    assert not await world.may("update", "secrets", "vol")
    assert not await world.may("list", "secrets")
    assert await world.may("patch", "persistentvolumeclaims/status", "claim")
    world.objects.remove("", "pods", "ns", "p")
    for plural, name in NEEDED:
        assert not await world.may("get", plural, name)


async def test_two_pods_share_a_secret(world: World) -> None:
    world.pod("a")
    world.pod("b")
    assert await world.may("get", "secrets", "vol")
    world.objects.remove("", "pods", "ns", "a")
    assert await world.may("get", "secrets", "vol")
    world.pod("b", "n2")
    assert not await world.may("get", "secrets", "vol")
    assert await world.may("get", "secrets", "vol", N2)


async def test_a_mirror_pod_opens_nothing(world: World) -> None:
    world.pod(annotations={"kubernetes.io/config.mirror": "x"})
    assert await world.may("get", "pods", "p")
    assert not await world.may("get", "secrets", "vol")


async def test_volumes_through_claims(world: World) -> None:
    world.pod()
    volume = {
        "metadata": {"name": "pv"},
        "spec": {
            "claimRef": {"namespace": "ns", "name": "claim"},
            "csi": {
                "nodeStageSecretRef": {"name": "stage", "namespace": "store"},
                "controllerPublishSecretRef": {"name": "control", "namespace": "store"},
            },
        },
    }
    world.objects.put("", "persistentvolumes", volume)
    assert await world.may("get", "persistentvolumes", "pv", ns="")
    assert await world.may("get", "secrets", "stage", ns="store")
    assert not await world.may("get", "secrets", "control", ns="store")
    assert not await world.may("get", "persistentvolumes", "pv", N2, ns="")
    world.objects.remove("", "persistentvolumes", None, "pv")
    assert not await world.may("get", "secrets", "stage", ns="store")


async def test_reasons(world: World) -> None:
    async def reason(*args: Any, **rest: Any) -> str:
        return (await world.ask(*args, **rest)).reason

    assert await reason("list", "nodes", ns="") == "node 'n1' cannot read all nodes, only its own Node object"
    assert await reason("get", "nodes", "n2", ns="") == "node 'n1' cannot read 'n2', only its own Node object"
    assert await reason("list", "pods") == "can only list/watch pods with spec.nodeName field selector"
    assert await reason("list", "secrets") == "No Object name found"
    assert await reason("get", "secrets", "x") == "no relationship found between node 'n1' and this object"
    lease = await reason("create", "leases", group="coordination.k8s.io")
    assert lease == 'can only access leases in the "kube-node-lease" system namespace'


async def test_its_own_objects(world: World) -> None:
    own = selectors.parse_fields("spec.nodeName=n1")
    other = selectors.parse_fields("spec.nodeName=n2")
    assert await world.may("list", "pods", ns="", field_selector=own)
    assert not await world.may("list", "pods", ns="", field_selector=other)
    assert await world.may("watch", "nodes", "n1", ns="")
    assert await world.may("update", "leases", "n1", group="coordination.k8s.io", ns="kube-node-lease")
    assert not await world.may("update", "leases", "n2", group="coordination.k8s.io", ns="kube-node-lease")
    assert await world.may("list", "services")
    assert await world.may("create", "pods/eviction", "p")
    assert not await world.may("delete", "nodes", "n1", ns="")


async def test_who_is_a_node(world: World) -> None:
    world.pod()
    assert not await world.may("get", "secrets", "vol", User("system:node:n1", groups=("devs",)))
    assert not await world.may("get", "secrets", "vol", User("n1", groups=("system:nodes",)))
    nameless = await world.ask("get", "secrets", "vol", User("system:node:", groups=("system:nodes",)))
    assert nameless.reason == 'unknown node for user "system:node:"'
