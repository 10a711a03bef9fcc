"""NodeName: a pod that names its node fits only there."""

from __future__ import annotations

from scheduler.framework import Cycle, Refusal
from scheduler.nodes import Mask

REASON = "node(s) didn't match the requested node name"


class NodeName:
    name = "NodeName"
    events = frozenset({"node-added"})

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        wanted = cycle.pod.spec.get("nodeName")
        if not wanted:
            return []
        refused = rows.copy()
        row = cycle.nodes.index.get(wanted)
        if row is not None:
            refused[row] = False
        return [Refusal(refused, REASON, resolvable=False)]
