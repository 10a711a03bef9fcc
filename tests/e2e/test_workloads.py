"""Deployments, Jobs and pods that fail, in real containers."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.e2e.conftest import IMAGE, IMAGE_NEXT
from tests.e2e.manifests import deployment, pod, text

Kubectl = Callable[..., str]
HTTPD = ("httpd", "-f", "-p", "8080", "-h", "/")


def test_a_deployment_is_rolled_out_changed_and_rolled_back(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(deployment("web", *HTTPD, replicas=3)))
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    everything = kubectl("get", "all", "-o", "wide")
    assert everything.count("1/1     Running") == 3
    assert "deployment.apps/web" in everything
    assert "3/3" in everything
    described = kubectl("describe", "deployment", "web")
    assert "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" in described
    assert "ScalingReplicaSet" in described

    kubectl("scale", "deployment/web", "--replicas=2")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.replicas}=2", "--timeout=60s")

    kubectl("set", "image", "deployment/web", f"main={IMAGE_NEXT}")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kubectl("exec", "deployment/web", "--", "cat", "/version").strip() == "2"
    history = kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["1", "2"]

    kubectl("rollout", "undo", "deployment/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    images = kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) >= {IMAGE}


def test_a_paused_deployment_waits(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(deployment("web")))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "image", "deployment/web", f"main={IMAGE_NEXT}")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.observedGeneration}=3", "--timeout=30s")
    assert kubectl("get", "rs", "-o", "name").count("replicaset") == 1
    kubectl("rollout", "resume", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kubectl("get", "rs", "-o", "name").count("replicaset") == 2


def test_a_crashing_container_is_restarted_with_growing_waits(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(pod("crash", "sh", "-c", "echo going down; exit 3")))
    kubectl(
        "wait", "pod/crash", "--timeout=60s",
        "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff",
    )  # fmt: skip
    status = json.loads(kubectl("get", "pod", "crash", "-o", "json"))["status"]["containerStatuses"][0]
    assert status["restartCount"] >= 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert "CrashLoopBackOff" in kubectl("get", "pod", "crash")
    assert "going down" in kubectl("logs", "crash", "--previous")
    assert "Back-off restarting failed container main in pod crash" in kubectl("describe", "pod", "crash")


def test_an_image_that_is_nowhere(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(pod("lost", image="registry.invalid/nothing:1")))
    kubectl(
        "wait", "pod/lost", "--timeout=60s",
        "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
    )  # fmt: skip
    events = kubectl("events", "--for", "pod/lost")
    assert "Failed to pull image" in events
    assert "ErrImagePull" in events


def test_a_job_completes(kubectl: Kubectl) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "sum"},
        "spec": {
            "completions": 3,
            "parallelism": 2,
            "completionMode": "Indexed",
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [
                        {"name": "main", "image": IMAGE, "command": ["sh", "-c", "echo index $JOB_COMPLETION_INDEX"]}
                    ],
                }
            },
        },
    }
    kubectl("apply", "-f", "-", stdin=text(job))
    kubectl("wait", "job/sum", "--for=condition=complete", "--timeout=60s")
    assert kubectl("get", "job", "sum").splitlines()[1].split()[1:3] == ["Complete", "3/3"]
    indexes = kubectl("logs", "-l", "job-name=sum", "--tail=-1")
    assert sorted(indexes.split()) == sorted(["index", "0", "index", "1", "index", "2"])


def test_a_job_that_fails_gives_up_after_its_limit(kubectl: Kubectl) -> None:
    spec = {
        "backoffLimit": 0,
        "template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE, "command": ["false"]}]}
        },
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bad"}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=text(job))
    kubectl("wait", "job/bad", "--for=condition=failed", "--timeout=60s")
    conditions = json.loads(kubectl("get", "job", "bad", "-o", "json"))["status"]["conditions"]
    assert [c["reason"] for c in conditions if c["type"] == "Failed"] == ["BackoffLimitExceeded"]


def test_a_pod_goes_with_grace(kubectl: Kubectl) -> None:
    script = "trap 'echo goodbye > /dev/termination-log; exit 0' TERM; while true; do sleep 0.1; done"
    kubectl("apply", "-f", "-", stdin=text(pod("polite", "sh", "-c", script, terminationGracePeriodSeconds=20)))
    kubectl("wait", "pod/polite", "--for=condition=Ready", "--timeout=60s")
    assert 'pod "polite" deleted' in kubectl("delete", "pod", "polite", "--timeout=10s")


def test_init_containers_run_first_and_sidecars_stay(kubectl: Kubectl) -> None:
    share = [{"name": "share", "mountPath": "/share"}]
    init = [
        {"name": "side", "image": IMAGE, "command": ["sleep", "3600"], "restartPolicy": "Always"},
        {"name": "first", "image": IMAGE, "command": ["sh", "-c", "echo first > /share/order"], "volumeMounts": share},
        {
            "name": "second",
            "image": IMAGE,
            "command": ["sh", "-c", "echo second >> /share/order"],
            "volumeMounts": share,
        },
    ]
    wanted = pod(
        "ordered", "sh", "-c", "cat /share/order",
        restartPolicy="Never", initContainers=init,
        volumes=[{"name": "share", "emptyDir": {}}], container={"volumeMounts": share},
    )  # fmt: skip
    kubectl("apply", "-f", "-", stdin=text(wanted))
    kubectl("wait", "pod/ordered", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert kubectl("logs", "ordered", "-c", "main").split() == ["first", "second"]


def test_a_namespace_goes_with_everything_in_it(kubectl: Kubectl, cluster: object, namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=text(deployment("web", replicas=2)))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("create", "configmap", "settings", "--from-literal=a=b")
    kubectl("delete", "namespace", namespace, "--timeout=60s")
    assert "NotFound" in kubectl("get", "namespace", namespace, check=False)
    assert "No resources found" in kubectl("get", "pods,deployments,configmaps", check=False)


def test_an_unschedulable_pod_says_why_and_is_woken(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(pod("big", nodeSelector={"size": "huge"})))
    kubectl("wait", "pod/big", "--for=condition=PodScheduled=false", "--timeout=30s")
    assert (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. "
        "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    ) in kubectl("describe", "pod", "big")
    node = kubectl("get", "nodes", "-o", "name").strip()
    kubectl("label", node, "size=huge")
    try:
        kubectl("wait", "pod/big", "--for=condition=Ready", "--timeout=30s")
    finally:
        kubectl("label", node, "size-")
