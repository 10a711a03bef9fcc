"""Ranges of sizes and costs, in unsigned 64-bit arithmetic that saturates, as static cost estimates compute."""

from __future__ import annotations

import math
from typing import NamedTuple

UNBOUNDED = 2**64 - 1


class Range(NamedTuple):
    """At least min, at most max."""

    min: int
    max: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.min + other.min, UNBOUNDED), min(self.max + other.max, UNBOUNDED))

    def times(self, other: Range) -> Range:
        return Range(min(self.min * other.min, UNBOUNDED), min(self.max * other.max, UNBOUNDED))

    def scaled(self, factor: float) -> Range:
        """Each bound times a factor, rounded up."""
        return Range(_scale(self.min, factor), _scale(self.max, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.min, other.min), max(self.max, other.max))


def _scale(number: int, factor: float) -> int:
    product = float(number) * factor
    return UNBOUNDED if product >= 2.0**64 else math.ceil(product)


def fixed(number: int) -> Range:
    return Range(number, number)


ZERO = fixed(0)
ONE = fixed(1)
ANY = Range(0, UNBOUNDED)
EMPTY = Range(UNBOUNDED, 0)  # what a union begins with
