"""What pods are given: configuration, secrets, facts about themselves, credentials, and their updates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from tests.e2e.manifests import pod, text

Kubectl = Callable[..., str]


def eventually(check: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for something that no watch tells of: a file inside a container."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.5)


def test_configmap_secret_and_downward_volumes_show_contents_and_updates(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=colour=red")
    kubectl("create", "secret", "generic", "login", "--from-literal=password=hunter2")
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}},
        {
            "name": "self",
            "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    environment = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "GREETING", "value": "I am $(ME)"},
    ]
    wanted = pod("reader", container={"volumeMounts": mounts, "env": environment}, volumes=volumes)
    kubectl("apply", "-f", "-", stdin=text(wanted))
    kubectl("wait", "pod/reader", "--for=condition=Ready", "--timeout=60s")

    def cat(path: str) -> str:
        return kubectl("exec", "reader", "--", "cat", path)

    assert cat("/settings/colour") == "red"
    assert cat("/login/password") == "hunter2"
    assert 'app="reader"' in cat("/self/labels")
    assert kubectl("exec", "reader", "--", "stat", "-Lc", "%a", "/login/password").strip() == "400"
    assert kubectl("exec", "reader", "--", "sh", "-c", "echo $COLOUR $PASSWORD $GREETING").strip() == (
        "red hunter2 I am reader"
    )

    kubectl("patch", "configmap", "settings", "-p", json.dumps({"data": {"colour": "blue"}}))
    kubectl("label", "pod", "reader", "mood=good")
    eventually(lambda: cat("/settings/colour") == "blue")
    eventually(lambda: 'mood="good"' in cat("/self/labels"))


def test_a_pod_s_own_credentials_work_against_the_api(kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=text(pod("self")))
    kubectl("wait", "pod/self", "--for=condition=Ready", "--timeout=60s")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert kubectl("exec", "self", "--", "cat", f"{folder}/namespace") == namespace
    assert "BEGIN CERTIFICATE" in kubectl("exec", "self", "--", "cat", f"{folder}/ca.crt")
    token = kubectl("exec", "self", "--", "cat", f"{folder}/token")
    who = json.loads(
        kubectl("auth", "whoami", f"--token={token}", "-o", "json", "--client-certificate=", "--client-key=")
    )
    user = who["status"]["userInfo"]
    assert user["username"] in (f"system:serviceaccount:{namespace}:default", "kubernetes-admin")


def test_a_missing_configmap_holds_the_pod_until_it_is_there(kubectl: Kubectl) -> None:
    volumes = [{"name": "later", "configMap": {"name": "later"}}]
    mounts = [{"name": "later", "mountPath": "/later"}]
    kubectl("apply", "-f", "-", stdin=text(pod("waiting", container={"volumeMounts": mounts}, volumes=volumes)))
    eventually(lambda: "FailedMount" in kubectl("events", "--for", "pod/waiting"))
    assert 'configmap "later" not found' in kubectl("events", "--for", "pod/waiting")
    kubectl("create", "configmap", "later", "--from-literal=a=b")
    kubectl("wait", "pod/waiting", "--for=condition=Ready", "--timeout=150s", timeout=160)


def test_limits_users_and_read_only_roots_are_real(kubectl: Kubectl) -> None:
    container = {
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
        "securityContext": {
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    kubectl("apply", "-f", "-", stdin=text(pod("bounded", container=container)))
    kubectl("wait", "pod/bounded", "--for=condition=Ready", "--timeout=60s")
    assert kubectl("exec", "bounded", "--", "id", "-u").strip() == "65534"
    assert "Read-only" in kubectl("exec", "bounded", "--", "touch", "/x", check=False)
    limit = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert kubectl("exec", "bounded", "--", "sh", "-c", limit).strip() == str(64 * 1024 * 1024)
    assert "CapEff:\t0000000000000000" in kubectl("exec", "bounded", "--", "cat", "/proc/self/status")


def test_probes_decide_on_readiness_and_restarts(kubectl: Kubectl) -> None:
    container = {
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
        "livenessProbe": {
            "exec": {"command": ["test", "!", "-e", "/tmp/dead"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
    }
    kubectl("apply", "-f", "-", stdin=text(pod("probed", container=container)))
    kubectl("wait", "pod/probed", "--for=jsonpath={.status.containerStatuses[0].started}=true", "--timeout=60s")
    assert kubectl("get", "pod", "probed").splitlines()[1].split()[1] == "0/1"
    kubectl("exec", "probed", "--", "touch", "/tmp/ready")
    kubectl("wait", "pod/probed", "--for=condition=Ready", "--timeout=30s")
    kubectl("exec", "probed", "--", "touch", "/tmp/dead")
    kubectl("wait", "pod/probed", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "--timeout=60s")
    assert "Liveness probe failed" in kubectl("describe", "pod", "probed")
