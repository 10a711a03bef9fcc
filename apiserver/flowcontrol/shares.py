"""How a server's seats are divided among priority levels, pure arithmetic (KEP-1040, "Dispatching" and "borrowing").

allocate() is the max-min fair division with bounds: each level gets the same multiple of what it could use (its target),
except where that would fall below what it is owed or above what it may have at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_SMALLEST_TARGET = 0.001  # so that nothing is divided by zero
_EPSILON = 1e-7


class Claim(NamedTuple):
    """One level's: what it could use, what it must have, what it may have. lower <= target, lower <= upper."""

    target: float
    lower: float
    upper: float


def allocate(total: float, claims: Sequence[Claim]) -> tuple[list[float], float]:
    """(seats of each claim, the common multiple of targets). ValueError when the bounds do not let `total` be divided."""
    low, high = sum(claim.lower for claim in claims), sum(claim.upper for claim in claims)
    if low - total > _EPSILON:
        raise ValueError(f"lower bounds sum to {low}, which is higher than the required sum of {total}")
    if total - high > _EPSILON:
        raise ValueError(f"upper bounds sum to {high}, which is lower than the required sum of {total}")
    targets = [max(claim.target, _SMALLEST_TARGET) for claim in claims]
    if not total:
        return [0.0] * len(claims), 0.0
    if low - total > -_EPSILON:
        least = min(claim.lower / target for claim, target in zip(claims, targets, strict=True))
        return [claim.lower for claim in claims], least
    if total - high > -_EPSILON:
        most = max(claim.upper / target for claim, target in zip(claims, targets, strict=True))
        return [claim.upper for claim in claims], most
    multiple = _multiple(total, low, claims, targets)
    seats = [
        max(claim.lower, min(claim.upper, multiple * target)) for claim, target in zip(claims, targets, strict=True)
    ]
    return seats, multiple


def _multiple(total: float, low: float, claims: Sequence[Claim], targets: Sequence[float]) -> float:
    """The multiple at which the bounded allocations sum to the total: walk the bounds upwards, in between it is linear."""
    bounds = [(claim.lower / target, target) for claim, target in zip(claims, targets, strict=True)]
    bounds += [(claim.upper / target, -target) for claim, target in zip(claims, targets, strict=True)]
    bounds.sort(key=lambda bound: bound[0])
    reached, at, slope = low, 0.0, 0.0
    for bound, change in bounds:
        if slope > 0:
            gain = (bound - at) * slope
            if reached + gain >= total:
                return at + (total - reached) / slope
            reached += gain
        at = bound
        slope += change
    return at
