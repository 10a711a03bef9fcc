"""Cron schedules: five fields, names, steps, ranges, the @ descriptors, an optional TZ= prefix; and when one fires next.

Grammar, bounds and error texts are those of robfig/cron v3 (ParseStandard), which the original uses. Called by the
validation of CronJobs and by whoever runs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apimachinery import memo

_MONTHS = dict(
    zip(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], range(1, 13), strict=True)
)
_DAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_AMOUNT = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_UNIT = "(?:ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(f"[-+]?(?:{_AMOUNT}{_UNIT})+")
_PART = re.compile(f"({_AMOUNT})({_UNIT})")
_GO_INT = re.compile(r"[+-]?[0-9]+")
_SEARCH_YEARS = 5  # as far as a schedule that may never fire is followed


class CronError(ValueError):
    """A schedule that cannot be read; the text is the original's."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something fires. every: seconds between firings of "@every", else 0; the sets hold the allowed values.

    any_day_of_month, any_day_of_week: the field is "*", so the other one decides alone; else either may match.
    """

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day_of_month: bool = True
    any_day_of_week: bool = True
    every: int = 0
    zone: tzinfo | None = None

    def next(self, after: float, zone: tzinfo = UTC) -> float | None:
        """The first firing after that moment (seconds since the epoch), in the schedule's own zone or the one given; None when
        there is none within five years. A local time that is skipped by a change of clocks does not fire."""
        if self.every:
            return float(int(after) + self.every)
        here = self.zone or zone
        local = datetime.fromtimestamp(int(after), here).replace(second=0, tzinfo=None) + timedelta(minutes=1)
        limit = local.year + _SEARCH_YEARS
        while local.year <= limit:
            if local.month not in self.months:
                local = (local.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._day(local):
                local = local.replace(hour=0, minute=0) + timedelta(days=1)
            elif local.hour not in self.hours:
                local = local.replace(minute=0) + timedelta(hours=1)
            elif local.minute not in self.minutes:
                local += timedelta(minutes=1)
            else:
                moment = local.replace(tzinfo=here).timestamp()
                exists = datetime.fromtimestamp(moment, here).replace(tzinfo=None) == local
                if exists and moment > after:
                    return moment
                local += timedelta(minutes=1)
        return None

    def _day(self, local: datetime) -> bool:
        of_month = local.day in self.days
        of_week = (local.weekday() + 1) % 7 in self.weekdays
        if self.any_day_of_month or self.any_day_of_week:
            return of_month and of_week
        return of_month or of_week


@memo.short(1024)
def parse(text: str) -> Schedule:
    """The schedule; CronError in the original's words."""
    if not text:
        raise CronError("empty spec string")
    zone: tzinfo | None = None
    if text.startswith(("TZ=", "CRON_TZ=")):
        end = text.find(" ")
        if end < 0:
            raise CronError("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        name = text[text.index("=") + 1 : end]
        zone = load_zone(name)
        if zone is None:
            raise CronError(f"provided bad location {name}: unknown time zone {name}")
        text = text[end:].strip()
    if text.startswith("@"):
        return _descriptor(text, zone)
    fields = text.split()
    if len(fields) != 5:
        raise CronError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    return _from_fields(fields, zone)


def _from_fields(fields: list[str], zone: tzinfo | None) -> Schedule:
    parsed = [_field(text, *bounds) for text, bounds in zip(fields, _BOUNDS, strict=True)]
    minutes, hours, days, months, weekdays = (values for values, _ in parsed)
    return Schedule(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        any_day_of_month=parsed[2][1],
        any_day_of_week=parsed[4][1],
        zone=zone,
    )


def _descriptor(text: str, zone: tzinfo | None) -> Schedule:
    if text in _DESCRIPTORS:
        return _from_fields(_DESCRIPTORS[text].split(), zone)
    if text.startswith("@every "):
        wanted = text[len("@every ") :]
        if not _DURATION.fullmatch(wanted):
            reason = f'time: invalid duration "{wanted}"'
            raise CronError(f"failed to parse duration {text}: {reason}")
        sign = -1 if wanted.startswith("-") else 1
        seconds = sign * sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(wanted))
        return Schedule(every=max(1, int(seconds)), zone=zone)
    raise CronError(f"unrecognized descriptor: {text}")


def _field(text: str, low: int, high: int, names: dict[str, int]) -> tuple[frozenset[int], bool]:
    """(the values, whether the field is unrestricted)."""
    values: set[int] = set()
    star = False
    for part in text.split(","):
        if not part:
            continue
        found, unrestricted = _range(part, low, high, names)
        values.update(found)
        star = star or unrestricted
    return frozenset(values), star


def _range(text: str, low: int, high: int, names: dict[str, int]) -> tuple[range, bool]:
    bounds, *steps = text.split("/")
    first, *rest = bounds.split("-")
    star = first in ("*", "?")
    start, end = low, high
    if not star:
        start = _number(first, names)
        if len(rest) > 1:
            raise CronError(f"too many hyphens: {text}")
        end = _number(rest[0], names) if rest else start
    step = 1
    if len(steps) > 1:
        raise CronError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0], {})
        if not rest:
            end = high
        star = star and step <= 1
    if start < low:
        raise CronError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise CronError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise CronError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise CronError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not _GO_INT.fullmatch(text):
        raise CronError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text) if len(text) < 40 else 2**63
    if number >= 2**63:
        raise CronError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    if number < 0:
        raise CronError(f"negative number ({number}) not allowed: {text}")
    return number


@memo.short(256)
def load_zone(name: str) -> tzinfo | None:
    """The time zone of that name, or None: "" and "UTC" are UTC; names are those of the IANA database."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
