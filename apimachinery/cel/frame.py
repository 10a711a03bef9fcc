"""The state of one evaluation, and what expressions are compiled to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.cel.errors import CostExceeded


class Frame:
    """slots: the values of variables and of loops' variables. cost: paid so far. limit: what may be paid."""

    __slots__ = ("cost", "limit", "slots")

    def __init__(self, slots: list[Any], cost: int, limit: int) -> None:
        self.slots = slots
        self.cost = cost
        self.limit = limit

    def pay(self, cost: int) -> None:
        """Add to the cost; CostExceeded over the limit. For what depends on the values; fixed costs are summed up before."""
        self.cost += cost
        if self.cost > self.limit:
            raise CostExceeded(self.cost)


Closure = Callable[[Frame], Any]
Compiled = tuple[Closure, int]  # the closure, and what it costs whenever it runs
