"""NodeUnschedulable: cordoned nodes take only pods that tolerate it."""

from __future__ import annotations

from apimachinery.nodes import tolerates
from scheduler.framework import Cycle, Refusal
from scheduler.nodes import Mask

REASON = "node(s) were unschedulable"
TAINT = {"key": "node.kubernetes.io/unschedulable", "value": "", "effect": "NoSchedule"}


class NodeUnschedulable:
    name = "NodeUnschedulable"
    events = frozenset({"node-added", "node-taints", "pod-changed"})

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        refused = rows & cycle.nodes.unschedulable
        if not refused.any() or any(tolerates(toleration, TAINT) for toleration in cycle.pod.tolerations):
            return []
        return [Refusal(refused, REASON, resolvable=False)]
