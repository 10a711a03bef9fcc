"""Scalars that read and write themselves: base64 bytes, times, durations; Go's rules, and Go's words when they break.

Each canonical_*() returns the text as the original would write it again and raises ValueError with the original's text.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta, timezone

RFC3339 = "2006-01-02T15:04:05Z07:00"
RFC3339_MICRO = "2006-01-02T15:04:05.000000Z07:00"
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def canonical_base64(text: str) -> str:
    """Standard base64 with padding; line breaks are skipped, bits beyond the last byte ignored."""
    joined = text.replace("\n", "").replace("\r", "") if "\n" in text or "\r" in text else text
    try:
        data = base64.b64decode(joined, validate=True)
    except binascii.Error:
        data = None
    except ValueError:
        data = None
    if data is None or not _BASE64.fullmatch(joined):
        raise ValueError(f"illegal base64 data at input byte {_base64_error(text)}")
    return base64.b64encode(data).decode()


def _base64_error(text: str) -> int:
    """The position that Go's decoder names."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    raw = text.encode("utf-8", "surrogatepass").decode("latin-1")
    count = 0
    position = 0
    while position < len(raw):
        char = raw[position]
        position += 1
        if char in "\r\n":
            continue
        if char in alphabet:
            count += 1
            continue
        if char != "=" or count % 4 < 2:
            return position - 1
        if count % 4 == 2:
            while position < len(raw) and raw[position] in "\r\n":
                position += 1
            if position == len(raw):
                return len(raw)
            if raw[position] != "=":
                return position - 1
            position += 1
        while position < len(raw) and raw[position] in "\r\n":
            position += 1
        return position
    return len(raw) - count % 4


_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d{1,2}):(\d\d):(\d\d)([.,]\d+)?(Z|[+-]\d\d:\d\d)")


def canonical_time(text: str) -> str | None:
    """metav1.Time; None for the zero time, which is written as null."""
    moment = _moment(text, RFC3339)
    if moment is None:
        return None
    return f"{moment.year:04d}" + moment.strftime("-%m-%dT%H:%M:%SZ")


def canonical_micro_time(text: str) -> str | None:
    """metav1.MicroTime: six digits of fraction, no more and no fewer, must be given."""
    moment = _moment(text, RFC3339_MICRO)
    if moment is None:
        return None
    return f"{moment.year:04d}" + moment.strftime("-%m-%dT%H:%M:%S.%fZ")


def _moment(text: str, layout: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    micro = layout == RFC3339_MICRO
    if match is None or (micro and (match[7] is None or len(match[7]) != 7)):
        raise ValueError(_time_error(text, layout))
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    fraction = int(((match[7] or ".0")[1:] + "000000")[:6])
    for low, value, high, word in (
        (1, month, 12, "month"),
        (0, hour, 23, "hour"),
        (0, minute, 59, "minute"),
        (0, second, 59, "second"),
    ):
        if not low <= value <= high:
            raise ValueError(f"parsing time {_quote(text)}: {word} out of range")
    offset = timedelta(0)
    if match[8] != "Z":
        hours, minutes = int(match[8][1:3]), int(match[8][4:6])
        if hours > 24 or minutes >= 60:
            raise ValueError(
                f"parsing time {_quote(text)}: time zone offset {'hour' if hours > 24 else 'minute'} out of range"
            )
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if match[8][0] == "-" else 1)
    try:
        local = datetime(max(year, 1), month, day, hour, minute, second, fraction, tzinfo=timezone.utc)  # noqa: UP017
        moment = (local - offset).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"parsing time {_quote(text)}: day out of range") from None
    if moment.timestamp() == datetime(1, 1, 1, tzinfo=UTC).timestamp():
        return None
    return moment


def _quote(text: str) -> str:
    """As Go's time package quotes: its own way with what is not plain ASCII."""
    plain = (f"\\{char}" if char in '"\\' else char for char in text)
    shown = "".join(
        char if " " <= char[-1] < "\x80" else "".join(f"\\x{octet:02x}" for octet in char.encode("utf-8", "replace"))
        for char in plain
    )
    return f'"{shown}"'


def _time_error(text: str, layout: str) -> str:
    """The text of Go's *time.ParseError: which part of the value did not fit which part of the layout."""
    steps = [
        (r"\d{4}", "2006"), ("-", "-"), (r"\d\d", "01"), ("-", "-"), (r"\d\d", "02"), ("T", "T"), (r"\d{1,2}", "15"), (":", ":"),
        (r"\d\d", "04"), (":", ":"), (r"\d\d", "05"),
    ]  # fmt: skip
    rest = text
    for pattern, element in steps:
        match = re.match(pattern, rest)
        if match is None:
            return f"parsing time {_quote(text)} as {_quote(layout)}: cannot parse {_quote(rest)} as {_quote(element)}"
        rest = rest[match.end() :]
    if layout == RFC3339_MICRO:
        match = re.match(r"\.\d{6}", rest)
        if match is None:
            return (
                f"parsing time {_quote(text)} as {_quote(layout)}: cannot parse {_quote(rest)} as {_quote('.000000')}"
            )
        rest = rest[match.end() :]
    else:
        match = re.match(r"[.,]\d+", rest)
        rest = rest[match.end() :] if match else rest
    match = re.match(r"Z|[+-]\d\d:\d\d", rest)
    if match is None:
        return f"parsing time {_quote(text)} as {_quote(layout)}: cannot parse {_quote(rest)} as {_quote('Z07:00')}"
    return f"parsing time {_quote(text)}: extra text: {_quote(rest[match.end() :])}"


_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION_PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNKNOWN_UNIT = re.compile(r"(?:\d+\.?\d*|\.\d+)([^.\d]+)", re.ASCII)
_LONGEST_DURATION = 400  # characters; none that fits in an int64 of nanoseconds needs a tenth of that


def canonical_duration(text: str) -> str:
    """Go's time.Duration: "1h30m" is written again as "1h30m0s"."""
    return format_duration(parse_duration(text))


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration; ValueError in Go's words."""
    bad = ValueError(f"time: invalid duration {_quote(text)}")
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total = 0
    position = 0
    if not body or len(body) > _LONGEST_DURATION:
        raise bad
    while position < len(body):
        match = _DURATION_PART.match(body, position)
        if match is None or not (match[1] or match[2]):
            if re.match(r"(\d+(\.\d*)?|\.\d+)($|\.)", body[position:]):
                raise ValueError(f"time: missing unit in duration {_quote(text)}")
            if odd := _UNKNOWN_UNIT.match(body, position):
                raise ValueError(f"time: unknown unit {_quote(odd[1])} in duration {_quote(text)}")
            raise bad
        unit = _UNITS[match[3]]
        total += int(match[1] or 0) * unit
        if match[2]:
            total += int(match[2]) * unit // 10 ** len(match[2])
        position = match.end()
    if total > 0x7FFFFFFFFFFFFFFF:
        raise bad
    return -total if text[0] == "-" else total


def format_duration(nanoseconds: int) -> str:
    """As Go's Duration.String()."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    value = abs(nanoseconds)
    if value < 10**9:
        for unit, size in (("ns", 1), ("µs", 1000), ("ms", 10**6)):
            if value < size * 1000:
                return sign + _decimal(value, size) + unit
    hours, value = divmod(value, 3600 * 10**9)
    minutes, value = divmod(value, 60 * 10**9)
    seconds = _decimal(value, 10**9) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    if not fraction:
        return str(whole)
    return f"{whole}." + str(fraction).rjust(len(str(size)) - 1, "0").rstrip("0")
