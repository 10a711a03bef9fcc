"""sets.contains, sets.equivalent, sets.intersects: lists taken as sets."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.declarations import Overload
from apimachinery.cel.values import contains as holds


def contains(items: list[Any], part: list[Any]) -> bool:
    """Whether every element of the second list is in the first."""
    return all(holds(items, item) for item in part)


def intersects(left: list[Any], right: list[Any]) -> bool:
    return any(holds(right, item) for item in left)


def equivalent(left: list[Any], right: list[Any]) -> bool:
    return contains(left, right) and contains(right, left)


OVERLOADS = [
    Overload("sets.contains", "list_sets_contains_list", "(list(T), list(T)) bool", contains),
    Overload("sets.equivalent", "list_sets_equivalent_list", "(list(T), list(T)) bool", equivalent),
    Overload("sets.intersects", "list_sets_intersects_list", "(list(T), list(T)) bool", intersects),
]
