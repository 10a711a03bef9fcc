"""The controllers in a whole cluster, with the real API server, its RBAC and stock kubectl; pods are simulated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.nodeagent.test_agent import wait
from tests.support import machine
from tests.support.cluster import Cluster, running

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(machine.kubectl() is None, reason="needs kubectl")]

Obj = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("controllers") / "d", "--runtime=simulated") as made:
        wait(lambda: made.out("get", "serviceaccount", "default", check=False))
        yield made


def pod_template(labels: dict[str, str] | None = None, **wishes: str) -> Obj:
    annotations = {f"simulated.steersman.io/{name.replace('_', '-')}": value for name, value in wishes.items()}
    spec = {"containers": [{"name": "c", "image": "x:1"}], "terminationGracePeriodSeconds": 1}
    return {"metadata": {"labels": labels or {}, "annotations": annotations}, "spec": spec}


def job(name: str, *, wishes: dict[str, str] | None = None, **spec: Any) -> str:
    template = pod_template(None, **(wishes or {"run_for": "100ms"}))
    template["spec"]["restartPolicy"] = "Never"
    described = {"template": template, **spec}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": described})


def ended(cluster: Cluster, name: str) -> tuple[str, str]:
    """(type, reason) of a Job's final condition, once it has one."""

    def final() -> tuple[str, str] | None:
        conditions = cluster.get("job", name)["status"].get("conditions") or ()
        return next(((c["type"], c["reason"]) for c in conditions if c["type"] in ("Complete", "Failed")), None)

    return wait(final)  # type: ignore[no-any-return]


def test_every_way_for_a_job_to_end(cluster: Cluster) -> None:
    failing = {"run_for": "100ms", "exit_code": "42"}
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    rules = [{"succeededIndexes": "0", "succeededCount": 1}]
    cluster.apply(job("plain", completions=3, parallelism=2))
    cluster.apply(job("limit", wishes=failing, backoffLimit=0))
    cluster.apply(job("policy", wishes=failing, podFailurePolicy={"rules": [rule]}))
    cluster.apply(job("late", wishes={"run_for": "100s"}, activeDeadlineSeconds=1))
    indexed: Obj = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
    cluster.apply(job("indexes", wishes=failing, backoffLimitPerIndex=0, **indexed))
    cluster.apply(job("early", **{**indexed, "parallelism": 1}, successPolicy={"rules": rules}))
    cluster.apply(job("brief", ttlSecondsAfterFinished=0))
    assert ended(cluster, "plain") == ("Complete", "CompletionsReached")
    assert ended(cluster, "limit") == ("Failed", "BackoffLimitExceeded")
    assert ended(cluster, "policy") == ("Failed", "PodFailurePolicy")
    assert ended(cluster, "late") == ("Failed", "DeadlineExceeded")
    assert ended(cluster, "indexes") == ("Failed", "FailedIndexes")
    assert ended(cluster, "early") == ("Complete", "SuccessPolicy")
    wait(lambda: "NotFound" in cluster.kubectl("get", "job", "brief", check=False).stderr)
    held = [pod for pod in cluster.get("pods")["items"] if pod["metadata"].get("finalizers")]
    assert held == []
    cluster.out("delete", "jobs", "--all")
    wait(lambda: not cluster.get("pods")["items"])


def test_sets_roll_over_and_back(cluster: Cluster) -> None:
    labels = {"app": "set"}
    common = {"selector": {"matchLabels": labels}, "template": pod_template(labels)}
    for kind, extra in (("StatefulSet", {"replicas": 2, "serviceName": "s"}), ("DaemonSet", {})):
        name = kind.lower()
        own = {"app": name}
        spec = {**common, "selector": {"matchLabels": own}, "template": pod_template(own), **extra}
        cluster.apply(json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}))
        cluster.out("rollout", "status", f"{name}/{name}", "--timeout=30s")
        cluster.out("set", "image", f"{name}/{name}", "c=x:2")
        cluster.out("rollout", "status", f"{name}/{name}", "--timeout=30s")
        cluster.out("rollout", "undo", f"{name}/{name}")
        cluster.out("rollout", "status", f"{name}/{name}", "--timeout=30s")
        pods = cluster.get("pods", "-l", f"app={name}")["items"]
        assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"x:1"}
        cluster.out("delete", f"{name}/{name}")
    wait(lambda: not cluster.get("pods")["items"])


def test_deletion_in_its_three_ways(cluster: Cluster) -> None:
    cluster.out("create", "deployment", "gone", "--image=x:1", "--replicas=2")
    cluster.out("rollout", "status", "deployment/gone", "--timeout=30s")
    cluster.out("delete", "deployment/gone", "--cascade=foreground", "--timeout=30s")
    assert cluster.get("replicasets", "-l", "app=gone")["items"] == []
    cluster.out("create", "deployment", "left", "--image=x:1")
    cluster.out("rollout", "status", "deployment/left", "--timeout=30s")
    cluster.out("delete", "deployment/left", "--cascade=orphan")
    (kept,) = wait(lambda: cluster.get("replicasets", "-l", "app=left")["items"])
    assert not kept["metadata"].get("ownerReferences")
    cluster.out("delete", "replicaset", kept["metadata"]["name"])
    wait(lambda: not cluster.get("pods")["items"])


def test_custom_resources_own_and_are_owned(cluster: Cluster) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    spec = {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [version]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": spec,
    }
    cluster.apply(json.dumps(definition))
    cluster.out("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")
    widget: Obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "owner"}}
    wait(lambda: cluster.kubectl("create", "-f", "-", stdin=json.dumps(widget), check=False).returncode == 0)
    owner = cluster.get("widget", "owner")["metadata"]
    reference = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": owner["uid"]}
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "child", "ownerReferences": [reference]}}
    cluster.apply(json.dumps(child))
    cluster.out("delete", "widget", "owner")
    wait(lambda: "NotFound" in cluster.kubectl("get", "configmap", "child", check=False).stderr)
    cluster.out("delete", "crd", "widgets.example.com", "--timeout=20s")


def test_a_namespace_goes_with_all_that_is_in_it(cluster: Cluster) -> None:
    cluster.out("create", "namespace", "full")
    cluster.out("-n", "full", "create", "deployment", "d", "--image=x:1", "--replicas=2")
    cluster.out("-n", "full", "create", "configmap", "held")
    cluster.out("-n", "full", "create", "quota", "q", "--hard=pods=9")
    hold = json.dumps({"metadata": {"finalizers": ["example.com/hold"]}})
    cluster.out("-n", "full", "patch", "configmap", "held", "-p", hold)
    cluster.out("-n", "full", "rollout", "status", "deployment/d", "--timeout=30s")
    cluster.out("delete", "namespace", "full", "--wait=false")

    def told() -> str:
        conditions = cluster.get("namespace", "full")["status"].get("conditions") or ()
        return next((c["message"] for c in conditions if c["type"] == "NamespaceFinalizersRemaining"), "")

    wait(lambda: told() == "Some finalizers are remaining: example.com/hold in 1 resource instances")
    cluster.out("-n", "full", "patch", "configmap", "held", "-p", json.dumps({"metadata": {"finalizers": None}}))
    wait(lambda: "NotFound" in cluster.kubectl("get", "namespace", "full", check=False).stderr)


def test_a_disruption_budget_stops_a_drain(cluster: Cluster) -> None:
    name = cluster.get("nodes")["items"][0]["metadata"]["name"]
    cluster.out("create", "deployment", "web", "--image=x:1", "--replicas=2")
    cluster.out("rollout", "status", "deployment/web", "--timeout=30s")
    cluster.out("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=2")
    wait(lambda: cluster.get("pdb", "web")["status"].get("currentHealthy") == 2)
    refused = cluster.kubectl("drain", name, "--ignore-daemonsets", "--timeout=2s", check=False)
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.stderr + refused.stdout
    cluster.out("delete", "pdb", "web")
    cluster.out("drain", name, "--ignore-daemonsets", "--timeout=20s")
    wait(lambda: all(not pod["spec"].get("nodeName") for pod in cluster.get("pods")["items"]))
    cluster.out("uncordon", name)
    cluster.out("rollout", "status", "deployment/web", "--timeout=30s")
    cluster.out("delete", "deployment/web")
