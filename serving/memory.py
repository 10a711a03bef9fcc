"""Memory that connections held goes back to the machine.

glibc keeps what was freed between blocks that are in use: two thousand watches that came and went left 70 MB in the process
each time, and the next two thousand did not fill those gaps. malloc_trim gives whole free pages back; it takes 4 ms at
100 MB. A server runs give_back() for as long as it lives. Other C libraries have no such call and are left alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from apimachinery.clock import Clock

PERIOD = 60.0
"""Seconds between trims: memory need not come back at once, and a trim costs less than a ten-thousandth of this."""


async def give_back(clock: Clock) -> None:
    """Return freed pages every PERIOD seconds, until cancelled."""
    trim = _trim()
    while trim is not None:
        await clock.sleep(PERIOD)
        trim(0)


def _trim() -> Callable[[int], int] | None:
    """The C library's malloc_trim; None where it has none."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim
