"""NodeAffinity: nodeSelector and node affinity, required and preferred, over label columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from scheduler.framework import Cycle, PreFilter, Refusal, Rows, Scores, normalise
from scheduler.nodes import ABSENT, Mask, Nodes

REASON = "node(s) didn't match Pod's node affinity/selector"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

Obj = dict[str, Any]


def required_mask(nodes: Nodes, spec: Obj) -> Mask | None:
    """Nodes that the pod's nodeSelector and required node affinity allow; None when it has neither."""
    selector: dict[str, str] = spec.get("nodeSelector") or {}
    required = (((spec.get("affinity") or {}).get("nodeAffinity")) or {}).get(_REQUIRED)
    if not selector and required is None:
        return None
    mask = nodes.alive.copy()
    for key, value in selector.items():
        mask &= nodes.label(key).among((value,))
    if required is not None:
        mask &= terms_mask(nodes, required.get("nodeSelectorTerms") or ())
    return mask


def terms_mask(nodes: Nodes, terms: Any) -> Mask:
    """Nodes that match any of the NodeSelectorTerms."""
    mask = nodes.none()
    for term in terms:
        mask |= term_mask(nodes, term)
    return mask


def term_mask(nodes: Nodes, term: Obj) -> Mask:
    """Nodes that match all expressions and fields of a NodeSelectorTerm; an empty one matches none."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return nodes.none()
    mask = nodes.alive.copy()
    for expression in expressions:
        mask &= _expression(nodes, expression)
    for entry in fields:
        mask &= _name_field(nodes, entry)
    return mask


def _expression(nodes: Nodes, expression: Obj) -> Mask:
    column, operator = nodes.label(expression["key"]), expression["operator"]
    values: list[str] = expression.get("values") or []
    if operator == "In":
        return column.among(values)
    if operator == "NotIn":
        return ~column.among(values)
    if operator == "Exists":
        present: Mask = column.codes != ABSENT
        return present
    if operator == "DoesNotExist":
        absent: Mask = column.codes == ABSENT
        return absent
    try:
        bound = int(values[0])
    except (ValueError, IndexError):
        return nodes.none()
    return column.compared(bound, greater=operator == "Gt")


def _name_field(nodes: Nodes, entry: Obj) -> Mask:
    """metadata.name is the only field there is."""
    mask = nodes.none()
    if entry.get("key") == "metadata.name":
        for name in entry.get("values") or ():
            row = nodes.index.get(name)
            if row is not None:
                mask[row] = True
    return mask if entry.get("operator") == "In" else ~mask


class NodeAffinity:
    name = "NodeAffinity"
    weight = 2
    events = frozenset({"node-added", "node-labels", "pod-changed"})

    def pre_filter(self, cycle: Cycle) -> PreFilter | None:
        """A pod bound to node names (as DaemonSet pods are) is judged on those alone."""
        required = (((cycle.pod.spec.get("affinity") or {}).get("nodeAffinity")) or {}).get(_REQUIRED)
        terms = (required or {}).get("nodeSelectorTerms") or ()
        if not terms:
            return None
        mask = cycle.nodes.none()
        for term in terms:
            named = [
                e for e in term.get("matchFields") or () if e.get("key") == "metadata.name" and e["operator"] == "In"
            ]
            if not named:
                return None
            rows = cycle.nodes.alive.copy()
            for entry in named:
                rows &= _name_field(cycle.nodes, entry)
            mask |= rows
        return PreFilter(rows=mask)

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        allowed = required_mask(cycle.nodes, cycle.pod.spec)
        return [] if allowed is None else [Refusal(rows & ~allowed, REASON, resolvable=False)]

    def score(self, cycle: Cycle, rows: Rows) -> Scores | None:
        affinity = (cycle.pod.spec.get("affinity") or {}).get("nodeAffinity") or {}
        preferred = affinity.get(_PREFERRED) or ()
        if not preferred:
            return None
        scores = np.zeros(len(rows))
        for entry in preferred:
            term = entry.get("preference") or {}
            matches = (
                term_mask(cycle.nodes, term)
                if term.get("matchExpressions") or term.get("matchFields")
                else cycle.nodes.alive
            )
            scores += entry.get("weight", 0) * matches[rows]
        return normalise(scores)
