"""The API through stock kubectl: apply, explain, permissions, custom resources, nodes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.manifests import deployment, pod, text
from tests.support import machine
from tests.support.cluster import Cluster

Kubectl = Callable[..., str]


def test_server_side_apply_tells_conflicts(kubectl: Kubectl) -> None:
    def settings(colour: str) -> str:
        return text({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"colour": colour}})

    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=settings("red"))
    refused = kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=settings("blue"), check=False)
    assert 'Apply failed with 1 conflict: conflict with "one": .data.colour' in refused
    kubectl("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-", stdin=settings("blue"))
    assert kubectl("get", "configmap", "c", "-o", "jsonpath={.data.colour}") == "blue"


def test_client_side_apply_removes_what_the_manifest_no_longer_has(kubectl: Kubectl) -> None:
    base = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    kubectl("apply", "-f", "-", stdin=json.dumps({**base, "data": {"a": "1", "b": "2"}}))
    kubectl("apply", "-f", "-", stdin=json.dumps({**base, "data": {"a": "1"}}))
    assert json.loads(kubectl("get", "configmap", "c", "-o", "json"))["data"] == {"a": "1"}
    assert '"a": "1"' in kubectl("apply", "view-last-applied", "configmap", "c", "-o", "json")


def test_explain(cluster: Cluster) -> None:
    told = cluster.out("explain", "deployment.spec.strategy")
    assert "FIELD: strategy <DeploymentStrategy>" in told
    assert "rollingUpdate\t<RollingUpdateDeployment>" in told
    assert "podIP" in cluster.out("explain", "pod.status", "--recursive")


def test_a_user_with_a_role_sees_only_what_it_may(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    kubectl("create", "rolebinding", "jane", "--role=reader", "--user=jane")
    assert kubectl("auth", "can-i", "list", "configmaps", "--as=jane").strip() == "yes"
    assert kubectl("auth", "can-i", "delete", "configmaps", "--as=jane", check=False).startswith("no")
    assert kubectl("auth", "can-i", "*", "*").strip() == "yes"
    kubectl("get", "configmaps", "--as=jane")
    refused = kubectl("get", "secrets", "--as=jane", check=False)
    assert (
        'secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" '
        f'in the namespace "{namespace}"'
    ) in refused
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "rolebinding", "robot", "--role=reader", f"--serviceaccount={namespace}:robot")
    token = kubectl("create", "token", "robot").strip()
    server = json.loads(cluster.out("config", "view", "--minify", "-o", "json"))["clusters"][0]["cluster"]["server"]

    def as_robot(*arguments: str) -> subprocess.CompletedProcess[str]:
        base = [cluster.kubectl_path, f"--server={server}", f"--token={token}", "-n", namespace]
        command = [*base, f"--certificate-authority={cluster.data_dir}/pki/ca.crt", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)})

    assert as_robot("get", "configmaps").returncode == 0
    assert "system:serviceaccount" in as_robot("get", "pods").stderr


CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.sea.example.com"},
    "spec": {
        "group": "sea.example.com",
        "scope": "Namespaced",
        "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "shortNames": ["bt"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "additionalPrinterColumns": [{"name": "Crew", "type": "integer", "jsonPath": ".spec.crew"}],
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew"},
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["crew"],
                                "properties": {
                                    "crew": {"type": "integer", "minimum": 1, "description": "Hands on deck."}
                                },
                            },
                            "status": {"type": "object", "properties": {"crew": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def boats(cluster: Cluster) -> str:
    cluster.apply(json.dumps(CRD))
    cluster.out("wait", "crd/boats.sea.example.com", "--for=condition=Established", "--timeout=30s")
    return "boats"


def test_a_custom_resource_is_like_any_other(kubectl: Kubectl, boats: str) -> None:
    boat = {
        "apiVersion": "sea.example.com/v1",
        "kind": "Boat",
        "metadata": {"name": "argo"},
        "spec": {"crew": 50, "x": 1},
    }
    refused = kubectl("apply", "-f", "-", stdin=json.dumps(boat), check=False)
    assert 'unknown field "spec.x"' in refused
    kubectl("apply", "--validate=ignore", "-f", "-", stdin=json.dumps(boat))
    assert json.loads(kubectl("get", "bt", "argo", "-o", "json"))["spec"] == {"crew": 50}
    table = kubectl("get", "boats")
    assert table.split()[:3] == ["NAME", "CREW", "argo"]
    assert "Hands on deck." in kubectl("explain", "boat.spec.crew")
    kubectl("scale", "boat/argo", "--replicas=3")
    assert kubectl("get", "boat", "argo", "-o", "jsonpath={.spec.crew}") == "3"
    bad = {**boat, "metadata": {"name": "b"}, "spec": {"crew": 0}}
    assert "spec.crew in body should be greater than or equal to 1" in kubectl(
        "apply", "-f", "-", stdin=json.dumps(bad), check=False
    )
    kubectl("delete", "boat", "argo")


def test_cordon_drain_uncordon(cluster: Cluster, kubectl: Kubectl) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    kubectl("apply", "-f", "-", stdin=text(deployment("web")))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    try:
        assert "cordoned" in kubectl("cordon", node)
        assert "SchedulingDisabled" in kubectl("get", "nodes")
        told = kubectl("drain", node, "--pod-selector=app=web", "--ignore-daemonsets", "--timeout=60s")
        assert "evicting pod" in told
        kubectl("wait", "pod", "-l", "app=web", "--for=condition=PodScheduled=false", "--timeout=30s")
    finally:
        kubectl("uncordon", node)
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_wait_and_events(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(pod("one")))
    assert "condition met" in kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
    reasons = [line.split()[2] for line in kubectl("events", "--for", "pod/one").splitlines()[1:]]
    assert sorted(reasons) == ["Created", "Pulled", "Scheduled", "Started"]
    assert "timed out" in kubectl("wait", "pod/one", "--for=delete", "--timeout=1s", check=False)


@pytest.mark.parametrize("version", list(machine.kubectls()))
def test_every_kubectl_can_do_the_basics(cluster: Cluster, namespace: str, version: str) -> None:
    binary = machine.kubectls()[version]

    def run(*arguments: str, stdin: str | None = None) -> str:
        return cluster.kubectl("-n", namespace, *arguments, stdin=stdin, binary=binary).stdout

    run("create", "configmap", "c", "--from-literal=a=b")
    run("apply", "-f", "-", stdin=text(deployment("web")))
    run("apply", "-f", "-", stdin=text(deployment("web", replicas=2)))
    run("rollout", "status", "deployment/web", "--timeout=60s")
    assert "2/2" in run("get", "deployments")
    assert "Replicas:" in run("describe", "deployment", "web")
    run("annotate", "deployment", "web", "note=x")
    assert "yes" in run("auth", "can-i", "create", "pods")
    assert "deployments" in run("api-resources")
    run("delete", "deployment", "web", "--timeout=60s")
