"""Timestamps and durations with nanoseconds, as the language has them: Go's durations, RFC 3339, year 1 to 9999."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache, total_ordering
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apimachinery.cel.errors import EvalError

_SECOND = 10**9
_MAX_NANOSECONDS = 2**63 - 1
MIN_UNIX = -62135596800  # 0001-01-01T00:00:00Z
MAX_UNIX = 253402300799  # 9999-12-31T23:59:59Z
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_PART_RE = re.compile(r"([0-9]{0,100})(?:\.([0-9]{0,100}))?(ns|us|µs|μs|ms|s|m|h)")


@total_ordering
class Duration:
    """A signed number of nanoseconds within 64 bits."""

    __slots__ = ("nanoseconds",)

    def __init__(self, nanoseconds: int) -> None:
        if not -_MAX_NANOSECONDS - 1 <= nanoseconds <= _MAX_NANOSECONDS:
            raise EvalError("integer overflow")
        self.nanoseconds = nanoseconds

    @classmethod
    def parse(cls, text: str) -> Duration | None:
        """Go's form ("1h30m", "-1.5s", "0"); None when it is not that."""
        nanoseconds = _parse_duration(text)
        return cls(nanoseconds) if nanoseconds is not None and abs(nanoseconds) <= _MAX_NANOSECONDS else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: Duration) -> bool:
        return self.nanoseconds < other.nanoseconds

    def __hash__(self) -> int:
        return hash(("duration", self.nanoseconds))

    def __str__(self) -> str:
        """Seconds, in the shortest decimal form that is exact for the double: "90s", "0.001s"."""
        seconds, rest = divmod(abs(self.nanoseconds), _SECOND)
        text = format_decimal(seconds + rest / 1e9)
        return f"{'-' if self.nanoseconds < 0 else ''}{text}s"

    __repr__ = __str__


def format_decimal(number: float) -> str:
    """A double without exponent, as short as it can be (strconv's 'f', -1)."""
    text = repr(number)
    if "e" in text or "E" in text:
        from decimal import Decimal

        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _parse_duration(text: str) -> int | None:
    sign = 1
    if text[:1] in ("+", "-"):
        sign = -1 if text[0] == "-" else 1
        text = text[1:]
    if text == "0":
        return 0
    if not text:
        return None
    total, position = 0, 0
    while position < len(text):
        found = _PART_RE.match(text, position)
        if found is None or not (found[1] or found[2]):
            return None
        unit = _UNITS[found[3]]
        total += int(found[1] or 0) * unit
        if found[2]:
            total += int(found[2]) * unit // 10 ** len(found[2])
        position = found.end()
    return sign * total


_TIME_RE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)")


@total_ordering
class Timestamp:
    """An instant: nanoseconds since 1970, and the offset (minutes east) it was written with, which string() keeps."""

    __slots__ = ("nanoseconds", "offset")

    def __init__(self, nanoseconds: int, offset: int = 0) -> None:
        if not MIN_UNIX <= nanoseconds // _SECOND <= MAX_UNIX:
            raise EvalError("timestamp overflow")
        self.nanoseconds = nanoseconds
        self.offset = offset

    @classmethod
    def parse(cls, text: str) -> Timestamp | None:
        """RFC 3339; None when it is not that. EvalError when it is out of range."""
        found = _TIME_RE.fullmatch(text)
        if found is None:
            return None
        year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
        zone = found[8]
        offset = 0
        if zone != "Z":
            hours, minutes = int(zone[1:3]), int(zone[4:6])
            if hours > 24 or minutes >= 60:
                return None
            offset = (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)
        if year == 0:
            raise EvalError("timestamp overflow")
        try:
            moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
        except ValueError:
            return None
        seconds = (moment - _EPOCH) // datetime.timedelta(seconds=1) - offset * 60
        fraction = int((found[7] or "0")[:9].ljust(9, "0"))
        return cls(seconds * _SECOND + fraction, offset)

    @property
    def seconds(self) -> int:
        return self.nanoseconds // _SECOND

    def is_zero(self) -> bool:
        return self.nanoseconds == MIN_UNIX * _SECOND

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanoseconds < other.nanoseconds

    def __hash__(self) -> int:
        return hash(("timestamp", self.nanoseconds))

    def __str__(self) -> str:
        """RFC 3339 with as many digits of the second as it needs."""
        moment = self.at(datetime.timezone(datetime.timedelta(minutes=self.offset)))
        text = moment.strftime("%m-%dT%H:%M:%S")
        fraction = f"{self.nanoseconds % _SECOND:09d}".rstrip("0")
        sign, east = "-" if self.offset < 0 else "+", abs(self.offset)
        zone = f"{sign}{east // 60:02d}:{east % 60:02d}" if self.offset else "Z"
        return f"{moment.year:04d}-{text}{'.' + fraction if fraction else ''}{zone}"

    __repr__ = __str__

    def at(self, zone: datetime.tzinfo) -> datetime.datetime:
        """The wall clock in a zone, to the second."""
        try:
            return (_EPOCH + datetime.timedelta(seconds=self.seconds)).astimezone(zone)
        except OverflowError:
            raise EvalError("timestamp overflow") from None

    def milliseconds(self) -> int:
        return self.nanoseconds % _SECOND // 10**6


@lru_cache(256)
def zone(name: str) -> datetime.tzinfo:
    """A zone by its name or its offset ("+02:00", "-8:30"); EvalError when there is none."""
    hours, colon, minutes = name.partition(":")
    if not colon:
        return _named_zone(name)
    try:
        offset = int(hours) * 60
        offset += -int(minutes) if name.startswith("-") else int(minutes)
        return datetime.timezone(datetime.timedelta(minutes=offset))
    except ValueError:
        bad = minutes if hours.lstrip("+-").isdigit() else hours
        raise EvalError(f'strconv.Atoi: parsing "{bad}": invalid syntax') from None


def _named_zone(name: str) -> datetime.tzinfo:
    if name in ("", "UTC"):
        return datetime.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise EvalError(f"unknown time zone {name}") from None
