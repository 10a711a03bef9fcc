"""NodeResourcesBalancedAllocation: nodes whose cpu and memory would be used to a similar degree are better."""

from __future__ import annotations

import numpy as np

from scheduler.framework import MAX_SCORE, Cycle, Rows, Scores
from scheduler.nodes import CPU, MEMORY


class BalancedAllocation:
    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def score(self, cycle: Cycle, rows: Rows) -> Scores | None:
        pod, nodes = cycle.pod, cycle.nodes
        if not any(pod.requests.get(resource) for resource in ("cpu", "memory")):
            return None  # a best-effort pod balances nothing (the original skips it)
        allocatable = nodes.allocatable[rows][:, [CPU, MEMORY]].astype(float)
        used = nodes.nonzero[rows] + np.array(pod.nonzero)
        with np.errstate(divide="ignore", invalid="ignore"):
            fractions = np.minimum(np.where(allocatable > 0, used / allocatable, 0), 1.0)
        deviation = np.abs(fractions[:, 0] - fractions[:, 1]) / 2
        scores: Scores = np.floor((1 - deviation) * MAX_SCORE)
        return scores
