# ruff: noqa: ASYNC240 (a test may wait for its own few files)
"""Logs that grow too large: rotated, compressed, bounded in number, and still readable while it happens."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from apimachinery.clock import ControlledClock
from nodeagent.logrotation import LogRotation
from nodeagent.observer import Observer
from nodeagent.runtime import RuntimeFailure
from nodeagent.simulated import SimulatedRuntime
from tests.nodeagent.pods import UID, holds, ran


class Writing(SimulatedRuntime):
    """Reopens as a runtime does: a new, empty file under the old name."""

    def __init__(self, clock: ControlledClock, path: Path) -> None:
        super().__init__(clock)
        self.path = path
        self.deaf = False

    async def reopen_log(self, container_id: str) -> None:
        if self.deaf:
            raise RuntimeFailure("Unavailable", "away")
        self.path.write_bytes(b"")


def bench(tmp_path: Path) -> tuple[ControlledClock, Writing, LogRotation, Path]:
    clock, path = ControlledClock(), tmp_path / "0.log"
    source = Writing(clock, path)
    observer = Observer(source, lambda uid: None)
    observer._pods[UID] = holds(dataclasses.replace(ran(), log_path=str(path)))
    return clock, source, LogRotation(source, observer, clock, max_size=10, max_files=3), path


async def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    _, _, rotation, path = bench(tmp_path)
    path.write_bytes(b"x" * 9)
    await rotation.look()
    assert [entry.name for entry in tmp_path.iterdir()] == ["0.log"]


async def test_rotation_compresses_and_forgets(tmp_path: Path) -> None:
    clock, _, rotation, path = bench(tmp_path)
    for _ in range(4):
        path.write_bytes(b"x" * 20)
        await rotation.look()
        await clock.advance(60)
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert len(names) == 3
    assert names[0] == "0.log"
    assert names[1].endswith(".gz")
    assert not names[2].endswith(".gz")


async def test_nothing_is_lost_when_the_runtime_does_not_reopen(tmp_path: Path) -> None:
    _, source, rotation, path = bench(tmp_path)
    source.deaf = True
    path.write_bytes(b"x" * 20)
    await rotation.look()
    assert [entry.name for entry in tmp_path.iterdir()] == ["0.log"]
