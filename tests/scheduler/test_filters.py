"""Filters: which nodes take a pod, and the original's words when none does."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.framework import Unschedulable
from tests.scheduler.objects import Listers, columns, fitting, node, pod

NO_SCHEDULE = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


def refusal(wanted: dict[str, Any], table: Any, listers: Listers | None = None) -> str:
    with pytest.raises(Unschedulable) as caught:
        fitting(wanted, table, listers)
    return caught.value.diagnosis.message()


def test_no_nodes_at_all() -> None:
    assert refusal(pod(), columns([])) == "no nodes available to schedule pods"


def test_each_node_counts_once_with_its_first_refusal_and_reasons_are_sorted() -> None:
    table = columns([node("a", cpu="1"), node("b", taints=[NO_SCHEDULE]), node("c", unschedulable=True)])
    assert refusal(pod(cpu="2"), table) == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."
    )


def test_one_node_may_lack_several_resources() -> None:
    table = columns([node("a", cpu="1", memory="1Gi")], [pod(cpu="900m", memory="900Mi", on="a")])
    text = refusal(pod(cpu="500m", memory="500Mi"), table)
    assert text == "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."


def test_extended_resources_and_pod_count() -> None:
    table = columns([node("a", extra={"example.com/gpu": "1"})], [pod(resources={"example.com/gpu": "1"}, on="a")])
    assert refusal(pod(resources={"example.com/gpu": "1"}), table) == (
        "0/1 nodes are available: 1 Insufficient example.com/gpu."
    )
    full = columns([node("a", pods="1")], [pod(on="a")])
    assert refusal(pod(), full) == "0/1 nodes are available: 1 Too many pods."


def test_removed_pods_give_their_room_back() -> None:
    from scheduler.podinfo import PodInfo

    placed = pod(cpu="4", on="a")
    table = columns([node("a")], [placed])
    table.remove_pod(PodInfo(placed))
    assert fitting(pod(cpu="4"), table) == {"a"}


def test_a_removed_node_is_gone_and_its_row_is_reused() -> None:
    table = columns([node("a"), node("b")], [pod(cpu="4", on="a")])
    table.remove_node("a")
    table.set_node(node("c"))
    assert fitting(pod(cpu="4"), table) == {"b", "c"}
    table.set_node(node("a"))  # its pod is still there
    assert fitting(pod(cpu="4"), table) == {"b", "c"}


def test_node_name() -> None:
    assert fitting(pod(nodeName="b"), columns([node("a"), node("b")])) == {"b"}


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}, True),
        ({"key": "dedicated", "value": "web"}, False),
        ({"key": "dedicated", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], fits: bool) -> None:
    table = columns([node("a", taints=[NO_SCHEDULE]), node("b")])
    assert fitting(pod(tolerations=[toleration]), table) == ({"a", "b"} if fits else {"b"})


def test_cordoned_nodes_take_who_tolerates_it() -> None:
    table = columns([node("a", unschedulable=True), node("b")])
    tolerating = pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])
    assert fitting(pod(), table) == {"b"}
    assert fitting(tolerating, table) == {"a", "b"}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


@pytest.mark.parametrize(
    ("operator", "values", "names"),
    [
        ("In", ["ssd", "nvme"], {"a", "b"}),
        ("NotIn", ["ssd"], {"b", "c"}),
        ("Exists", [], {"a", "b"}),
        ("DoesNotExist", [], {"c"}),
    ],
)
def test_node_affinity_operators(operator: str, values: list[str], names: set[str]) -> None:
    table = columns([node("a", labels={"disk": "ssd"}), node("b", labels={"disk": "nvme"}), node("c")])
    term = {"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]}
    assert fitting(pod(affinity=required(term)), table) == names


def test_node_affinity_compares_numbers() -> None:
    table = columns(
        [node(f"n{size}", labels={"size": str(size)}) for size in (1, 5, 9)] + [node("x", labels={"size": "big"})]
    )
    greater = {"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["4"]}]}
    less = {"matchExpressions": [{"key": "size", "operator": "Lt", "values": ["4"]}]}
    assert fitting(pod(affinity=required(greater)), table) == {"n5", "n9"}
    assert fitting(pod(affinity=required(less)), table) == {"n1"}


def test_terms_are_alternatives_and_the_selector_counts_too() -> None:
    table = columns([node("a", labels={"disk": "ssd", "zone": "1"}), node("b", labels={"disk": "ssd"}), node("c")])
    by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}
    by_label = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]}
    assert fitting(pod(affinity=required(by_name, by_label)), table) == {"a", "c"}
    assert fitting(pod(nodeSelector={"disk": "ssd"}), table) == {"a", "b"}
    assert refusal(pod(nodeSelector={"disk": "tape"}), table) == (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    )


def test_labels_that_change_are_seen() -> None:
    table = columns([node("a")])
    assert "affinity/selector" in refusal(pod(nodeSelector={"disk": "ssd"}), table)
    table.set_node(node("a", labels={"disk": "ssd"}))
    assert fitting(pod(nodeSelector={"disk": "ssd"}), table) == {"a"}


def port(number: int, ip: str = "", protocol: str = "TCP") -> list[dict[str, Any]]:
    return [{"hostPort": number, "containerPort": number, "hostIP": ip, "protocol": protocol}]


def test_host_ports_conflict_by_number_protocol_and_address() -> None:
    table = columns([node("a"), node("b")], [pod(ports=port(80, "10.0.0.1"), on="a")])
    assert fitting(pod(ports=port(80)), table) == {"b"}
    assert fitting(pod(ports=port(80, "10.0.0.2")), table) == {"a", "b"}
    assert fitting(pod(ports=port(80, "10.0.0.1", "UDP")), table) == {"a", "b"}
    only = columns([node("a")], [pod(ports=port(80), on="a")])
    assert refusal(pod(ports=port(80)), only) == (
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    )


def spread(max_skew: int = 1, key: str = "zone", **more: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "maxSkew": max_skew,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
        **more,
    }


def test_spread_keeps_zones_within_the_skew() -> None:
    table = columns(
        [node("a", labels={"zone": "1"}), node("b", labels={"zone": "2"}), node("c")],
        [pod(labels={"app": "web"}, on="a"), pod(labels={"app": "other"}, on="b")],
    )
    wanted = pod(labels={"app": "web"}, topologySpreadConstraints=[spread()])
    assert fitting(wanted, table) == {"b"}
    assert fitting(pod(labels={"app": "web"}, topologySpreadConstraints=[spread(2)]), table) == {"a", "b"}
    narrow = pod(
        labels={"app": "web"}, topologySpreadConstraints=[spread()], nodeSelector={"kubernetes.io/hostname": "c"}
    )
    assert "missing required label" in refusal(narrow, columns([node("c")]))


def test_spread_min_domains_counts_missing_ones_as_empty() -> None:
    table = columns([node("a", labels={"zone": "1"})], [pod(labels={"app": "web"}, on="a")])
    wanted = pod(labels={"app": "web"}, topologySpreadConstraints=[spread(minDomains=2)])
    assert refusal(wanted, table) == (
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints."
    )


def near(app: str, key: str = "zone", **more: Any) -> list[dict[str, Any]]:
    return [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **more}]


def test_pod_affinity_and_anti_affinity() -> None:
    table = columns(
        [node("a", labels={"zone": "1"}), node("b", labels={"zone": "1"}), node("c", labels={"zone": "2"})],
        [pod(labels={"app": "db"}, on="a")],
    )
    together = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near("db")}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near("db")}}
    assert fitting(pod(affinity=together), table) == {"a", "b"}
    assert fitting(pod(affinity=apart), table) == {"c"}
    lost = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near("nobody")}}
    assert refusal(pod(affinity=lost), table) == "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."


def test_the_first_of_a_group_may_start_anywhere() -> None:
    together = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near("db")}}
    table = columns([node("a", labels={"zone": "1"})])
    assert fitting(pod(labels={"app": "db"}, affinity=together), table) == {"a"}


def test_existing_pods_keep_others_away() -> None:
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near("web")}}
    table = columns([node("a", labels={"zone": "1"})], [pod(affinity=apart, on="a")])
    assert refusal(pod(labels={"app": "web"}), table) == (
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_affinity_looks_into_the_namespaces_it_names() -> None:
    table = columns([node("a", labels={"zone": "1"}), node("b", labels={"zone": "2"})],
                    [pod(labels={"app": "db"}, namespace="data", on="a")])  # fmt: skip
    spaces = Listers(namespaces=[{"metadata": {"name": "data", "labels": {"team": "x"}}}])

    def wanted(**more: Any) -> dict[str, Any]:
        return pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near("db", **more)}})

    assert fitting(wanted(namespaces=["data"]), table, spaces) == {"a"}
    assert fitting(wanted(namespaceSelector={"matchLabels": {"team": "x"}}), table, spaces) == {"a"}
    with pytest.raises(Unschedulable):
        fitting(wanted(), table, spaces)


def claim(name: str, volume: str = "", storage_class: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"volumeName": volume, "storageClassName": storage_class},
    }


def test_claims_must_exist_be_bound_and_reachable() -> None:
    table = columns([node("a"), node("b")])
    wanted = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    assert refusal(wanted, table) == '0/2 nodes are available: persistentvolumeclaim "data" not found.'
    unbound = Listers(persistentvolumeclaims=[claim("data")])
    assert refusal(wanted, table, unbound) == (
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    )
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]}
    volume = {"metadata": {"name": "pv"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}}
    bound = Listers(persistentvolumeclaims=[claim("data", "pv")], persistentvolumes=[volume])
    assert fitting(wanted, table, bound) == {"b"}
