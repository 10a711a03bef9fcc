"""The official Python client lists, watches, creates, patches and runs commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.manifests import deployment, pod
from tests.support.cluster import Cluster

kubernetes = pytest.importorskip("kubernetes")
# The client leaves sockets of watches and exec to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def api(cluster: Cluster) -> Iterator[Any]:
    client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))
    yield client
    client.close()


def test_create_watch_patch_exec_and_delete(api: Any, namespace: str) -> None:
    from kubernetes import stream, watch

    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_pod(namespace, pod("one"))
    phases = []
    follow = watch.Watch()
    for event in follow.stream(core.list_namespaced_pod, namespace, timeout_seconds=60):
        phases.append(event["object"].status.phase)
        if any(status.ready for status in event["object"].status.container_statuses or ()):
            follow.stop()
    assert phases[0] == "Pending"
    assert phases[-1] == "Running"
    core.patch_namespaced_pod("one", namespace, {"metadata": {"labels": {"seen": "yes"}}})
    listed = core.list_namespaced_pod(namespace, label_selector="seen=yes").items
    assert [item.metadata.name for item in listed] == ["one"]
    connection = stream.stream(
        core.connect_get_namespaced_pod_exec, "one", namespace,
        command=["sh", "-c", "echo hello; echo oops >&2"], stdin=False, stdout=True, stderr=True, tty=False,
        _preload_content=False,
    )  # fmt: skip
    connection.run_forever(timeout=30)
    assert (connection.read_stdout(), connection.read_stderr()) == ("hello\n", "oops\n")
    assert connection.returncode == 0
    connection.close()
    assert core.read_namespaced_pod_log("one", namespace) == ""
    core.delete_namespaced_pod("one", namespace, grace_period_seconds=0)


def test_typed_objects_and_errors(api: Any, namespace: str) -> None:
    apps = kubernetes.client.AppsV1Api(api)
    created = apps.create_namespaced_deployment(namespace, deployment("web", replicas=2))
    assert created.spec.replicas == 2
    assert created.spec.strategy.rolling_update.max_surge == "25%"
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    assert scale.spec.replicas == 2
    with pytest.raises(kubernetes.client.ApiException) as caught:
        apps.create_namespaced_deployment(namespace, deployment("web"))
    assert caught.value.status == 409
    version = kubernetes.client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "36")


def test_the_dynamic_client_finds_every_resource(api: Any) -> None:
    from kubernetes import dynamic

    client = dynamic.DynamicClient(api)
    nodes = client.resources.get(api_version="v1", kind="Node").get()
    assert nodes.items[0].status.nodeInfo.kubeletVersion.startswith("v1.36")
