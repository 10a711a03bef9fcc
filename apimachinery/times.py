"""metav1.Time and MicroTime: the API's two ways of writing a moment (RFC 3339, UTC)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from apimachinery.clock import Clock


def format_time(seconds: float) -> str:
    """metav1.Time: whole seconds, "2026-01-02T03:04:05Z"."""
    return _format_second(int(seconds))


@lru_cache(256)  # writes of the same second share it
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(seconds: float) -> str:
    """metav1.MicroTime: six digits of fraction, "2026-01-02T03:04:05.000006Z"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now(clock: Clock) -> str:
    return format_time(clock.time())


def micro_now(clock: Clock) -> str:
    return format_micro_time(clock.time())


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; ValueError when it is none."""
    if "T" not in text and "t" not in text:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {text!r}")
    return moment.timestamp()


def human_duration(seconds: float) -> str:
    """An age as tables print it (apimachinery duration.HumanDuration): two units at most, one from 10 of the larger on."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 60 * 2:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        rest = whole % 60
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 60 * 3:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        rest = hours % 24
        return f"{days}d{rest}h" if rest else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        rest = days % 365
        return f"{years}y{rest}d" if rest else f"{years}y"
    return f"{years}y"
