"""Starts, watches, restarts and stops the components of a cluster on this machine. Called by `steersman up`.

The supervisor is also the launcher: it has imported what the components share, has no threads and no event loop, and forks
them, so that they start in milliseconds and share memory. It therefore never imports grpc or numpy.

    start      stage by stage: the components of a stage start together once all of the stage before are ready
    restart    a component that ends is started again after 0.5 s, doubling to 30 s, from 0.5 s again once it has lived a minute;
               one that ends before it was ever ready ends the whole start, with the reason it gave
    stop       SIGTERM to the stages in reverse order, 2 s each at most, then SIGKILL; within 5 s in all

Children end by themselves when the supervisor is killed: each holds the reading end of a pipe that only it writes to.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from apimachinery.clock import Clock
from steersman.terminal import Terminal

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0
STEADY_AFTER = 60.0
STOP_SECONDS = 2.0
KILL_SECONDS = 4.5
CHORE_SECONDS = 3600.0

Body = Callable[[int, int], int]
"""What a child does: (lifeline, notify descriptors) -> exit status."""


class StartError(Exception):
    """The cluster could not be started; the text is for the user."""


@dataclass(slots=True)
class Part:
    """A component to run: its name, what it shows when ready, its log, and the stage in which it starts.

    job: it is expected to end with status 0, and counts as ready then.
    """

    name: str
    title: str
    body: Body
    log_file: Path
    stage: int
    ready_text: Callable[[], str] = lambda: ""
    job: bool = False


@dataclass(slots=True)
class _Child:
    part: Part
    pid: int = 0
    ready: bool = False
    was_ready: bool = False
    finished: bool = False
    started: float = 0.0
    backoff: float = FIRST_BACKOFF
    restart_at: float | None = None
    restarts: int = 0
    lifeline: int = -1
    notify: int = -1
    said: bytearray = field(default_factory=bytearray)


class Supervisor:
    """Runs parts until told to stop. One use only."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        clock: Clock,
        terminal: Terminal,
        changed: Callable[[dict[str, int]], None],
        chore: Callable[[], None] = lambda: None,
    ) -> None:
        """changed: told the pids by name whenever they change. chore: called every hour while the cluster runs."""
        self._children = [_Child(part) for part in parts]
        self._clock = clock
        self._terminal = terminal
        self._changed = changed
        self._chore = chore
        self._chore_at = math.inf
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._stage = -1

    def run(self, *, all_ready: Callable[[], None]) -> None:
        """Start everything, call all_ready once, watch until SIGINT or SIGTERM, stop everything. Raises StartError."""
        with self._signals():
            try:
                self._start_all()
                if not self._stopping:
                    all_ready()
                self._chore_at = self._clock.monotonic() + CHORE_SECONDS
                while not self._stopping:
                    self._turn()
            finally:
                self._stop_all()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        os.set_blocking(self._wake_write, False)
        old_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        numbers = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        old = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            yield
        finally:
            signal.set_wakeup_fd(old_wakeup)
            for number, handler in old.items():
                signal.signal(number, handler)

    # -- starting

    def _start_all(self) -> None:
        for stage in sorted({child.part.stage for child in self._children}):
            self._stage = stage
            members = [child for child in self._children if child.part.stage == stage]
            for child in members:
                self._fork(child)
            while not self._stopping and not all(child.ready for child in members):
                self._turn()
            if self._stopping:
                return

    def _fork(self, child: _Child) -> None:
        lifeline_read, lifeline_write = os.pipe2(os.O_CLOEXEC)
        notify_read, notify_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become(child, lifeline_read, lifeline_write, notify_read, notify_write)
        os.close(lifeline_read)
        os.close(notify_write)
        child.pid, child.lifeline, child.notify = pid, lifeline_write, notify_read
        child.ready, child.finished, child.restart_at = False, False, None
        child.said.clear()
        child.started = self._clock.monotonic()
        self._selector.register(notify_read, selectors.EVENT_READ, child)
        self._tell()

    def _become(
        self, child: _Child, lifeline_read: int, lifeline_write: int, notify_read: int, notify_write: int
    ) -> NoReturn:
        """In the child: drop what belongs to the supervisor, run the body, never return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            # A Ctrl-C reaches the whole foreground process group; the supervisor alone decides the order of the end.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._selector.close()
            for other in self._children:
                for fd in (other.lifeline, other.notify):
                    if fd >= 0:
                        os.close(fd)
            for fd in (lifeline_write, notify_read, self._wake_read, self._wake_write):
                os.close(fd)
            with open(os.devnull) as null:
                os.dup2(null.fileno(), 0)
            status = child.part.body(lifeline_read, notify_write)
        finally:
            sys.stderr.flush()
            os._exit(status)

    # -- one turn of the loop

    def _turn(self, seconds: float | None = None) -> None:
        """Wait for something to happen, at most that long, and deal with it."""
        for key, _ in self._selector.select(self._wait_time(seconds)):
            if key.data is None:
                self._handle_signals()
            else:
                self._hear(key.data)
        self._reap()
        if not self._stopping:
            now = self._clock.monotonic()
            for child in self._children:
                if child.restart_at is not None and child.restart_at <= now:
                    self._fork(child)
            if self._chore_at <= now:
                self._chore_at = now + CHORE_SECONDS
                self._chore()

    def _wait_time(self, seconds: float | None) -> float | None:
        due = [child.restart_at for child in self._children if child.restart_at is not None]
        if self._chore_at < math.inf:
            due.append(self._chore_at)
        if not due or self._stopping:
            return seconds
        until = max(0.0, min(due) - self._clock.monotonic())
        return until if seconds is None else min(until, seconds)

    def _handle_signals(self) -> None:
        numbers = os.read(self._wake_read, 512)
        if signal.SIGINT in numbers or signal.SIGTERM in numbers or signal.SIGHUP in numbers:
            self._stopping = True

    def _hear(self, child: _Child) -> None:
        """Read what a child says: "1" is ready, anything else the reason for its end."""
        try:
            data = os.read(child.notify, 4096)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(child.notify)
            os.close(child.notify)
            child.notify = -1
            return
        child.said += data
        if data[:1] == b"1" and not child.ready:
            self._mark_ready(child)

    def _mark_ready(self, child: _Child) -> None:
        child.ready = True
        text = "ready again" if child.was_ready else child.part.ready_text()
        child.was_ready = True
        self._terminal.done(child.part.title, text)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self._children:
                if child.pid == pid:
                    self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: _Child, code: int) -> None:
        while child.notify >= 0:
            self._hear(child)
        os.close(child.lifeline)
        child.pid, child.lifeline = 0, -1
        self._tell()
        if self._stopping:
            return
        if child.part.job and code == 0:
            child.finished = True
            self._mark_ready(child)
            return
        reason = self._reason(child, code)
        if not child.was_ready:
            raise StartError(f"{child.part.title} could not start: {reason}\n  its log: {child.part.log_file}")
        child.ready = False
        if self._clock.monotonic() - child.started > STEADY_AFTER:
            child.backoff = FIRST_BACKOFF
        child.restart_at = self._clock.monotonic() + child.backoff
        self._terminal.warn(child.part.title, f"{reason}; starting it again in {child.backoff:g} s")
        child.backoff = min(child.backoff * 2, LONGEST_BACKOFF)
        child.restarts += 1

    @staticmethod
    def _reason(child: _Child, code: int) -> str:
        said = bytes(child.said).lstrip(b"1").decode(errors="replace").strip()
        if said:
            return said
        if code < 0:
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it ended with status {code}"

    def _tell(self) -> None:
        self._changed({child.part.name: child.pid for child in self._children if child.pid})

    # -- stopping

    def _stop_all(self) -> None:
        self._stopping = True
        begun = self._clock.monotonic()
        for stage in sorted({child.part.stage for child in self._children}, reverse=True):
            members = [child for child in self._children if child.part.stage == stage and child.pid]
            self._signal(members, signal.SIGTERM)
            self._await_end(members, min(self._clock.monotonic() + STOP_SECONDS, begun + KILL_SECONDS))
        rest = [child for child in self._children if child.pid]
        self._signal(rest, signal.SIGKILL)
        self._await_end(rest, self._clock.monotonic() + STOP_SECONDS)

    def _signal(self, children: Sequence[_Child], number: signal.Signals) -> None:
        for child in children:
            if child.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)

    def _await_end(self, children: Sequence[_Child], deadline: float) -> None:
        while any(child.pid for child in children):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return
            self._turn(left)
