"""NodePorts: two pods cannot have the same port of a node."""

from __future__ import annotations

import numpy as np

from scheduler.framework import Cycle, Refusal
from scheduler.nodes import Mask

REASON = "node(s) didn't have free ports for the requested pod ports"


class NodePorts:
    name = "NodePorts"
    events = frozenset({"node-added", "assigned-pod-deleted"})

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        wanted = cycle.pod.host_ports
        if not wanted:
            return []
        refused = cycle.nodes.none()
        for row in np.flatnonzero(rows):
            used = cycle.nodes.ports[row]
            refused[row] = any(port.conflicts(other) for port in wanted for other in used)
        return [Refusal(refused, REASON)]
