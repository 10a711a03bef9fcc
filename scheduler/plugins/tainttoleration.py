"""TaintToleration: a node's taints keep pods off that do not tolerate them, and PreferNoSchedule ones make it a worse choice.

Nodes with the same taints are judged together: there are few different sets.
"""

from __future__ import annotations

import numpy as np

from apimachinery.nodes import tolerates, untolerated
from scheduler.framework import Cycle, Refusal, Rows, Scores, normalise
from scheduler.nodes import Mask

REASON = "node(s) had untolerated taint(s)"


class TaintToleration:
    name = "TaintToleration"
    weight = 3
    events = frozenset({"node-added", "node-taints", "pod-changed"})

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        nodes, tolerations = cycle.nodes, cycle.pod.tolerations
        bad = [
            code
            for code, taints in enumerate(nodes.taint_sets)
            if taints and untolerated(taints, tolerations) is not None
        ]
        return [Refusal(rows & np.isin(nodes.taint_set, bad), REASON, resolvable=False)] if bad else []

    def score(self, cycle: Cycle, rows: Rows) -> Scores | None:
        nodes = cycle.nodes
        tolerations = [t for t in cycle.pod.tolerations if t.get("effect") in (None, "", "PreferNoSchedule")]
        counts = np.array(
            [
                sum(
                    t["effect"] == "PreferNoSchedule" and not any(tolerates(own, t) for own in tolerations)
                    for t in taints
                )
                for taints in nodes.taint_sets
            ],
            float,
        )
        return normalise(counts[nodes.taint_set[rows]], reverse=True)
