"""What a scheduling plugin is, and the runner that asks them all (the original's scheduling framework, over vectors).

    class Plugin:
        name = "NodeName"
        weight = 1                                       of its score
        events = frozenset({"node-added", ...})          changes that may make a pod schedulable which it refused
        def pre_filter(self, cycle) -> PreFilter | None   look at the pod; refuse it everywhere, or limit the nodes
        def filter(self, cycle, rows) -> list[Refusal]    which of the candidate rows cannot take the pod, and why
        def score(self, cycle, rows) -> Scores            0..100 for each of the feasible rows
        async def reserve / unreserve / permit / pre_bind / bind
        def post_filter(self, cycle, diagnosis) -> PostFilter
A plugin implements what it needs; the runner finds out at start. All but the async ones are pure: no I/O, nothing kept
but what is on `cycle.state` for the length of one cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.nodes import Mask, Nodes
from scheduler.podinfo import PodInfo

Rows = NDArray[np.int64]
Scores = NDArray[np.float64]
MAX_SCORE = 100.0


class Listers(Protocol):
    """What plugins may look up beside nodes and pods; informers behind it."""

    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        """Labels by namespace."""

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """An object of one of the watched kinds ("persistentvolumeclaims", ...)."""

    def list(self, kind: str, namespace: str) -> Sequence[dict[str, Any]]:
        """Objects of a watched kind in a namespace ("" for all)."""


@dataclass(slots=True)
class Cycle:
    """One attempt to place one pod. state: what plugins keep between their own steps, by plugin name."""

    pod: PodInfo
    nodes: Nodes
    listers: Listers
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreFilter:
    """reason: why the pod fits nowhere, "" when it may. rows: the only nodes to look at, None for all."""

    reason: str = ""
    rows: Mask | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rows that one rule refuses. resolvable: whether removing pods from the node could help."""

    mask: Mask
    reason: str
    resolvable: bool = True


@dataclass(slots=True)
class Diagnosis:
    """Why a pod fits nowhere. reasons: how many nodes for each reason. unresolvable: rows that preemption cannot help."""

    nodes: int
    pre_filter: str = ""
    reasons: dict[str, int] = field(default_factory=dict)
    unresolvable: Mask | None = None
    plugins: set[str] = field(default_factory=set)
    post_filter: str = ""

    def message(self) -> str:
        """The text of the FailedScheduling event and the PodScheduled condition, as FitError words it."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        text = f"0/{self.nodes} nodes are available:"
        if self.pre_filter:
            text += f" {self.pre_filter}."
        elif self.reasons:
            text += " " + ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items())) + "."
        return f"{text} {self.post_filter}" if self.post_filter else text


class Unschedulable(Exception):
    """No node takes the pod; the diagnosis says why."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.message())
        self.diagnosis = diagnosis


def normalise(scores: Scores, *, reverse: bool = False) -> Scores:
    """Scale to 0..100 by the greatest, as DefaultNormalizeScore does (integers, rounded down)."""
    top = scores.max(initial=0.0)
    if top == 0:
        return np.full_like(scores, MAX_SCORE) if reverse else scores
    scaled: Scores = np.floor(scores * MAX_SCORE / top)
    return MAX_SCORE - scaled if reverse else scaled


class Framework:
    """Runs a profile's plugins."""

    def __init__(self, plugins: Sequence[Any]) -> None:
        self.plugins = plugins
        self._pre_filters = [p for p in plugins if hasattr(p, "pre_filter")]
        self._filters = [p for p in plugins if hasattr(p, "filter")]
        self._scorers = [p for p in plugins if hasattr(p, "score")]
        self.post_filters = [p for p in plugins if hasattr(p, "post_filter")]
        self.reservers = [p for p in plugins if hasattr(p, "reserve")]
        self.permitters = [p for p in plugins if hasattr(p, "permit")]
        self.pre_binders = [p for p in plugins if hasattr(p, "pre_bind")]
        self.binders = [p for p in plugins if hasattr(p, "bind")]
        self.events = {p.name: frozenset(getattr(p, "events", ())) for p in plugins}

    def feasible(self, cycle: Cycle) -> Rows:
        """The rows that every plugin lets through. Raises Unschedulable when there is none."""
        nodes = cycle.nodes
        diagnosis = Diagnosis(nodes.count)
        if not nodes.count:
            raise Unschedulable(diagnosis)
        candidates = nodes.alive.copy()
        for plugin in self._pre_filters:
            found: PreFilter | None = plugin.pre_filter(cycle)
            if found is None:
                continue
            if found.rows is not None:
                candidates &= found.rows
            if found.reason or not candidates.any():
                diagnosis.pre_filter = found.reason
                diagnosis.unresolvable = nodes.alive.copy()
                diagnosis.plugins = {plugin.name}
                if not found.reason:
                    break
                raise Unschedulable(diagnosis)
        unresolvable = nodes.alive & ~candidates
        self.narrow(cycle, candidates, unresolvable, diagnosis)
        rows: Rows = np.flatnonzero(candidates)
        if not len(rows):
            diagnosis.unresolvable = unresolvable
            raise Unschedulable(diagnosis)
        return rows

    def narrow(self, cycle: Cycle, candidates: Mask, unresolvable: Mask, diagnosis: Diagnosis) -> None:
        """Take refused rows out of the candidates; a row counts for the first plugin that refuses it."""
        for plugin in self._filters:
            if not candidates.any():
                return
            refused = np.zeros_like(candidates)
            for refusal in plugin.filter(cycle, candidates):
                hit = refusal.mask & candidates
                count = int(hit.sum())
                if not count:
                    continue
                diagnosis.reasons[refusal.reason] = diagnosis.reasons.get(refusal.reason, 0) + count
                diagnosis.plugins.add(plugin.name)
                refused |= hit
                if not refusal.resolvable:
                    unresolvable |= hit
            candidates &= ~refused

    def fits(self, cycle: Cycle, row: int) -> bool:
        """Whether every filter lets this row through as the nodes are now; used by preemption's dry run."""
        candidates = cycle.nodes.none()
        candidates[row] = True
        for plugin in self._pre_filters:
            found: PreFilter | None = plugin.pre_filter(cycle)
            if found is not None and (found.reason or (found.rows is not None and not found.rows[row])):
                return False
        self.narrow(cycle, candidates, cycle.nodes.none(), Diagnosis(1))
        return bool(candidates[row])

    def best(self, cycle: Cycle, rows: Rows, rng: np.random.Generator) -> int:
        """The row with the highest total score; chance decides among equals."""
        if len(rows) == 1:
            return int(rows[0])
        total = np.zeros(len(rows))
        for plugin in self._scorers:
            scores: Scores | None = plugin.score(cycle, rows)
            if scores is not None:
                total += scores * getattr(plugin, "weight", 1)
        winners = np.flatnonzero(total == total.max())
        return int(rows[winners[rng.integers(len(winners))]])
