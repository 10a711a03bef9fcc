"""A whole cluster whose pods are simulated: what an operator's tests see on a machine without containers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.nodeagent.test_agent import wait
from tests.support import machine
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(machine.kubectl() is None, reason="needs kubectl")]

Obj = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("simulated") / "d", "--runtime=simulated")
    made.start()
    try:
        wait(lambda: made.out("get", "serviceaccount", "default", check=False))
        yield made
    finally:
        made.stop()


def test_workloads_come_to_life(cluster: Cluster) -> None:
    cluster.out("create", "deployment", "web", "--image=anything:1", "--replicas=5")
    cluster.out("rollout", "status", "deployment/web", "--timeout=30s")
    cluster.out("create", "job", "once", "--image=anything:1")
    cluster.out("wait", "--for=condition=Complete", "job/once", "--timeout=30s")
    cluster.out("set", "image", "deployment/web", "anything=anything:2")
    cluster.out("rollout", "status", "deployment/web", "--timeout=30s")
    assert "simulated" in cluster.out("logs", "deployment/web")
    refused = cluster.kubectl("exec", "deployment/web", "--", "ls", check=False)
    assert "the containers of this node are simulated" in refused.stderr
    cluster.out("delete", "deployment/web", "job/once")
    wait(lambda: not cluster.get("pods")["items"])


def pod(name: str, annotations: Obj, **spec: Any) -> str:
    wishes = {f"simulated.steersman.io/{key}": value for key, value in annotations.items()}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": wishes},
        "spec": {"containers": [{"name": "c", "image": "x:1"}], **spec},
    }
    return json.dumps(manifest)


def test_pods_behave_as_their_annotations_say(cluster: Cluster) -> None:
    cluster.apply(pod("fails", {"run-for": "100ms", "exit-code": "7"}, restartPolicy="Never"))
    cluster.apply(pod("unpullable", {"pull-error": "denied"}, containers=[{"name": "c", "image": "x"}]))
    cluster.apply(
        pod(
            "shy",
            {"ready": "false"},
            containers=[{"name": "c", "image": "x:1", "readinessProbe": {"tcpSocket": {"port": 1}}}],
        )
    )
    wait(lambda: cluster.get("pod", "fails")["status"]["phase"] == "Failed")
    ended = cluster.get("pod", "fails")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")

    def reason() -> str:
        entries = cluster.get("pod", "unpullable")["status"].get("containerStatuses") or [{}]
        return str(((entries[0].get("state") or {}).get("waiting") or {}).get("reason"))

    wait(lambda: reason() in ("ErrImagePull", "ImagePullBackOff"))
    wait(lambda: cluster.get("pod", "shy")["status"]["phase"] == "Running")
    assert cluster.out("get", "pod", "shy", "--no-headers").split()[1] == "0/1"
    cluster.out("annotate", "pod", "shy", "simulated.steersman.io/ready=true", "--overwrite")
    cluster.out("wait", "--for=condition=Ready", "pod/shy", "--timeout=30s")
    cluster.out("delete", "pod", "fails", "unpullable", "shy")


def test_simulated_pods_survive_their_agent(cluster: Cluster) -> None:
    cluster.apply(pod("kept", {}))
    cluster.out("wait", "--for=condition=Ready", "pod/kept", "--timeout=30s")
    before = cluster.get("pod", "kept")["status"]
    pid = cluster.pids()["nodeagent"]
    os.kill(pid, 9)
    wait(lambda: cluster.pids().get("nodeagent", pid) != pid)
    cluster.apply(pod("after", {}))
    cluster.out("wait", "--for=condition=Ready", "pod/after", "--timeout=30s")
    after = cluster.get("pod", "kept")["status"]
    assert after["podIP"] == before["podIP"]
    assert after["containerStatuses"][0]["containerID"] == before["containerStatuses"][0]["containerID"]
    assert after["containerStatuses"][0]["restartCount"] == 0
    cluster.out("delete", "pod", "kept", "after")


def test_a_node_that_was_given_up_reports_again(cluster: Cluster) -> None:
    name = cluster.get("nodes")["items"][0]["metadata"]["name"]
    lost = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    patch = json.dumps({"status": {"conditions": [lost]}})
    cluster.out("patch", "node", name, "--subresource=status", "-p", patch)
    cluster.out("wait", "--for=condition=Ready", f"node/{name}", "--timeout=8s")
