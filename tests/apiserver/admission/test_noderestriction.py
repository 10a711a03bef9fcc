"""NodeRestriction: what a node may write."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.authn.user import User
from tests.apiserver.admission.support import Obj, World, pod

N1 = User("system:node:n1", uid="u", groups=("system:nodes", "system:authenticated"))


@pytest.fixture
def world() -> World:
    return World("NodeRestriction", only=True)


async def refused(world: World, text: str, *args: Any, **rest: Any) -> None:
    with pytest.raises(ApiError) as caught:
        await world.run(*args, user=N1, **rest)
    assert text in caught.value.message


def node(name: str = "n1", labels: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


async def test_its_own_node(world: World) -> None:
    ok = {"kubernetes.io/arch": "amd64", "node.kubernetes.io/x": "", "example.com/x": ""}
    assert await world.run("CREATE", "nodes", node(labels=ok), user=N1, namespace=None)
    await refused(world, 'node "n1" is not allowed to modify node "n2"', "CREATE", "nodes", node("n2"), namespace=None)
    text = 'node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/x, node-role.kubernetes.io/a'
    bad = {"node-role.kubernetes.io/a": "", "node-restriction.kubernetes.io/x": ""}
    await refused(world, text, "CREATE", "nodes", node(labels=bad), namespace=None)
    await refused(
        world, "is not allowed to modify labels: a.k8s.io/x", "UPDATE", "nodes", node(labels={"a.k8s.io/x": ""}), node()
    )
    await refused(
        world, "is not allowed to modify taints", "UPDATE", "nodes", node(taints=[]), node(taints=[{"key": "k"}])
    )


def mirror(**changes: Any) -> Obj:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": True}
    obj = pod(nodeName="n1", **changes)
    obj["metadata"].update(annotations={"kubernetes.io/config.mirror": "x"}, ownerReferences=[owner])
    return obj


async def test_mirror_pods(world: World) -> None:
    world.put("nodes", {"metadata": {"name": "n1", "uid": "node-uid"}})
    assert await world.run("CREATE", "pods", mirror(), user=N1)
    await refused(world, "can only create mirror pods", "CREATE", "pods", pod(nodeName="n1"))
    other = mirror()
    other["spec"]["nodeName"] = "n2"
    await refused(world, "spec.nodeName set to itself", "CREATE", "pods", other)
    for changes, text in (
        ({"serviceAccountName": "default"}, "reference a service account"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "reference secrets"),
        ({"volumes": [{"name": "v", "configMap": {"name": "s"}}]}, "reference configmaps"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "s"}}]}, "persistentvolumeclaims"),
    ):
        await refused(world, text, "CREATE", "pods", mirror(**changes))
    wrong = mirror()
    wrong["metadata"]["ownerReferences"][0]["uid"] = "other"
    await refused(world, "UID mismatch", "CREATE", "pods", wrong)


async def test_its_own_pods(world: World) -> None:
    mine, other = pod(nodeName="n1"), pod("q", nodeName="n2")
    assert await world.run("DELETE", "pods", None, mine, user=N1)
    await refused(world, "can only delete pods", "DELETE", "pods", None, other)
    assert await world.run("UPDATE", "pods", mine, mine, user=N1, subresource="status")
    await refused(world, "can only update pod status", "UPDATE", "pods", other, other, subresource="status")
    labelled = {**mine, "metadata": {**mine["metadata"], "labels": {"a": "b"}}}
    await refused(world, "cannot update labels", "UPDATE", "pods", labelled, mine, subresource="status")
    await refused(world, "can only create and delete mirror pods", "UPDATE", "pods", mine, mine)
    await refused(world, "unexpected pod subresource", "CREATE", "pods", {}, subresource="binding", name="p")
    world.put("pods", other)
    await refused(world, "can only evict pods", "CREATE", "pods", {"metadata": {"name": "q"}}, subresource="eviction")


async def test_tokens_of_its_own_pods(world: World) -> None:
    stored = world.put(
        "pods", pod(nodeName="n1", volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {}}]}}])
    )

    async def ask(text: str = "", audiences: list[str] | None = None, **ref: Any) -> None:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": stored["metadata"]["uid"], **ref}
        request = {"spec": {"boundObjectRef": bound, "audiences": audiences or []}}
        if text:
            await refused(world, text, "CREATE", "serviceaccounts", request, subresource="token", name="default")
        else:
            assert await world.run("CREATE", "serviceaccounts", request, user=N1, subresource="token", name="default")

    await ask()
    await ask("not bound to a pod", kind="Secret")
    await ask("without a uid", uid="")
    await ask("does not match the UID in record", uid="x")
    await ask('audience "vault" not found in pod spec volume', ["vault"])
    await ask("node may only request 0 or 1 audiences", ["a", "b"])
    world.put("pods", {**stored, "spec": {**stored["spec"], "nodeName": "n2"}})
    await ask("scheduled on a different node")


async def test_leases(world: World) -> None:
    lease = {"metadata": {"name": "n1"}}
    place: dict[str, Any] = {"group": "coordination.k8s.io", "namespace": "kube-node-lease"}
    assert await world.run("CREATE", "leases", lease, user=N1, **place)
    text = "can only access node lease with the same name as the requesting node"
    await refused(world, text, "CREATE", "leases", {"metadata": {"name": "n2"}}, **place)


async def test_others_are_not_restricted(world: World) -> None:
    assert await world.run("UPDATE", "nodes", node(taints=[]), node(taints=[{"key": "k"}]), namespace=None)
