"""Freed memory goes back to the machine, by the injected clock."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from apimachinery.clock import ControlledClock, settle
from serving import memory


async def test_trims_once_a_period() -> None:
    calls: list[int] = []
    clock = ControlledClock()

    def trim(pad: int) -> int:
        calls.append(pad)
        return 1

    with patch.object(memory, "_trim", lambda: trim):
        task = asyncio.create_task(memory.give_back(clock))
        await settle()
        for expected in (1, 2):
            await clock.advance(memory.PERIOD)
            assert len(calls) == expected
        task.cancel()


async def test_ends_at_once_where_the_library_cannot() -> None:
    with patch.object(memory, "_trim", lambda: None):
        await memory.give_back(ControlledClock())
