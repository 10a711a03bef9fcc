"""Checks of numbers: not negative, integers or percentages. Each returns field errors in the original's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import names
from apiserver.validation.meta import NOT_NEGATIVE

_INTEGER = re.compile("[+-]?[0-9]+")
_LONGEST = 4096  # digits; Python refuses to read more than 4300
_BOUND = 1 << 63


def non_negative(value: int | None, path: str) -> list[FieldError]:
    """An integer that is unset or at least zero."""
    return [field.invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def non_negative_fields(obj: Mapping[str, Any], path: str, *fields: str) -> list[FieldError]:
    """Several integer fields of one object."""
    return [
        field.invalid(f"{path}.{name}", obj[name], NOT_NEGATIVE)
        for name in fields
        if name in obj and (obj[name] or 0) < 0
    ]


def int_or_percent(value: int | str | None, path: str) -> list[FieldError]:
    """A non-negative integer or a text like "25%"."""
    if isinstance(value, str):
        return [field.invalid(path, value, text) for text in names.percent(value)]
    return non_negative(value, path)


def not_above(obj: Mapping[str, Any], path: str, limit: int, text: str, *fields: str) -> list[FieldError]:
    """Counters that some other one is the limit of."""
    return [
        field.invalid(f"{path}.{name}", obj.get(name) or 0, text) for name in fields if (obj.get(name) or 0) > limit
    ]


def percent_value(value: int | str | None) -> int | None:
    """The number of a percentage, None for what is none. One too large for Go's integers is the largest of them."""
    if not isinstance(value, str) or names.percent(value):
        return None
    number = _integer(value[:-1])
    return _BOUND - 1 if number is None else number


def _integer(text: str) -> int | None:
    """What Go's Atoi makes of the text, None for what it refuses."""
    if len(text) > _LONGEST or not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_BOUND <= number < _BOUND else None


def plain_value(value: int | str | None) -> int:
    """A percentage's number, an integer, or 0 for what cannot be read."""
    share = percent_value(value)
    if share is not None:
        return share
    if isinstance(value, str):
        return _integer(value) or 0
    return value or 0


def at_most_100_percent(value: int | str | None, path: str) -> list[FieldError]:
    share = percent_value(value)
    return [field.invalid(path, value, "must not be greater than 100%")] if share is not None and share > 100 else []


def not_decremented(new: Mapping[str, Any], old: Mapping[str, Any], name: str, path: str) -> list[FieldError]:
    """A counter that, once set, neither goes back nor away."""
    before = old.get(name)
    if before is None or (new.get(name) is not None and new[name] >= before):
        return []
    return [field.invalid(f"{path}.{name}", new.get(name) or 0, "cannot be decremented")]


def drawn_rolling_update(rolling: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A rolling update of a Deployment or DaemonSet as the original's internal struct prints."""
    if rolling is None:
        return None
    names = (("MaxUnavailable", "maxUnavailable"), ("MaxSurge", "maxSurge"))
    return {shown: 0 if rolling.get(name) is None else rolling[name] for shown, name in names}
