"""Preemption: who must go, where, and what is said when it does not help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduler import preemption
from scheduler.framework import Unschedulable
from scheduler.nodes import Nodes
from tests.scheduler.objects import columns, cycle, framework, node, pod


def decide(wanted: dict[str, Any], table: Nodes, budgets: Sequence[Any] = ()) -> tuple[str, list[str]] | str:
    """(node, victims) or the text."""
    run, attempt = framework(), cycle(wanted, table)
    before = table.requested.copy()
    try:
        run.feasible(attempt)
    except Unschedulable as error:
        found = preemption.select(run, attempt, error.diagnosis, budgets)
        assert (table.requested == before).all(), "the dry run left the columns changed"
        return found if isinstance(found, str) else (table.names[found.row], [v.name for v in found.victims])
    raise AssertionError("it fits without preemption")


def test_the_fewest_and_least_important_pods_go() -> None:
    table = columns(
        [node("a", cpu="2")],
        [
            pod("low", cpu="1", priority=1, on="a"),
            pod("lower", cpu="1", priority=0, on="a", status={"startTime": "2026-01-01T00:00:00Z"}),
        ],
    )
    assert decide(pod(cpu="1", priority=5), table) == ("a", ["lower"])
    assert decide(pod(cpu="2", priority=5), table) == ("a", ["low", "lower"])


def test_the_node_with_the_least_important_victims_is_chosen() -> None:
    table = columns(
        [node("a", cpu="1"), node("b", cpu="1")],
        [pod("x", cpu="1", priority=3, on="a"), pod("y", cpu="1", priority=2, on="b")],
    )
    assert decide(pod(cpu="1", priority=5), table) == ("b", ["y"])


def test_a_disruption_budget_is_broken_only_if_need_be() -> None:
    table = columns(
        [node("a", cpu="1"), node("b", cpu="1")],
        [
            pod("guarded", cpu="1", priority=0, labels={"app": "g"}, on="a"),
            pod("free", cpu="1", priority=1, on="b"),
        ],
    )
    budget = {
        "metadata": {"name": "g", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "g"}}},
        "status": {"disruptionsAllowed": 0},
    }
    assert decide(pod(cpu="1", priority=5), table, [budget]) == ("b", ["free"])


def test_equal_priority_is_no_victim() -> None:
    table = columns([node("a", cpu="1")], [pod(cpu="1", priority=5, on="a")])
    assert decide(pod(cpu="1", priority=5), table) == (
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_what_no_removal_can_cure() -> None:
    table = columns([node("a", cpu="1"), node("b", unschedulable=True)])
    assert decide(pod(cpu="2", priority=5), table) == (
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )


def test_policy_never() -> None:
    table = columns([node("a", cpu="1")], [pod(cpu="1", on="a")])
    assert decide(pod(cpu="1", priority=5, preemptionPolicy="Never"), table) == (
        "preemption: not eligible due to preemptionPolicy=Never."
    )
