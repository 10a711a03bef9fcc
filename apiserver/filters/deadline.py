"""Bounds how long a request may take. Watches and connections that live on are exempt; they have their own ends."""

from __future__ import annotations

import re

from apimachinery import clock as clocks
from apimachinery import errors
from apimachinery.clock import Clock
from apiserver.filters.base import Proceed, Request
from serving.reply import Reply

_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Deadline:
    """seconds: --request-timeout; a `timeout` parameter may ask for less."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        if request.long_running:
            return await proceed(request)
        seconds = self._seconds
        if "timeout" in request.raw_query and request.query.get("timeout"):
            seconds = min(seconds, _parse(request.param("timeout"), seconds))
        async with clocks.timeout(self._clock, seconds):
            return await proceed(request)


def _parse(text: str, default: float) -> float:
    """Seconds of a Go duration; 400 when it is none. Zero means the default."""
    if text == "0":
        return default
    if not text or _DURATION.sub("", text):
        raise errors.bad_request("invalid timeout specified in the request URL")
    total = 0.0
    for part in _DURATION.findall(text):
        unit = part.lstrip("0123456789.")
        total += float(part[: -len(unit)]) * _UNITS[unit]
    return total or default
