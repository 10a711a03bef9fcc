"""What admission makes of pods: accounts, limits, priorities, tolerations, runtime classes."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import ApiError
from tests.apiserver.admission.support import Obj, World, pod

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def world() -> World:
    return World()


async def refusal(world: World, obj: Obj) -> str:
    with pytest.raises(ApiError) as caught:
        await world.run("CREATE", "pods", obj)
    assert caught.value.code == 403
    return caught.value.message


async def test_a_plain_pod(world: World) -> None:
    spec = (await world.create_pod())["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    assert volume["projected"]["sources"][0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert spec["containers"][0]["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": MOUNT}]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert spec["tolerations"] == [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]


async def test_the_token_is_mounted_where_there_is_room_and_nobody_objects(world: World) -> None:
    own = {"name": "a", "image": "i", "volumeMounts": [{"name": "t", "mountPath": MOUNT}]}
    spec = (await world.create_pod(containers=[own, {"name": "b", "image": "i"}]))["spec"]
    assert len(spec["containers"][0]["volumeMounts"]) == 1
    assert spec["containers"][1]["volumeMounts"][0]["mountPath"] == MOUNT
    spec = (await world.create_pod(automountServiceAccountToken=False))["spec"]
    assert "volumes" not in spec
    assert "volumeMounts" not in spec["containers"][0]
    quiet = {"metadata": {"name": "quiet", "namespace": "ns"}, "automountServiceAccountToken": False}
    world.put("serviceaccounts", {**quiet, "imagePullSecrets": [{"name": "reg"}]})
    spec = (await world.create_pod(serviceAccountName="quiet"))["spec"]
    assert "volumes" not in spec
    assert spec["imagePullSecrets"] == [{"name": "reg"}]
    spec = (await world.create_pod(serviceAccountName="quiet", automountServiceAccountToken=True))["spec"]
    assert len(spec["volumes"]) == 1


async def test_an_account_has_to_exist(world: World) -> None:
    assert await refusal(world, pod(serviceAccountName="x")) == (
        'pods "p" is forbidden: error looking up service account ns/x: serviceaccount "x" not found'
    )


async def test_mountable_secrets(world: World) -> None:
    strict = {"name": "strict", "namespace": "ns", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    world.put("serviceaccounts", {"metadata": strict, "secrets": [{"name": "mine"}]})
    mine = {"name": "v", "secret": {"secretName": "mine"}}
    assert await world.create_pod(serviceAccountName="strict", volumes=[mine])
    other = {"name": "v", "secret": {"secretName": "other"}}
    assert 'secret.secretName="other" is not allowed' in await refusal(
        world, pod(serviceAccountName="strict", volumes=[other])
    )
    env = [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]
    container = {"name": "c", "image": "i", "env": env}
    assert await refusal(world, pod(serviceAccountName="strict", containers=[container])) == (
        'pods "p" is forbidden: container c with envVar E referencing secret.secretName="other" is not allowed because '
        "service account strict does not reference that secret"
    )


async def test_namespaces(world: World) -> None:
    with pytest.raises(ApiError) as caught:
        await world.run("CREATE", "configmaps", {"metadata": {"name": "c"}}, namespace="none")
    assert (caught.value.code, caught.value.message) == (404, 'namespaces "none" not found')
    world.put("namespaces", {"metadata": {"name": "ns"}, "status": {"phase": "Terminating"}})
    with pytest.raises(ApiError) as caught:
        await world.run("CREATE", "configmaps", {"metadata": {"name": "c"}})
    assert caught.value.causes[0]["reason"] == "NamespaceTerminating"
    assert await world.run("UPDATE", "configmaps", {"metadata": {"name": "c"}}, {"metadata": {"name": "c"}})
    for name in ("default", "kube-system", "kube-public"):
        with pytest.raises(ApiError, match="this namespace may not be deleted"):
            await world.run("DELETE", "namespaces", None, {"metadata": {"name": name}}, namespace=None)


def limit_range(*limits: Obj) -> Obj:
    return {"metadata": {"name": "lr", "namespace": "ns"}, "spec": {"limits": list(limits)}}


async def test_limit_ranges(world: World) -> None:
    world.put(
        "limitranges",
        limit_range(
            {
                "type": "Container",
                "default": {"cpu": "500m"},
                "defaultRequest": {"cpu": "100m", "memory": "1Mi"},
                "min": {"cpu": "50m"},
                "max": {"cpu": "1"},
                "maxLimitRequestRatio": {"cpu": "10"},
            },
            {"type": "Pod", "max": {"cpu": "1500m"}},
        ),
    )
    made = await world.create_pod()
    resources = made["spec"]["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "500m"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c"
    )

    def with_resources(**resources: Any) -> Obj:
        return pod(containers=[{"name": "c", "image": "i", "resources": resources}])

    assert await refusal(world, with_resources(limits={"cpu": "2"}, requests={"cpu": "1"})) == (
        'pods "p" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, '
        "maximum cpu usage per Pod is 1500m, but limit is 2]"
    )
    assert "minimum cpu usage per Container is 50m, but request is 10m" in await refusal(
        world, with_resources(requests={"cpu": "10m"})
    )
    assert "but provided ratio is 16.666667" in await refusal(
        world, with_resources(requests={"cpu": "60m"}, limits={"cpu": "1"})
    )


async def test_priorities(world: World) -> None:
    def put(name: str, value: int, **rest: Any) -> None:
        world.put("priorityclasses", {"metadata": {"name": name}, "value": value, **rest}, "scheduling.k8s.io")

    assert await refusal(world, pod(priorityClassName="high")) == (
        'pods "p" is forbidden: no PriorityClass with name high was found'
    )
    put("high", 1000, preemptionPolicy="Never")
    spec = (await world.create_pod(priorityClassName="high"))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    assert "must not be provided in pod spec" in await refusal(world, pod(priority=7))
    put("usual", 5, globalDefault=True)
    spec = (await world.create_pod())["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (5, "usual")
    second = {"metadata": {"name": "second"}, "value": 1, "globalDefault": True}
    with pytest.raises(ApiError, match="PriorityClass usual is already marked as default"):
        await world.run("CREATE", "priorityclasses", second, group="scheduling.k8s.io", namespace=None)


async def test_runtime_classes(world: World) -> None:
    runtime = {
        "metadata": {"name": "rt"},
        "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"rt": "yes"}, "tolerations": [{"key": "rt"}]},
    }
    world.put("runtimeclasses", runtime, "node.k8s.io")
    spec = (await world.create_pod(runtimeClassName="rt", nodeSelector={"x": "y"}))["spec"]
    assert spec["overhead"] == {"cpu": "10m"}
    assert spec["nodeSelector"] == {"rt": "yes", "x": "y"}
    assert {"key": "rt"} in spec["tolerations"]
    assert await world.create_pod(runtimeClassName="rt", overhead={"cpu": "0.01"})
    assert "doesn't match" in await refusal(world, pod(runtimeClassName="rt", overhead={"cpu": "1"}))
    assert "conflict: runtimeClass" in await refusal(world, pod(runtimeClassName="rt", nodeSelector={"rt": "no"}))
    assert "without corresponding RuntimeClass" in await refusal(world, pod(overhead={"cpu": "1"}))
    assert 'RuntimeClass "x" not found' in await refusal(world, pod(runtimeClassName="x"))


async def test_plugins_that_flags_turn_on() -> None:
    world = World("AlwaysPullImages", "ExtendedResourceToleration", "LimitPodHardAntiAffinityTopology")
    gpu = {"name": "c", "image": "i", "resources": {"requests": {"example.com/gpu": "1", "cpu": "1"}}}
    spec = (await world.create_pod(containers=[gpu]))["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert spec["tolerations"][-1] == {"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    term = {"topologyKey": "zone", "labelSelector": {}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert "only key kubernetes.io/hostname is allowed" in await refusal(world, pod(affinity=affinity))
    world = World("DenyServiceExternalIPs")
    service = {"metadata": {"name": "s"}, "spec": {"externalIPs": ["1.2.3.4"]}}
    assert await world.run("UPDATE", "services", service, service)
    with pytest.raises(ApiError, match="external IPs is denied"):
        await world.run("CREATE", "services", service)


async def test_zone_labels_follow_a_binding(world: World) -> None:
    labels = {"topology.kubernetes.io/zone": "z", "other": "x"}
    world.put("nodes", {"metadata": {"name": "n1", "labels": labels}})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    a = await world.run("CREATE", "pods", binding, subresource="binding")
    assert a.obj is not None
    assert a.obj["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z"}


async def test_namespaces_may_select_nodes_and_tolerations() -> None:
    world = World("PodNodeSelector", "PodTolerationRestriction")
    base = "scheduler.alpha.kubernetes.io/"
    annotations = {
        base + "node-selector": "zone=a",
        base + "defaultTolerations": '[{"key":"k","operator":"Exists"}]',
        base + "tolerationsWhitelist": '[{"key":"k","operator":"Exists"},{"operator":"Exists","effect":"NoExecute"}]',
    }
    world.put("namespaces", {"metadata": {"name": "ns", "annotations": annotations}, "status": {"phase": "Active"}})
    spec = (await world.create_pod(nodeSelector={"x": "y"}))["spec"]
    assert spec["nodeSelector"] == {"x": "y", "zone": "a"}
    assert {"key": "k", "operator": "Exists"} in spec["tolerations"]
    assert "conflicts with its namespace node label selector" in await refusal(world, pod(nodeSelector={"zone": "b"}))
    other = [{"key": "other", "operator": "Exists", "effect": "NoSchedule"}]
    with pytest.raises(ApiError, match="conflict with its namespace whitelist") as caught:
        await world.run("CREATE", "pods", pod(tolerations=other))
    assert (caught.value.code, caught.value.reason) == (500, "")  # as in the original, where it is no refusal in form
