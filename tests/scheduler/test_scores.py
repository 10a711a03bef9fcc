"""Scores: which of the nodes that fit is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.scheduler.objects import Listers, columns, cycle, framework, node, pod


def chosen(wanted: dict[str, Any], table: Any, listers: Listers | None = None) -> set[str]:
    """The nodes that may be chosen, chance included."""
    run, names = framework(), set()
    for seed in range(8):
        attempt = cycle(wanted, table, listers)
        names.add(table.names[run.best(attempt, run.feasible(attempt), np.random.default_rng(seed))])
    return names


def test_the_emptier_node_wins_and_equals_are_left_to_chance() -> None:
    assert chosen(pod(cpu="1"), columns([node("a"), node("b")], [pod(cpu="3", memory="6Gi", on="a")])) == {"b"}
    assert chosen(pod(cpu="1"), columns([node("a"), node("b")])) == {"a", "b"}


def test_pods_without_requests_spread_too() -> None:
    assert chosen(pod(), columns([node("a"), node("b")], [pod(on="a") for _ in range(4)])) == {"b"}


def test_preferred_node_affinity_and_prefer_no_schedule() -> None:
    preference = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    term = [{"weight": 10, "preference": preference}]
    wanted = pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": term}})
    assert chosen(wanted, columns([node("a", labels={"disk": "ssd"}), node("b")])) == {"a"}
    soft = {"key": "busy", "value": "", "effect": "PreferNoSchedule"}
    assert chosen(pod(), columns([node("a", taints=[soft]), node("b")])) == {"b"}


def test_images_that_are_there_attract() -> None:
    image = {"names": ["app:1"], "sizeBytes": 900 * 1024 * 1024}
    assert chosen(pod(image="app:1"), columns([node("a", images=[image]), node("b")])) == {"a"}


def test_soft_spread_and_the_default_spread_of_a_replicaset() -> None:
    zones = [node("a", labels={"zone": "1"}), node("b", labels={"zone": "2"})]
    soft = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    big = [pod(labels={"app": "web"}, on="a") for _ in range(3)]
    assert chosen(pod(labels={"app": "web"}, topologySpreadConstraints=[soft]), columns(zones, big)) == {"b"}
    owner = {"kind": "ReplicaSet", "name": "rs", "uid": "1", "apiVersion": "apps/v1"}
    replica_set = {
        "metadata": {"name": "rs", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
    }
    listers = Listers(replicasets=[replica_set])
    # Node a has more room, but also the siblings.
    table = columns([node("a", cpu="64", memory="128Gi"), node("b")], big)
    assert chosen(pod(labels={"app": "web"}, owner=owner), table, listers) == {"b"}


def test_preferred_pod_affinity_pulls_and_anti_affinity_pushes() -> None:
    table = columns([node("a"), node("b")], [pod(labels={"app": "db"}, on="a")])
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    entry = [{"weight": 100, "podAffinityTerm": term}]
    near = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": entry}}
    apart = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": entry}}
    assert chosen(pod(affinity=near), table) == {"a"}
    assert chosen(pod(affinity=apart), table) == {"b"}
