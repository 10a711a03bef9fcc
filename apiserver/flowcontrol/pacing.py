"""When waiting requests are let in: as seats become free, and not more in one turn of the event loop than it can bear.

The original's seats bound what runs in parallel. This server runs on one loop: requests that never wait for anything
would be done in the order of their arrival, however many connections one client sends them on, and no seat would ever be
taken twice. So in one turn of the loop requests take at most TURN seats; what arrives beyond that goes in line, and the
next turn takes from the lines in fair order. Levels share turns in proportion to their limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from apiserver.flowcontrol.levels import Level

TURN = 32  # seats a turn: some 3 ms of small requests, or three lists of a megabyte


class Pacer:
    """One per server."""

    __slots__ = ("_busy", "_now", "_planned", "left")

    def __init__(self) -> None:
        self.left = TURN  # seats that may still be taken in this turn
        self._planned = False
        self._busy: dict[Level, None] = {}  # levels in which somebody waits
        self._now = 0.0  # the virtual time of the level that went last

    def plan(self) -> None:
        """Let the next turn begin as soon as the loop comes round."""
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._turn)

    def waits(self, level: Level) -> None:
        """Somebody was put in line there."""
        if level not in self._busy:
            self._busy[level] = None
            level.turn = max(level.turn, self._now)
        self.plan()

    def freed(self, level: Level) -> None:
        """Seats were given back there."""
        if level.waiting:
            self.plan()

    def kick(self, levels: Iterable[Level]) -> None:
        """Limits have changed."""
        for level in levels:
            self.freed(level)

    def _turn(self) -> None:
        self._planned = False
        self.left = TURN
        stuck: set[Level] = set()
        while self.left > 0:
            level = min(
                (level for level in self._busy if level not in stuck), key=lambda level: level.turn, default=None
            )
            if level is None:
                break
            ticket = level.dispatch()
            if ticket is None:
                stuck.add(level)
                if not level.waiting:
                    del self._busy[level]
                continue
            self._now = level.turn
            level.turn += ticket.seats / max(level.limit, 1)
            self.left -= ticket.seats
        # Those that wait for seats are let in when seats are given back; those that wait for a turn, by the next one.
        if self.left <= 0:
            self.plan()
