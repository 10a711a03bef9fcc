"""One cluster with real containers for all end-to-end tests, shared by the workers of a parallel run; a namespace per test."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import images, machine
from tests.support.cluster import Cluster

IMAGE = "test.local/busybox:1"
IMAGE_NEXT = "test.local/busybox:2"
_names = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.e2e)
        reason = "" if machine.kubectl() else "needs kubectl"
        if "cluster" in getattr(item, "fixturenames", ()):  # the shared one runs real containers
            reason = reason or machine.why_no_containers()
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _load_images(cluster: Cluster, folder: Path) -> None:
    first = images.build(folder / "one.tar", IMAGE, files={"version": b"1\n"})
    second = images.build(folder / "two.tar", IMAGE_NEXT, files={"version": b"2\n"})
    cluster.steersman("image", "load", str(first), str(second))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Cluster]:
    """A running cluster. The first worker that needs it starts it, the last one stops it and removes what it left."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    lock, state_file = shared / "cluster.lock", shared / "cluster.json"
    with locked(lock):
        state = json.loads(state_file.read_text()) if state_file.exists() else None
        if state is None:
            running = Cluster(Path(f"/var/tmp/steersman-e2e-{os.getpid()}"))
            running.start(detached=True)
            state = {
                "users": 0,
                "port": running.port,
                "data": str(running.data_dir),
                "arguments": running.arguments,
            }
            _load_images(running, shared)
        else:
            running = Cluster(Path(state["data"]))
            running.port, running.arguments = state["port"], state["arguments"]
        state["users"] += 1
        state_file.write_text(json.dumps(state))
    yield running
    with locked(lock):
        state = json.loads(state_file.read_text())
        state["users"] -= 1
        state_file.write_text(json.dumps(state))
        if state["users"] == 0:
            state_file.unlink()
            _end(running)


def _end(running: Cluster) -> None:
    pid = running.owner()
    if pid is not None:
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 15
    while running.owner() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.steersman("reset", "--yes")
    running.output.unlink(missing_ok=True)


@pytest.fixture
def namespace(cluster: Cluster, worker_id: str) -> Iterator[str]:
    """A fresh namespace, deleted afterwards without waiting."""
    name = f"e2e-{worker_id}-{next(_names)}"
    cluster.out("create", "namespace", name)
    # Pods are refused until the controllers have made it, here as on any cluster.
    deadline = time.monotonic() + 15
    while cluster.kubectl("get", "serviceaccount/default", "-n", name, check=False).returncode != 0:
        assert time.monotonic() < deadline, cluster.log_tails()
        time.sleep(0.05)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Callable[..., str]:
    """kubectl in the test's namespace; returns what it printed."""

    def run(*arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 90) -> str:
        done = cluster.kubectl(f"--namespace={namespace}", *arguments, stdin=stdin, check=check, timeout=timeout)
        return done.stdout if check else done.stdout + done.stderr

    return run
