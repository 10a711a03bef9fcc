"""DefaultPreemption: make room for a pod by removing pods of lower priority, as few and as unimportant as possible.

select() decides, on the columns alone and leaving them as they were; scheduler.py carries the decision out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apimachinery import meta, selectors, times
from scheduler.framework import Cycle, Diagnosis, Framework
from scheduler.podinfo import PodInfo

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
# What the original's DynamicResources adds before preemption's own words, for every pod without resource claims.
NO_CLAIMS = "no new claims to deallocate"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
# The original looks at a tenth of the nodes, at least 100 (minCandidateNodesPercentage, minCandidateNodesAbsolute).
_SHARE, _AT_LEAST = 10, 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and what must go from it. violations: disruption budgets that this breaks."""

    row: int
    victims: Sequence[PodInfo]
    violations: int


def refusal(cycle: Cycle) -> str:
    """Why the pod may not preempt, "" when it may."""
    pod, nodes = cycle.pod, cycle.nodes
    if pod.spec.get("preemptionPolicy") == "Never":
        return NEVER
    nominated = (pod.obj.get("status") or {}).get("nominatedNodeName")
    row = nodes.index.get(nominated or "")
    if row is not None and any(
        other.deleting and other.priority < pod.priority and _preempted(other) for other in nodes.pods[row].values()
    ):
        return TERMINATING
    return ""


def _preempted(pod: PodInfo) -> bool:
    condition = meta.condition(pod.obj, "DisruptionTarget")
    return bool(condition and condition["status"] == "True" and condition.get("reason") == "PreemptionByScheduler")


def select(framework: Framework, cycle: Cycle, diagnosis: Diagnosis, budgets: Sequence[Any]) -> Candidate | str:
    """The node to make room on, or the text to add to the pod's message."""
    nodes = cycle.nodes
    why_not = refusal(cycle)
    if why_not:
        return f"preemption: {why_not}"
    hopeless = diagnosis.unresolvable if diagnosis.unresolvable is not None else nodes.none()
    rows = np.flatnonzero(nodes.alive & ~hopeless)
    limit = max(len(rows) * _SHARE // 100, _AT_LEAST)
    candidates = []
    reasons = {NOT_HELPFUL: nodes.count - len(rows)}
    for row in rows:
        found = _victims_on(framework, cycle, int(row), budgets)
        if isinstance(found, str):
            reasons[found] = reasons.get(found, 0) + 1
            continue
        candidates.append(found)
        if len(candidates) >= limit:
            break
    if not candidates:
        told = Diagnosis(nodes.count, reasons={text: count for text, count in reasons.items() if count})
        return f"preemption: {told.message()}"
    return min(candidates, key=_cost)


def _victims_on(framework: Framework, cycle: Cycle, row: int, budgets: Sequence[Any]) -> Candidate | str:
    """The fewest pods to remove from the node, or why that does not help."""
    nodes, pod = cycle.nodes, cycle.pod
    lower = [other for other in nodes.pods[row].values() if other.priority < pod.priority]
    if not lower:
        return NO_VICTIMS
    removed = list(lower)
    try:
        for other in lower:
            nodes.remove_pod(other)
        trial = Cycle(pod, nodes, cycle.listers)
        if not framework.fits(trial, row):
            return _reason(framework, cycle, row)
        violating, others = _split_by_budget(lower, budgets)
        victims, violations = [], 0
        for group, counts in ((violating, True), (others, False)):
            for other in sorted(group, key=_importance):
                nodes.add_pod(other)
                removed.remove(other)
                if not framework.fits(Cycle(pod, nodes, cycle.listers), row):
                    nodes.remove_pod(other)
                    removed.append(other)
                    victims.append(other)
                    violations += counts
        return Candidate(row, sorted(victims, key=_importance), violations)
    finally:
        for other in removed:
            nodes.add_pod(other)


def _reason(framework: Framework, cycle: Cycle, row: int) -> str:
    """Why the pod does not fit even with all lower pods gone: the filters' own words."""
    candidates = cycle.nodes.none()
    candidates[row] = True
    told = Diagnosis(1)
    framework.narrow(Cycle(cycle.pod, cycle.nodes, cycle.listers), candidates, cycle.nodes.none(), told)
    return next(iter(told.reasons), NOT_HELPFUL)


def _started(pod: PodInfo) -> float:
    text = (pod.obj.get("status") or {}).get("startTime")
    return times.parse_time(text) if text else float("inf")


def _importance(pod: PodInfo) -> tuple[int, float]:
    """Sort key, most important first: higher priority, then longer running."""
    return (-pod.priority, _started(pod))


def _split_by_budget(pods: Sequence[PodInfo], budgets: Sequence[Any]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Pods whose removal breaks a disruption budget, and the others; each budget allows what its status says."""
    left = {meta.key(b): int((b.get("status") or {}).get("disruptionsAllowed") or 0) for b in budgets}
    violating: list[PodInfo] = []
    others: list[PodInfo] = []
    for pod in sorted(pods, key=_importance):
        broken = False
        for budget in budgets:
            if meta.namespace(budget) != pod.namespace or not pod.labels:
                continue
            selector = selectors.from_object((budget.get("spec") or {}).get("selector"))
            if selector.empty or not selector.matches(pod.labels):
                continue
            if pod.name in ((budget.get("status") or {}).get("disruptedPods") or {}):
                continue
            left[meta.key(budget)] -= 1
            broken = broken or left[meta.key(budget)] < 0
        (violating if broken else others).append(pod)
    return violating, others


def _cost(candidate: Candidate) -> tuple[int, int, int, int, float]:
    """Fewest budget violations, lowest highest priority, lowest sum of priorities, fewest victims, latest start."""
    victims = candidate.victims
    if not victims:
        return (candidate.violations, -(2**31), 0, 0, 0.0)
    top = victims[0].priority
    earliest = min(_started(pod) for pod in victims if pod.priority == top)
    return (candidate.violations, top, sum(pod.priority + 2**31 for pod in victims), len(victims), -earliest)
