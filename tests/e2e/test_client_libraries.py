"""Client libraries that people write operators and tools with: they work against steersman as they do against the original.

Each is skipped when it is not installed (they are in the extra `dev`). What the official client does with pods is in
test_official_client.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.manifests import deployment, pod
from tests.e2e.tour import manifest
from tests.support.cluster import Cluster

Obj = dict[str, Any]
# These libraries leave sockets to the garbage collector, and some use what newer versions of others deprecate.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Kubernetes version:UserWarning"
    ),  # kr8s lists the versions that it was tested with
]


@pytest.fixture(autouse=True)
def _forgotten_sockets() -> Iterator[None]:
    """What a library forgot to close goes within its own test, where the warning is ignored."""
    yield
    gc.collect()


def eventually(probe: Callable[[], Any], seconds: float = 20) -> Any:
    """What the probe returns, once that is true; for what a library does in threads of its own."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def settings(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"part": "x"}}, "data": data}


def rafts_crd() -> Obj:
    """Rafts: a namespaced kind with status and scale, shared by all tests of a run."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {"type": "object", "properties": {"crew": {"type": "integer", "minimum": 0, "default": 1}}}
    schema = {"type": "object", "properties": {"spec": spec, "status": free}}
    scale = {"specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale},
    }
    return crd("ships.example.com", "rafts", "Raft", version)


def crd(group: str, plural: str, kind: str, version: Obj) -> Obj:
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture
def rafts(cluster: Cluster) -> str:
    cluster.apply(manifest(rafts_crd()))
    cluster.out("wait", "crd/rafts.ships.example.com", "--for=condition=Established", "--timeout=30s")
    return "rafts"


def raft(name: str, crew: int = 3) -> Obj:
    return {"apiVersion": "ships.example.com/v1", "kind": "Raft", "metadata": {"name": name}, "spec": {"crew": crew}}


# -- the official client


@pytest.fixture
def official(cluster: Cluster) -> Iterator[Any]:
    kubernetes = pytest.importorskip("kubernetes")
    client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))
    yield client
    client.close()


def test_official_dynamic_client(official: Any, namespace: str, rafts: str) -> None:
    from kubernetes import dynamic

    client = dynamic.DynamicClient(official)
    kind = client.resources.get(api_version="ships.example.com/v1", kind="Raft")
    assert kind.create(body=raft("argo"), namespace=namespace).spec.crew == 3
    assert kind.patch(
        body={"spec": {"crew": 5}}, name="argo", namespace=namespace, content_type="application/merge-patch+json"
    ).spec.crew == 5  # fmt: skip
    assert kind.status.patch(
        body={"status": {"crew": 5}}, name="argo", namespace=namespace, content_type="application/merge-patch+json"
    ).status.crew == 5  # fmt: skip
    applied = client.server_side_apply(
        kind, body=raft("argo", 6), name="argo", namespace=namespace, field_manager="me", force_conflicts=True
    )
    assert applied.spec.crew == 6
    with pytest.raises(dynamic.exceptions.ConflictError):
        client.server_side_apply(kind, body=raft("argo", 7), name="argo", namespace=namespace, field_manager="you")
    seen = []
    for event in kind.watch(namespace=namespace, timeout=10):
        seen.append(event["type"])
        if len(seen) == 1:
            kind.delete(name="argo", namespace=namespace)
        if event["type"] == "DELETED":
            break
    assert seen == ["ADDED", "DELETED"]
    with pytest.raises(dynamic.exceptions.NotFoundError):
        kind.get(name="argo", namespace=namespace)
    with pytest.raises(dynamic.exceptions.UnprocessibleEntityError):
        kind.create(body=raft("sinking", -1), namespace=namespace)


def test_official_typed_models_take_everything_that_lists_return(official: Any, cluster: Cluster) -> None:
    """The generated models refuse absent required fields: a strict judge of what is served."""
    from kubernetes import client

    for api in (
        client.CoreV1Api,
        client.RbacAuthorizationV1Api,
        client.FlowcontrolApiserverV1Api,
        client.SchedulingV1Api,
    ):
        lists = [name for name in dir(api) if name.startswith("list_") and not name.endswith("_with_http_info")]
        for name in lists:
            if "_namespaced_" not in name:
                getattr(api(official), name)()
    assert client.ApiregistrationV1Api(official).list_api_service().items
    assert client.CoordinationV1Api(official).list_lease_for_all_namespaces().items
    assert client.ApisApi(official).get_api_versions().groups


def test_official_create_from_yaml(official: Any, namespace: str, tmp_path: Path) -> None:
    from kubernetes import client, utils

    path = tmp_path / "all.yaml"
    path.write_text(manifest(settings("a"), deployment("web", replicas=0)))
    utils.create_from_yaml(official, str(path), namespace=namespace)
    with pytest.raises(utils.FailToCreateError):
        utils.create_from_yaml(official, str(path), namespace=namespace)
    utils.create_from_yaml(official, str(path), namespace=namespace, apply=True)
    scale = client.AppsV1Api(official).patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    assert (scale.kind, scale.spec.replicas) == ("Scale", 1)


def test_official_informer(official: Any, namespace: str) -> None:
    informer_module = pytest.importorskip("kubernetes.informer", reason="this version has no informer")
    from kubernetes import client

    core = client.CoreV1Api(official)
    core.create_namespaced_config_map(namespace, settings("before"))
    informer = informer_module.SharedInformer(
        core.list_namespaced_config_map, namespace=namespace, label_selector="part=x"
    )
    seen: list[tuple[str, str]] = []
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(kind, lambda obj, kind=kind: seen.append((kind, obj.metadata.name)))
    informer.start()
    try:
        eventually(lambda: ("ADDED", "before") in seen)
        core.create_namespaced_config_map(namespace, settings("after"))
        eventually(lambda: ("ADDED", "after") in seen)
        core.patch_namespaced_config_map("after", namespace, {"data": {"a": "b"}})
        eventually(lambda: ("MODIFIED", "after") in seen)
        assert informer.cache.get_by_key(f"{namespace}/after").data == {"a": "b"}
        core.delete_namespaced_config_map("after", namespace)
        eventually(lambda: ("DELETED", "after") in seen)
        assert informer.cache.list_keys() == [f"{namespace}/before"]
    finally:
        informer.stop()


def test_official_leader_election(official: Any, cluster: Cluster, namespace: str) -> None:
    kubernetes = pytest.importorskip("kubernetes")
    pytest.importorskip("kubernetes.leaderelection.resourcelock.leaselock", reason="this version has no Lease lock")
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

    kubernetes.config.load_kube_config(str(cluster.kubeconfig))
    started, stopped = threading.Event(), threading.Event()
    config = electionconfig.Config(
        LeaseLock("leader", namespace, "first"),
        lease_duration=4, renew_deadline=2, retry_period=1, onstarted_leading=started.set, onstopped_leading=stopped.set,
    )  # fmt: skip
    runner = threading.Thread(target=leaderelection.LeaderElection(config).run, daemon=True)
    runner.start()
    assert started.wait(20)
    leases = kubernetes.client.CoordinationV1Api(official)
    assert leases.read_namespaced_lease("leader", namespace).spec.holder_identity == "first"
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    theft = {"spec": {"holderIdentity": "second", "renewTime": now, "leaseDurationSeconds": 60}}
    leases.patch_namespaced_lease("leader", namespace, theft)
    assert stopped.wait(20)
    assert leases.read_namespaced_lease("leader", namespace).spec.holder_identity == "second"


def serving() -> Obj:
    """A pod that is ready once it serves a page on port 8080."""
    script = "mkdir -p /www; echo hello > /www/index.html; httpd -f -p 8080 -h /www"
    return pod(
        "web", "sh", "-c", script, container={"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    )


def test_official_ports_and_input(official: Any, cluster: Cluster, namespace: str) -> None:
    from kubernetes import client, stream

    core = client.CoreV1Api(official)
    core.create_namespaced_pod(namespace, serving())
    cluster.out("wait", "pod/web", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=60s")
    forward = stream.portforward(core.connect_get_namespaced_pod_portforward, "web", namespace, ports="8080")
    with contextlib.closing(forward.socket(8080)) as connection:
        connection.setblocking(True)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(1024), b""))
    assert received.endswith(b"\r\n\r\nhello\n")
    assert forward.error(8080) is None
    cat = stream.stream(
        core.connect_get_namespaced_pod_exec, "web", namespace,
        command=["cat"], stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    cat.write_stdin("there and back\n")
    assert cat.readline_stdout(timeout=20) == "there and back"
    cat.close()
    assert core.connect_get_namespaced_pod_proxy_with_path("web:8080", namespace, "index.html") == "hello\n"


# -- kubernetes_asyncio


async def test_asyncio_client(cluster: Cluster, namespace: str) -> None:
    library = pytest.importorskip("kubernetes_asyncio")
    from kubernetes_asyncio import stream, watch

    await library.config.load_kube_config(str(cluster.kubeconfig))
    async with library.client.ApiClient() as api:
        core = library.client.CoreV1Api(api)
        await core.create_namespaced_pod(namespace, pod("one"))
        phases = []
        async with watch.Watch().stream(core.list_namespaced_pod, namespace, timeout_seconds=30) as events:
            async for event in events:
                phases.append(event["object"].status.phase)
                if any(status.ready for status in event["object"].status.container_statuses or ()):
                    break
        assert (phases[0], phases[-1]) == ("Pending", "Running")
        assert (await core.read_namespaced_pod_log("one", namespace)) == ""
        names: list[str] = []
        token = None
        for name in ("a", "b", "c"):
            await core.create_namespaced_config_map(namespace, settings(name))
        while not names or token:
            page = await core.list_namespaced_config_map(namespace, limit=1, _continue=token, label_selector="part=x")
            names += [item.metadata.name for item in page.items]
            token = page.metadata._continue
        assert names == ["a", "b", "c"]
        with pytest.raises(library.client.ApiException) as refused:
            await core.read_namespaced_secret("nothing", namespace)
        assert refused.value.status == 404
    async with stream.WsApiClient() as api:
        said = await library.client.CoreV1Api(api).connect_get_namespaced_pod_exec(
            "one", namespace, command=["echo", "hello"], stderr=True, stdin=False, stdout=True, tty=False
        )
        assert said == "hello\n"


async def test_asyncio_leader_election(cluster: Cluster, namespace: str) -> None:
    library = pytest.importorskip("kubernetes_asyncio")
    from kubernetes_asyncio.leaderelection import electionconfig, leaderelection
    from kubernetes_asyncio.leaderelection.resourcelock.leaselock import LeaseLock

    await library.config.load_kube_config(str(cluster.kubeconfig))
    order: list[str] = []

    async def lead(name: str, api: Any) -> None:
        leading = asyncio.Event()

        async def started() -> None:
            order.append(name)
            leading.set()

        async def stopped() -> None:
            order.append(f"{name} stopped")

        config = electionconfig.Config(
            LeaseLock("leader", namespace, name, api), lease_duration=3, renew_deadline=2, retry_period=1,
            onstarted_leading=started, onstopped_leading=stopped,
        )  # fmt: skip
        election = asyncio.create_task(leaderelection.LeaderElection(config).run(), name=name)
        async with asyncio.timeout(20):
            await leading.wait()
        election.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await election

    async with library.client.ApiClient() as api:
        await lead("first", api)
        await lead("second", api)  # when the first one's lease has run out
        lease = await library.client.CoordinationV1Api(api).read_namespaced_lease("leader", namespace)
    assert [name for name in order if "stopped" not in name] == ["first", "second"]
    assert lease.spec.holder_identity == "second"


# -- kr8s


async def test_kr8s(cluster: Cluster, namespace: str, rafts: str) -> None:
    kr8s = pytest.importorskip("kr8s")
    from kr8s.asyncio import objects

    api = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
    assert (await api.version())["minor"] == "36"
    web = await objects.Deployment(deployment("web", replicas=2), namespace=namespace, api=api)
    await web.create()
    await web.wait("condition=Available", timeout=30)
    pods = await web.pods()
    assert len(pods) == 2
    assert await pods[0].ready()
    done = await pods[0].exec(["echo", "hello"])
    assert done.stdout == b"hello\n"
    page = await objects.Pod(serving(), namespace=namespace, api=api)
    await page.create()
    await page.wait("condition=Ready", timeout=30)
    async with page.portforward(8080) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"hello\n")
        writer.close()
    await web.scale(1)
    await web.refresh()
    assert web.replicas == 1
    await web.label({"seen": "yes"})
    await web.annotate({"note": "x"})
    assert [found.name async for found in api.get("deployments", label_selector={"seen": "yes"})] == ["web"]
    Raft = kr8s.asyncio.objects.new_class(kind="Raft", version="ships.example.com/v1", namespaced=True, scalable=True)
    argo = await Raft(raft("argo"), namespace=namespace, api=api)
    await argo.create()
    await argo.patch({"spec": {"crew": 7}})
    assert argo.spec.crew == 7
    assert await argo.exists()
    seen = []
    async for kind, obj in api.watch("rafts.ships.example.com"):
        seen.append((kind, obj.name))
        if kind == "DELETED":
            break
        await argo.delete()
    assert seen == [("ADDED", "argo"), ("DELETED", "argo")]
    with pytest.raises(kr8s.NotFoundError):
        await Raft.get("argo", namespace=namespace, api=api)
    await web.delete(propagation_policy="Foreground")
    await web.wait("delete", timeout=30)
    assert [resource["name"] for resource in await api.api_resources() if resource["kind"] == "Raft"] == ["rafts"]


# -- lightkube


def test_lightkube(cluster: Cluster, namespace: str, rafts: str) -> None:
    lightkube = pytest.importorskip("lightkube")
    from lightkube import codecs, generic_resource
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap, Pod
    from lightkube.types import CascadeType, PatchType

    config = lightkube.KubeConfig.from_file(str(cluster.kubeconfig))
    client = lightkube.Client(config=config, namespace=namespace, field_manager="light")
    for obj in codecs.load_all_yaml(manifest(settings("a", x="1"), deployment("web", replicas=0))):
        client.apply(obj)
    assert client.get(ConfigMap, "a").data == {"x": "1"}
    patched = client.patch(ConfigMap, "a", {"data": {"y": "2"}}, patch_type=PatchType.MERGE)
    assert patched.data == {"x": "1", "y": "2"}
    patched.data["x"] = "3"
    assert client.replace(patched).data["x"] == "3"
    with pytest.raises(lightkube.ApiError) as refused:
        client.replace(_stale(patched))
    assert refused.value.status.reason == "Conflict"
    with pytest.raises(lightkube.ApiError) as refused:
        client.apply(ConfigMap.from_dict(settings("a", x="4")), field_manager="other")
    assert "Apply failed with 1 conflict" in refused.value.status.message
    scaled = client.patch(Deployment.Scale, "web", {"spec": {"replicas": 1}})
    assert scaled.spec.replicas == 1
    client.wait(Deployment, "web", for_conditions=["Available"])
    client.create(Pod.from_dict(pod("talk", "sh", "-c", "echo one; echo two", restartPolicy="Never")))
    for kind, seen in client.watch(Pod, fields={"metadata.name": "talk"}):
        if kind == "MODIFIED" and seen.status.phase == "Succeeded":
            break
    assert [line.strip() for line in client.log("talk")] == ["one", "two"]
    generic_resource.load_in_cluster_generic_resources(client)
    Raft: Any = generic_resource.get_generic_resource("ships.example.com/v1", "Raft")  # type: ignore[no-untyped-call]
    assert client.create(Raft(metadata={"name": "argo"}, spec={"crew": 2})).spec["crew"] == 2
    assert [found.metadata.name for found in client.list(Raft, namespace="*")].count("argo") == 1
    client.delete(Raft, "argo")
    client.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
    client.deletecollection(ConfigMap)
    assert [found.metadata.name for found in client.list(ConfigMap, labels={"part": "x"})] == []


def _stale(obj: Any) -> Any:
    obj.metadata.resourceVersion = "1"
    return obj


# -- kopf


PEERINGS = crd(
    "kopf.dev",
    "kopfpeerings",
    "KopfPeering",
    {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}},
    },
)  # fmt: skip


@contextlib.contextmanager
def operator(cluster: Cluster, namespace: str, log: Path, *arguments: str) -> Iterator[None]:
    """A running operator; its log is shown when the block fails."""
    script = Path(__file__).with_name("operator_rafts.py")
    command = [sys.executable, "-m", "kopf", "run", f"--namespace={namespace}", *arguments, str(script)]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            yield
        except BaseException:
            print(log.read_text())
            raise
        finally:
            process.terminate()
            process.wait(20)


def test_a_kopf_operator(cluster: Cluster, namespace: str, rafts: str, tmp_path: Path) -> None:
    pytest.importorskip("kopf")
    pytest.importorskip("kubernetes_asyncio", reason="the operator uses it")
    inside = f"--namespace={namespace}"

    def state() -> Any:
        return cluster.get("raft", "argo", inside)

    with operator(cluster, namespace, tmp_path / "log", "--standalone"):
        cluster.out("apply", "-f", "-", inside, stdin=manifest(raft("argo")))
        made = eventually(lambda: state().get("status", {}).get("create"))
        assert made == {"log": "argo-log"}
        live = state()
        assert live["metadata"]["finalizers"] == ["rafts.example.com/operator"]
        log = cluster.get("configmap", "argo-log", inside)
        assert log["metadata"]["ownerReferences"][0]["uid"] == live["metadata"]["uid"]
        cluster.out("patch", "raft", "argo", inside, "--type=merge", "--patch", '{"spec":{"crew":9}}')
        eventually(lambda: cluster.get("configmap", "argo-log", inside)["data"]["crew"] == "9")
        eventually(lambda: state()["status"].get("ticks", 0) >= 2)
        eventually(lambda: "the raft is ready" in cluster.out("events", "--for=raft/argo", inside))
        cluster.out("delete", "raft", "argo", inside, "--timeout=20s")
        assert cluster.get("configmap", "argo-goodbye", inside)
        cluster.out(
            "wait", "configmap/argo-log", inside, "--for=delete", "--timeout=20s"
        )  # the garbage collector's work


def test_kopf_operators_that_know_their_peers(cluster: Cluster, namespace: str, rafts: str, tmp_path: Path) -> None:
    pytest.importorskip("kopf")
    pytest.importorskip("kubernetes_asyncio", reason="the operator uses it")
    inside = f"--namespace={namespace}"
    cluster.apply(manifest(PEERINGS))
    cluster.out("wait", "crd/kopfpeerings.kopf.dev", "--for=condition=Established", "--timeout=30s")
    peering = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "rafts"}}
    cluster.out("apply", "-f", "-", inside, stdin=manifest(peering))

    def peers() -> dict[str, Any]:
        status: dict[str, Any] = cluster.get("kopfpeering", "rafts", inside).get("status", {})
        return status

    weak, strong = tmp_path / "weak", tmp_path / "strong"
    with operator(cluster, namespace, weak, "--peering=rafts", "--priority=1"):
        eventually(lambda: len(peers()) == 1)
        with operator(cluster, namespace, strong, "--peering=rafts", "--priority=9"):
            eventually(lambda: sorted(peer["priority"] for peer in peers().values()) == [1, 9])
            eventually(lambda: "Pausing operations" in weak.read_text())
            cluster.out("apply", "-f", "-", inside, stdin=manifest(raft("argo")))
            eventually(lambda: cluster.get("raft", "argo", inside).get("status", {}).get("create"))
            assert "Handler 'create'" in strong.read_text()
            assert "Handler 'create'" not in weak.read_text()
        eventually(lambda: "Resuming operations" in weak.read_text())
        cluster.out("delete", "raft", "argo", inside, "--timeout=20s")
