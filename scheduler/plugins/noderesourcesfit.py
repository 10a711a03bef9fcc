"""NodeResourcesFit: a node must have what the pod requests; emptier nodes are better (LeastAllocated)."""

from __future__ import annotations

import numpy as np

from scheduler.framework import MAX_SCORE, Cycle, Refusal, Rows, Scores
from scheduler.nodes import CPU, MEMORY, PODS, Mask


class NodeResourcesFit:
    name = "NodeResourcesFit"
    weight = 1
    events = frozenset({"node-added", "node-allocatable", "assigned-pod-deleted", "assigned-pod-shrunk", "pod-changed"})

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        nodes, pod = cycle.nodes, cycle.pod
        wanted = nodes.requests_vector(pod.requests)
        refusals = [Refusal(rows & (nodes.requested[:, PODS] + 1 > nodes.allocatable[:, PODS]), "Too many pods")]
        for resource in pod.requests:
            column = nodes.column(resource)
            amount = wanted[column]
            if amount == 0:
                continue
            allocatable = nodes.allocatable[:, column]
            lacking = rows & (amount > allocatable - nodes.requested[:, column])
            never = lacking & (amount > allocatable)
            reason = f"Insufficient {resource}"
            refusals.append(Refusal(lacking & ~never, reason))
            refusals.append(Refusal(never, reason, resolvable=False))
        return refusals

    def score(self, cycle: Cycle, rows: Rows) -> Scores | None:
        nodes = cycle.nodes
        wanted = np.array(cycle.pod.nonzero)
        allocatable = nodes.allocatable[rows][:, [CPU, MEMORY]].astype(float)
        used = nodes.nonzero[rows] + wanted
        with np.errstate(divide="ignore", invalid="ignore"):
            free = np.floor(np.where(used > allocatable, 0, (allocatable - used) * MAX_SCORE / allocatable))
        known = allocatable > 0
        totals: Scores = np.where(known, free, 0).sum(axis=1)
        average: Scores = np.floor(totals / np.maximum(known.sum(axis=1), 1))
        return average
