"""The supervisor with small real processes: order, restart, shutdown, and no orphans."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Runs a supervisor over parts that write what happens to a journal. argv: journal, state file, kind of second part.
PROGRAM = """
import json, os, pathlib, signal, sys, time
from apimachinery.clock import RealClock
from steersman.supervisor import Part, StartError, Supervisor
from steersman.terminal import Terminal

journal, state, kind = sys.argv[1:]

def note(text):
    fd = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (text + "\\n").encode())
    os.close(fd)

def service(name, delay=0.0):
    def body(lifeline, notify):
        def stop(*_):
            note(f"stop {name}")
            os._exit(0)
        signal.signal(signal.SIGTERM, stop)
        note(f"start {name}")
        time.sleep(delay)
        os.write(notify, b"1")
        os.read(lifeline, 1)
        note(f"orphan {name}")
        return 0
    return body

def broken(lifeline, notify):
    os.write(notify, b"port 1 is in use")
    return 3

def job(lifeline, notify):
    note("job")
    return 0

def stubborn(lifeline, notify):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(notify, b"1")
    while True:
        time.sleep(1)

second = {"service": service("b"), "broken": broken, "job": job, "stubborn": stubborn}[kind]
log = pathlib.Path("x.log")
parts = [Part("a", "part a", service("a", 0.1), log, 0), Part("b", "part b", second, log, 1, job=kind == "job")]

def changed(pids):
    pathlib.Path(state + ".new").write_text(json.dumps(pids))
    os.replace(state + ".new", state)

try:
    Supervisor(parts, clock=RealClock(), terminal=Terminal(), changed=changed).run(all_ready=lambda: note("ready"))
except StartError as error:
    print(error)
    sys.exit(1)
"""


class Run:
    def __init__(self, folder: Path, kind: str) -> None:
        self.journal, self.state = folder / "journal", folder / "state"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.journal), str(self.state), kind],
            stdout=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads(self.state.read_text())
        return pids

    def await_lines(self, text: str, count: int = 1) -> None:
        deadline = time.monotonic() + 20
        while self.lines().count(text) < count:
            assert time.monotonic() < deadline, f"no {text!r} in {self.lines()}"
            time.sleep(0.01)

    def end(self) -> str:
        out, _ = self.process.communicate(timeout=20)
        return out


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    runs: list[Run] = []

    def begin(kind: str) -> Run:
        runs.append(Run(tmp_path, kind))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate()


def test_stages_start_in_order_and_stop_in_reverse(start: Callable[[str], Run]) -> None:
    run = start("service")
    run.await_lines("ready")
    run.process.send_signal(signal.SIGTERM)
    run.end()
    assert run.process.returncode == 0
    assert run.lines() == ["start a", "start b", "ready", "stop b", "stop a"]


def test_a_killed_part_is_started_again(start: Callable[[str], Run]) -> None:
    run = start("service")
    run.await_lines("ready")
    old = run.pids()["a"]
    os.kill(old, signal.SIGKILL)
    run.await_lines("start a", 2)
    run.process.send_signal(signal.SIGINT)
    out = run.end()
    assert "was killed by SIGKILL; starting it again" in out


def test_parts_end_when_the_supervisor_is_killed(start: Callable[[str], Run]) -> None:
    run = start("service")
    run.await_lines("ready")
    run.process.kill()
    run.await_lines("orphan a")
    run.await_lines("orphan b")


def test_a_part_that_cannot_start_ends_everything_with_its_own_words(start: Callable[[str], Run]) -> None:
    run = start("broken")
    out = run.end()
    assert run.process.returncode == 1
    assert "part b could not start: port 1 is in use" in out
    assert run.lines()[-1] == "stop a"


def test_a_job_counts_as_ready_when_it_has_ended(start: Callable[[str], Run]) -> None:
    run = start("job")
    run.await_lines("ready")
    assert run.lines()[:3] == ["start a", "job", "ready"]


def test_a_part_that_ignores_sigterm_is_killed(start: Callable[[str], Run]) -> None:
    run = start("stubborn")
    run.await_lines("ready")
    pid = run.pids()["b"]
    run.process.send_signal(signal.SIGTERM)
    run.end()
    assert run.process.returncode == 0
    assert not Path(f"/proc/{pid}").exists()


def test_terminal_without_colours_is_plain() -> None:
    from steersman.terminal import Terminal

    stream = io.StringIO()
    Terminal(stream).done("API server", "https://127.0.0.1:6443")
    assert stream.getvalue() == "  ✓ API server    https://127.0.0.1:6443\n"
