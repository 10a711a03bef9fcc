"""A whole cluster for tests: `steersman up` as a user runs it, stock kubectl beside it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from steersman.paths import DataDir
from tests.support import machine

ROOT = Path(__file__).resolve().parents[2]


class Failed(AssertionError):
    """A command that should have succeeded did not; the text holds what it printed."""


class Cluster:
    """One data directory and the `up` that runs on it."""

    def __init__(self, data_dir: Path, *arguments: str, kubectl: str | None = None) -> None:
        self.data_dir = data_dir
        self.port = machine.free_port()
        self.arguments = [
            f"--data-dir={data_dir}",
            f"--secure-port={self.port}",
            "--controllers.secure-port=0",
            "--scheduler.secure-port=0",
            f"--nodeagent.port={machine.free_port()}",
            *machine.own_ranges(self.port),
            *arguments,
        ]
        self.kubectl_path = kubectl or machine.kubectl() or "kubectl"
        self.kubeconfig = data_dir / "admin.kubeconfig"
        self.process: subprocess.Popen[str] | None = None
        self.output = data_dir.parent / f"{data_dir.name}.out"

    def start(self, timeout: float = 90, *, detached: bool = False) -> float:
        """Start `up` and wait until it says that it is ready; the seconds that took.

        detached: it is to outlive this process; owner() then tells its pid.
        """
        begun = time.monotonic()
        command = [sys.executable, "-m", "steersman", "up", *self.arguments]
        with self.output.open("w") as output:
            if detached:
                subprocess.run(["setsid", "--fork", *command], cwd=ROOT, stdout=output, stderr=output, check=True)
            else:
                self.process = subprocess.Popen(
                    command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True
                )
        while "Ready in" not in self.output.read_text():
            ended = "could not start" in self.output.read_text() or (self.process and self.process.poll() is not None)
            if ended or time.monotonic() - begun > timeout:
                self.kill()
                raise Failed(f"the cluster did not start:\n{self.output.read_text()}\n{self.log_tails()}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def stop(self, timeout: float = 15) -> float:
        """Stop as Ctrl-C does; the seconds that took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout)
        return time.monotonic() - begun

    def kill(self) -> None:
        """kill -9 of the supervisor; the components notice and end."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def owner(self) -> int | None:
        """The supervisor's process id, None when nothing runs on the data directory."""
        return DataDir(self.data_dir).owner()

    def pids(self) -> dict[str, int]:
        """The components' process ids."""
        pids: dict[str, int] = json.loads((self.data_dir / "state.json").read_text())["components"]
        return pids

    def steersman(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a steersman command on this cluster's data directory."""
        command = [sys.executable, "-m", "steersman", *arguments, f"--data-dir={self.data_dir}"]
        return run(command, check=check, cwd=ROOT)

    def kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        check: bool = True,
        timeout: float = 120,
        binary: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator."""
        command = [binary or self.kubectl_path, f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, stdin=stdin, check=check, timeout=timeout)

    def out(self, *arguments: str, **options: Any) -> str:
        """What kubectl printed."""
        return self.kubectl(*arguments, **options).stdout

    def get(self, *arguments: str) -> Any:
        """kubectl get -o json, decoded."""
        return json.loads(self.out("get", *arguments, "-o", "json"))

    def apply(self, manifest: str, *arguments: str) -> str:
        """kubectl apply -f - of a manifest."""
        return self.out("apply", "-f", "-", *arguments, stdin=manifest)

    def log_tails(self, lines: int = 15) -> str:
        """The last lines of every component's log."""
        parts = []
        for path in sorted((self.data_dir / "logs").glob("*.log")):
            parts.append(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(parts)


def run(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    check: bool = True,
    timeout: float = 120,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Failed with all it printed when it fails and should not."""
    environment = {**os.environ, "KUBECONFIG": "/nonexistent", "HOME": os.environ.get("HOME", "/tmp")}
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(
            f"{' '.join(command)} took longer than {timeout} s:\n{error.stdout!r}\n{error.stderr!r}"
        ) from error
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@contextlib.contextmanager
def running(data_dir: Path, *arguments: str) -> Iterator[Cluster]:
    """A cluster for the length of a block; its data is left for inspection when the block fails."""
    cluster = Cluster(data_dir, *arguments)
    cluster.start()
    try:
        yield cluster
    finally:
        if cluster.process is not None and cluster.process.poll() is None:
            cluster.stop()
