"""The log backend: what is written, rotated, dropped and waited for."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from apimachinery.clock import ControlledClock
from apiserver.audit.config import Config
from apiserver.audit.log import LogBackend, RotatingFile


class Clock(ControlledClock):
    """Moves by itself, so that rotated files have different names."""

    def time(self) -> float:
        self._start += 1
        return super().time()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_is_rotated_by_size_and_old_ones_go(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "audit.log", Clock(), size=100, backups=2, age=0, compress=False)
    for number in range(10):
        file.write([b"%039d\n" % number])
    file.close()
    assert len(names(tmp_path)) == 3
    assert (tmp_path / "audit.log").read_bytes() == b"%039d\n%039d\n" % (8, 9)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())
    newest = names(tmp_path)[1]
    assert (tmp_path / newest).read_bytes() == b"%039d\n%039d\n" % (6, 7)


def test_a_batch_is_cut_where_the_file_is_full(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "audit.log", Clock(), size=100, backups=0, age=0, compress=True)
    file.write([b"%039d\n" % number for number in range(5)])
    file.close()
    packed = [path for path in sorted(tmp_path.iterdir()) if path.suffix == ".gz"]
    assert b"".join(gzip.decompress(path.read_bytes()) for path in packed) == b"".join(
        b"%039d\n" % number for number in range(4)
    )
    assert (tmp_path / "audit.log").read_bytes() == b"%039d\n" % 4


def test_files_that_are_too_old_go(tmp_path: Path) -> None:
    clock = ControlledClock()
    old = tmp_path / "audit-2023-01-01T00-00-00.000.log"
    young = tmp_path / "audit-2023-11-14T00-00-00.000.log"
    other = tmp_path / "audit-notes.log"
    for path in (old, young, other):
        path.write_text("x")
    RotatingFile(tmp_path / "audit.log", clock, size=0, backups=0, age=30 * 86400, compress=False).close()
    assert names(tmp_path) == [young.name, other.name, "audit.log"]


async def test_answers_wait_for_what_is_written_before_them(tmp_path: Path) -> None:
    backend = LogBackend(Config(audit_log_path=str(tmp_path / "a.log")), ControlledClock(), lambda plugin, count: None)
    pending = backend.process(b"{}")
    assert pending is not None
    assert await pending
    assert (tmp_path / "a.log").read_bytes() == b"{}\n"
    await backend.close()


async def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path) -> None:
    dropped: list[tuple[str, int]] = []
    config = Config(audit_log_path=str(tmp_path / "a.log"), audit_log_mode="batch", audit_log_batch_buffer_size=0)
    backend = LogBackend(config, ControlledClock(), lambda plugin, count: dropped.append((plugin, count)))
    assert backend.process(b"{}") is None
    await backend.close()
    assert dropped == [("buffered", 1)]


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    failures: list[tuple[str, int]] = []
    config = Config(audit_log_path="/dev/full", audit_log_maxsize=0, audit_log_mode="blocking-strict")
    backend = LogBackend(config, ControlledClock(), lambda plugin, count: failures.append((plugin, count)))
    pending = backend.process(b"{}")
    assert pending is not None
    assert not await pending
    assert failures == [("log", 1)]
    await backend.close()


async def test_large_events_lose_their_objects(tmp_path: Path) -> None:
    config = Config(
        audit_log_path=str(tmp_path / "a.log"), audit_log_truncate_enabled=True, audit_log_truncate_max_event_size=100
    )
    backend = LogBackend(config, ControlledClock(), lambda plugin, count: None)
    pending = backend.process(b'{"requestObject":{"data":"%b"},"stage":"x"}' % (b"x" * 200))
    assert pending is not None
    await pending
    await backend.close()
    assert (tmp_path / "a.log").read_text() == '{"stage":"x","annotations":{"audit.k8s.io/truncated":"true"}}\n'


def test_a_file_that_cannot_be_made_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError):
        LogBackend(Config(audit_log_path=str(tmp_path / "a" / "b.log")), ControlledClock(), lambda plugin, count: None)
