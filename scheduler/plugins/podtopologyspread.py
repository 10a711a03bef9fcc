"""PodTopologySpread: matching pods are to be spread evenly over the values of a node label.

Required constraints (DoNotSchedule) filter; soft ones (ScheduleAnyway), and the system's defaults for pods that have none,
score. Matching pods are counted per node once and summed per topology value by vector operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apimachinery import meta, selectors
from apimachinery.nodes import untolerated
from apimachinery.selectors import LabelSelector
from scheduler.framework import MAX_SCORE, Cycle, Refusal, Rows, Scores
from scheduler.nodes import ABSENT, Ints, Mask
from scheduler.plugins import nodeaffinity
from scheduler.podinfo import merged_selector

REASON = "node(s) didn't match pod topology spread constraints"
REASON_LABEL = REASON + " (missing required label)"
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Constraint:
    max_skew: int
    key: str
    selector: LabelSelector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


# What spreads pods of a workload that say nothing themselves (systemDefaultConstraints): hosts, then zones.
_DEFAULTS = ((3, HOSTNAME), (5, ZONE))


class PodTopologySpread:
    name = "PodTopologySpread"
    weight = 2
    events = frozenset(
        {"node-added", "node-labels", "node-taints", "node-deleted", "assigned-pod-added", "assigned-pod-deleted",
         "assigned-pod-labels", "pod-changed"}
    )  # fmt: skip

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        constraints = self._constraints(cycle, "DoNotSchedule")
        if not constraints:
            return []
        nodes = cycle.nodes
        labelled = nodes.alive.copy()
        for constraint in constraints:
            labelled &= nodes.label(constraint.key).codes != ABSENT
        refusals = [Refusal(rows & ~labelled, REASON_LABEL, resolvable=False)]
        for constraint in constraints:
            counted = self._eligible(cycle, constraint) & labelled
            sums, present = self._sums(cycle, constraint, counted)
            least = int(sums[present].min()) if present.any() else 0
            if int(present.sum()) < constraint.min_domains:
                least = 0
            own = 1 if constraint.selector.matches(cycle.pod.labels) else 0
            codes = nodes.label(constraint.key).codes
            skew = np.where(codes == ABSENT, 0, sums[codes]) + own - least
            refusals.append(Refusal(rows & labelled & (skew > constraint.max_skew), REASON))
        return refusals

    def score(self, cycle: Cycle, rows: Rows) -> Scores | None:
        constraints = self._constraints(cycle, "ScheduleAnyway")
        own = bool(constraints)
        if not cycle.pod.spec.get("topologySpreadConstraints"):
            constraints = self._defaults(cycle)
        if not constraints:
            return None
        nodes = cycle.nodes
        usable = np.ones(len(rows), bool)
        if own:  # a node without one of the labels is not scored; defaults do not ask for them
            for constraint in constraints:
                usable &= nodes.label(constraint.key).codes[rows] != ABSENT
        scores = np.zeros(len(rows))
        for constraint in constraints:
            codes = nodes.label(constraint.key).codes
            sums, _ = self._sums(cycle, constraint, self._eligible(cycle, constraint))
            values = codes[rows]
            known = values != ABSENT
            size = len(rows) if constraint.key == HOSTNAME else len(np.unique(values[known & usable]))
            weight = np.log(size + 2)
            scores += np.where(known, sums[values] * weight + (constraint.max_skew - 1), 0)
        scores = np.round(scores)
        if not usable.any():
            return np.zeros(len(rows))
        low, high = scores[usable].min(), scores[usable].max()
        if high == 0:
            return np.where(usable, MAX_SCORE, 0.0)
        return np.where(usable, np.floor(MAX_SCORE * (high + low - scores) / high), 0.0)

    # -- constraints

    def _constraints(self, cycle: Cycle, action: str) -> Sequence[Constraint]:
        pod = cycle.pod
        return [
            Constraint(
                entry["maxSkew"],
                entry["topologyKey"],
                merged_selector(entry, pod.labels),
                entry.get("minDomains") or 1,
                entry.get("nodeAffinityPolicy", "Honor") == "Honor",
                entry.get("nodeTaintsPolicy", "Ignore") == "Honor",
            )
            for entry in pod.spec.get("topologySpreadConstraints") or ()
            if entry["whenUnsatisfiable"] == action
        ]

    def _defaults(self, cycle: Cycle) -> Sequence[Constraint]:
        """The system's, for the pods of the same services and owner."""
        selector = default_selector(cycle)
        return [] if selector is None else [Constraint(skew, key, selector) for skew, key in _DEFAULTS]

    # -- counting

    def _eligible(self, cycle: Cycle, constraint: Constraint) -> Mask:
        """Nodes whose pods count (nodeAffinityPolicy, nodeTaintsPolicy)."""
        nodes, pod = cycle.nodes, cycle.pod
        mask = nodes.alive.copy()
        if constraint.honor_affinity:
            allowed = nodeaffinity.required_mask(nodes, pod.spec)
            if allowed is not None:
                mask &= allowed
        if constraint.honor_taints:
            bad = [
                code for code, taints in enumerate(nodes.taint_sets) if untolerated(taints, pod.tolerations) is not None
            ]
            mask &= ~np.isin(nodes.taint_set, bad)
        return mask

    def _sums(self, cycle: Cycle, constraint: Constraint, counted: Mask) -> tuple[Ints, Mask]:
        """Matching pods per topology value, and which values occur; one entry more than values, for ABSENT."""
        nodes = cycle.nodes
        column = nodes.label(constraint.key)
        sums = np.zeros(len(column.values) + 1, np.int64)
        present = np.zeros(len(column.values) + 1, bool)
        present[column.codes[counted & (column.codes != ABSENT)]] = True
        for pod, row in (nodes.by_namespace.get(cycle.pod.namespace) or {}).values():
            code = column.codes[row]
            if code != ABSENT and counted[row] and not pod.deleting and constraint.selector.matches(pod.labels):
                sums[code] += 1
        return sums, present


def default_selector(cycle: Cycle) -> LabelSelector | None:
    """What the pod's services and its owner select, taken together; None when nothing selects it (helper.DefaultSelector)."""
    pod, listers = cycle.pod, cycle.listers
    requirements: list[selectors.Requirement] = []
    for service in listers.list("services", pod.namespace):
        wanted = (service.get("spec") or {}).get("selector")
        if wanted and selectors.from_map(wanted).matches(pod.labels):
            requirements += selectors.from_map(wanted).requirements
    owner = meta.controller_of(pod.obj)
    if owner is not None:
        plural = {"ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}.get(owner.get("kind", ""))
        if plural:
            found = listers.get(plural, pod.namespace, owner["name"])
            if found is not None:
                requirements += selectors.from_object(found["spec"].get("selector")).requirements
        elif owner.get("kind") == "ReplicationController":
            found = listers.get("replicationcontrollers", pod.namespace, owner["name"])
            if found is not None and found["spec"].get("selector"):
                requirements += selectors.from_map(found["spec"]["selector"]).requirements
    return LabelSelector(dict.fromkeys(requirements)) if requirements else None
