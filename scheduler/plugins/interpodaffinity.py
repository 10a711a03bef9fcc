"""InterPodAffinity: pods that want to be near, or not near, other pods, both their own terms and those of pods already placed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from scheduler.framework import MAX_SCORE, Cycle, Refusal, Rows, Scores
from scheduler.nodes import ABSENT, Mask, Nodes
from scheduler.podinfo import AffinityTerm, PodInfo

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
HARD_WEIGHT = 1  # what an existing pod's required affinity counts in scoring (hardPodAffinityWeight)

NamespaceLabels = Mapping[str, Mapping[str, str]]


class InterPodAffinity:
    name = "InterPodAffinity"
    weight = 2
    events = frozenset(
        {"node-added", "node-labels", "assigned-pod-added", "assigned-pod-deleted", "assigned-pod-labels", "pod-changed",
         "namespace"}
    )  # fmt: skip

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        pod, nodes = cycle.pod, cycle.nodes
        labels = cycle.listers.namespace_labels()
        refusals = []
        if pod.required_affinity:
            refusals.append(Refusal(rows & ~self._near(cycle, labels), AFFINITY, resolvable=False))
        apart = nodes.none()
        for term in pod.required_anti_affinity:
            apart |= self._domains(nodes, term.topology_key, self._rows_matching(cycle, (term,), labels))
        if apart.any():
            refusals.append(Refusal(rows & apart, ANTI_AFFINITY))
        kept_away = nodes.none()
        for other, row in nodes.with_affinity.values():
            for term in other.required_anti_affinity:
                if term.matches(pod, labels):
                    kept_away |= self._domains(nodes, term.topology_key, (row,))
        if kept_away.any():
            refusals.append(Refusal(rows & kept_away, EXISTING))
        return refusals

    def score(self, cycle: Cycle, rows: Rows) -> Scores | None:
        pod, nodes = cycle.pod, cycle.nodes
        labels = cycle.listers.namespace_labels()
        total = np.zeros(nodes.rows)
        for terms, sign in ((pod.preferred_affinity, 1), (pod.preferred_anti_affinity, -1)):
            for term in terms:
                for row in self._rows_matching(cycle, (term,), labels):
                    self._add(nodes, total, term.topology_key, row, sign * term.weight)
        for other, row in nodes.with_affinity.values():
            for terms, factor in (
                (other.required_affinity, HARD_WEIGHT),
                (other.preferred_affinity, 1),
                (other.preferred_anti_affinity, -1),
            ):
                for term in terms:
                    if term.matches(pod, labels):
                        self._add(nodes, total, term.topology_key, row, factor * (term.weight or 1))
        scores = total[rows]
        low, high = scores.min(), scores.max()
        if not total.any():
            return None
        return np.zeros(len(rows)) if high == low else np.floor(MAX_SCORE * (scores - low) / (high - low))

    def _near(self, cycle: Cycle, labels: NamespaceLabels) -> Mask:
        """Rows where all required affinity terms hold, each by a pod that matches all of them."""
        pod, nodes = cycle.pod, cycle.nodes
        terms = pod.required_affinity
        mask = nodes.alive.copy()
        for term in terms:
            mask &= nodes.label(term.topology_key).codes != ABSENT
        matching = self._rows_matching(cycle, terms, labels)
        if not matching and all(term.matches(pod, labels) for term in terms):
            return mask  # the first of a group that wants to be together may start anywhere
        for term in terms:
            mask &= self._domains(nodes, term.topology_key, matching)
        return mask

    @staticmethod
    def _rows_matching(cycle: Cycle, terms: Sequence[AffinityTerm], labels: NamespaceLabels) -> list[int]:
        """Rows of pods that match all the terms, a row for each pod."""
        nodes = cycle.nodes
        groups: Iterable[Mapping[str, tuple[PodInfo, int]]]
        if all(term.namespace_selector is None for term in terms):
            shared = frozenset.intersection(*(term.namespaces for term in terms))
            groups = [nodes.by_namespace.get(namespace) or {} for namespace in shared]
        else:
            groups = list(nodes.by_namespace.values())
        return [
            row for group in groups for pod, row in group.values() if all(term.matches(pod, labels) for term in terms)
        ]

    @staticmethod
    def _domains(nodes: Nodes, key: str, rows: Iterable[int]) -> Mask:
        """All rows with the same value of the label as one of these."""
        codes = nodes.label(key).codes
        wanted = {int(codes[row]) for row in rows} - {ABSENT}
        return np.isin(codes, list(wanted)) if wanted else nodes.none()

    @staticmethod
    def _add(nodes: Nodes, total: Scores, key: str, row: int, weight: int) -> None:
        codes = nodes.label(key).codes
        if codes[row] != ABSENT:
            total[codes == codes[row]] += weight
