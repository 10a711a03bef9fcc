"""Caps how many requests are under way at once, reads and writes apart; the rest are told to come back in a second.

Stands in for filters/fairness.py when --enable-priority-and-fairness=false.
"""

from __future__ import annotations

from apiserver.authz.escalation import MASTERS
from apiserver.filters.base import Proceed, Request
from apiserver.filters.fairness import dropped_requests, too_many
from serving.metrics import Metrics
from serving.reply import Reply

_READS = frozenset(("get", "list", "watch"))


class InFlight:
    """reads, writes: --max-requests-inflight and --max-mutating-requests-inflight; 0 means no cap."""

    def __init__(self, reads: int, writes: int, metrics: Metrics) -> None:
        self._caps = (reads, writes)
        self._dropped = dropped_requests(metrics)
        self.current = [0, 0]

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        if request.long_running:
            return await proceed(request)
        which = 0 if request.info.verb in _READS else 1
        cap, current = self._caps[which], self.current
        if cap and current[which] >= cap and MASTERS not in request.user.groups:
            self._dropped.add(("mutating" if which else "readOnly",))
            raise too_many(1)
        current[which] += 1
        try:
            return await proceed(request)
        finally:
            current[which] -= 1
