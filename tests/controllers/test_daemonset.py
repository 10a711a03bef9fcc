from typing import Any

from apimachinery import meta
from client.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from controllers import daemonset
from controllers.daemonset import DaemonSetController
from tests.controllers.harness import Harness, template

Obj = dict[str, Any]
NOW = 1_000_000.0


def daemon_set(image: str = "one", **spec: Any) -> Obj:
    described = {"selector": {"matchLabels": {"app": "a"}}, "template": template("a", image), **spec}
    return {"metadata": {"name": "d", "namespace": "default", "uid": "d"}, "spec": described}


def node(name: str, *taints: Obj, **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


def pod(name: str, on: str, digest: str = "old", ready: bool = True, phase: str = "Running", **metadata: Any) -> Obj:
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "1970-01-01T00:00:00Z"}
    ]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {daemonset.HASH: digest}, **metadata},
        "spec": {"nodeName": on},
        "status": {"phase": phase, "conditions": conditions},
    }


def names(pods: list[Obj]) -> list[str]:
    return [meta.name(entry) for entry in pods]


def test_a_pod_is_bound_to_its_node_and_tolerates_node_trouble() -> None:
    described = daemonset.daemon_pod(daemon_set(), "n1", "digest")
    assert daemonset.target_node(described) == "n1"
    assert described["metadata"]["labels"][daemonset.HASH] == "digest"
    keys = {toleration["key"] for toleration in described["spec"]["tolerations"]}
    assert "node.kubernetes.io/unschedulable" in keys
    assert "node.kubernetes.io/network-unavailable" not in keys


def test_where_pods_belong() -> None:
    cordoned = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    dedicated = {"key": "dedicated", "effect": "NoSchedule"}
    trial = daemonset.daemon_pod(daemon_set(), None, "")
    assert daemonset.may_run(trial, node("n", cordoned)) == (True, True)
    assert daemonset.may_run(trial, node("n", dedicated)) == (False, True)
    assert daemonset.may_run(trial, node("n", {**dedicated, "effect": "NoExecute"})) == (False, False)


def test_placement() -> None:
    by_node = {
        "has": [pod("a", "has")],
        "twice": [pod("b", "twice", ready=False), pod("c", "twice")],
        "not": [pod("d", "not")],
        "ended": [pod("e", "ended", phase="Failed")],
    }
    taint = {"key": "x", "effect": "NoExecute"}
    everyone = [node("has"), node("lacks"), node("twice"), node("not", taint), node("ended")]
    plan = daemonset.plan_placement(daemon_set(), everyone, by_node, "new", NOW)
    assert plan.create == ["lacks"]
    assert names(plan.delete) == ["b", "d"]
    assert [name for name, _ in plan.failed] == ["ended"]


def test_a_rolling_update_takes_down_no_more_than_allowed() -> None:
    everyone = [node(name) for name in "abcd"]
    by_node = {name: [pod(f"p{name}", name)] for name in "abcd"}
    plan = daemonset.plan_update(daemon_set(), everyone, by_node, "new", NOW)
    assert len(plan.delete) == 1
    by_node["a"] = [pod("pa", "a", "new", ready=False)]
    assert daemonset.plan_update(daemon_set(), everyone, by_node, "new", NOW).delete == []
    by_node["a"] = [pod("pa", "a", "new")]
    by_node["b"] = [pod("pb", "b", ready=False)]
    assert names(daemonset.plan_update(daemon_set(), everyone, by_node, "new", NOW).delete) == ["pb"]


def test_surging_creates_first() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    surging = daemon_set(updateStrategy=strategy)
    everyone = [node("a"), node("b")]
    by_node = {"a": [pod("pa", "a")], "b": [pod("pb", "b")]}
    plan = daemonset.plan_update(surging, everyone, by_node, "new", NOW)
    assert (plan.create, plan.delete) == (["a"], [])
    by_node["a"].append(pod("qa", "a", "new"))
    plan = daemonset.plan_update(surging, everyone, by_node, "new", NOW)
    assert (plan.create, names(plan.delete)) == (["b"], ["pa"])


async def test_follows_nodes_and_rolls_over(harness: Harness) -> None:
    harness.start(DaemonSetController)
    harness.api.put(NODES, node("n1"))
    await harness.client.create(DAEMON_SETS, daemon_set())
    await harness.until(lambda: harness.status(DAEMON_SETS, "d").get("numberAvailable") == 1)
    harness.api.put(NODES, node("n2"))
    await harness.until(lambda: harness.status(DAEMON_SETS, "d").get("numberAvailable") == 2)
    assert {daemonset.target_node(entry) for entry in harness.all(PODS)} == {"n1", "n2"}
    await harness.client.patch(DAEMON_SETS, "d", {"spec": {"template": template("a", "two")}}, "default")

    def rolled() -> bool:
        images = {entry["spec"]["containers"][0]["image"] for entry in harness.all(PODS)}
        return images == {"two"} and harness.status(DAEMON_SETS, "d").get("updatedNumberScheduled") == 2

    await harness.until(rolled)
    assert sorted(entry["revision"] for entry in harness.all(CONTROLLER_REVISIONS)) == [1, 2]
    harness.api.remove(NODES, "n2")
    await harness.until(lambda: harness.status(DAEMON_SETS, "d")["desiredNumberScheduled"] == 1)
