"""Cron schedules: grammar, errors in the original's words, next firings across zones and changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apimachinery import cron
from apimachinery.cron import CronError


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def following(schedule: str, after: str, zone: str = "UTC") -> str:
    tz = cron.load_zone(zone)
    assert tz is not None
    moment = cron.parse(schedule).next(at(after), tz)
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="minutes")[:16]


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01"),
        ("*/5 * * * *", "2026-01-01T00:04:59", "2026-01-01T00:05"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00"),
        ("0 0 * * sun", "2026-01-01T00:00:00", "2026-01-04T00:00"),
        ("0 0 13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00"),
        ("30 5/6 1-15 JAN-MAR *", "2026-01-15T23:30:00", "2026-02-01T05:30"),
        ("@monthly", "2026-01-01T00:00:00", "2026-02-01T00:00"),
        ("0 0 31 2 *", "2026-01-01T00:00:00", ""),
        ("TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T00:00:00", "2026-01-02T00:00"),
    ],
)
def test_next(schedule: str, after: str, expected: str) -> None:
    assert following(schedule, after) == expected


def test_every() -> None:
    assert cron.parse("@every 1h30m").next(1000.5) == 1000 + 5400


def test_changes_of_clocks() -> None:
    # 02:30 does not exist on 2026-03-29 in Berlin; noon does, an hour earlier in UTC than the day before.
    assert following("30 2 * * *", "2026-03-28T12:00:00", "Europe/Berlin") == "2026-03-30T00:30"
    assert following("0 12 * * *", "2026-03-28T12:00:00", "Europe/Berlin") == "2026-03-29T10:00"


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("", "empty spec string"),
        ("x", "expected exactly 5 fields, found 1: [x]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("-1 * * * *", 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
        ("TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
    ],
)
def test_errors(schedule: str, text: str) -> None:
    with pytest.raises(CronError) as caught:
        cron.parse(schedule)
    assert str(caught.value) == text
