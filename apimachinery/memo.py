"""Caches of what was worked out before, bounded in bytes and not only in entries: functools.lru_cache keeps whatever it is
given, and a client may give a label, a selector or a quantity of megabytes, each time another one.

    @memo.short(4096)
    def parse(text: str) -> Thing: ...

Longer arguments are worked out each time. Exceptions are never kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

LONGEST = 512  # characters or bytes; what is written by people and programs that mean well is shorter


def short(maxsize: int, longest: int = LONGEST) -> Callable[[F], F]:
    """lru_cache for a function of one text or bytes."""

    def decorate(function: F) -> F:
        cached = lru_cache(maxsize)(function)

        @wraps(function)
        def call(text: Any) -> Any:
            return cached(text) if len(text) <= longest else function(text)

        return call  # type: ignore[return-value]

    return decorate


def small(maxsize: int, largest: int = 4 * LONGEST) -> Callable[[F], F]:
    """lru_cache for a function of hashable values: texts, numbers, and tuples of them."""

    def decorate(function: F) -> F:
        cached = lru_cache(maxsize)(function)

        @wraps(function)
        def call(*values: Any) -> Any:
            return cached(*values) if _size(values, largest) <= largest else function(*values)

        return call  # type: ignore[return-value]

    return decorate


def _size(value: Any, most: int) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if not isinstance(value, tuple):
        return 8
    total = 0
    for item in value:
        total += 8 + _size(item, most)
        if total > most:
            break
    return total
