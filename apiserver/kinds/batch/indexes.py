"""Texts that name completion indexes of a Job, such as "1,3-5,7"."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from apimachinery.field import go_quote

_LONGEST = 4096  # digits; Python refuses to read more than 4300
_BOUND = 1 << 63
_INT = re.compile(r"[+-]?[0-9]+")


def intervals(text: str, completions: int) -> Iterator[tuple[int, int]]:
    """Each interval as (first, last); ValueError in the original's words for what is malformed or too large."""
    last: int | None = None
    for part in text.split(",") if text else ():
        first, end = _interval(part, completions)
        if last is not None and last >= first:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        last = end
        yield first, end


def _interval(text: str, completions: int) -> tuple[int, int]:
    limits = text.split("-")
    if len(limits) > 2:
        rule = "an index interval can have at most two parts separated by '-'"
        raise ValueError(f"the fragment {go_quote(text)} violates the requirement that {rule}")
    found = []
    for limit in limits:
        if not _INT.fullmatch(limit) or len(limit) > _LONGEST or not -_BOUND <= int(limit) < _BOUND:
            raise ValueError(f"cannot convert string to integer for index: {go_quote(limit)}")
        if int(limit) >= completions:
            raise ValueError(f"too large index: {go_quote(limit)}")
        found.append(int(limit))
    if len(found) == 2 and found[0] >= found[1]:
        raise ValueError(f"non-increasing order, previous: {found[0]}, current: {found[1]}")
    return found[0], found[-1]


def count(text: str, completions: int) -> int:
    """How many indexes the text names; ValueError."""
    return sum(end - first + 1 for first, end in intervals(text, completions))


def overlap(left: str, right: str, completions: int) -> int | None:
    """The first index that both texts name, None when there is none; what is malformed in them is passed over."""
    ours, theirs = _readable(left, completions), _readable(right, completions)
    i = j = 0
    while i < len(ours) and j < len(theirs):
        first, end = max(ours[i][0], theirs[j][0]), min(ours[i][1], theirs[j][1])
        if first <= end:
            return first
        if ours[i][0] <= theirs[j][0]:
            i += 1
        else:
            j += 1
    return None


def _readable(text: str, completions: int) -> list[tuple[int, int]]:
    found = []
    for part in text.split(",") if text else ():
        with contextlib.suppress(ValueError):
            found.append(_interval(part, completions))
    return found
