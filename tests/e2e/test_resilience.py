"""What is killed heals, and nothing that was acknowledged is lost. Each test has a cluster of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.manifests import deployment, text
from tests.support.cluster import ROOT, Cluster, Failed


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with simulated pods: fast, and beside the shared one on the same machine."""
    cluster = Cluster(tmp_path / "cluster", "--runtime=simulated")
    cluster.start()
    yield cluster
    if cluster.process is not None and cluster.process.poll() is None:
        cluster.stop()


def await_running(cluster: Cluster, name: str = "web", replicas: int = 2) -> None:
    cluster.out("wait", f"deployment/{name}", f"--for=jsonpath={{.status.readyReplicas}}={replicas}", "--timeout=60s")


def await_gone(pid: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


@pytest.mark.parametrize("component", ["apiserver", "controllers", "scheduler", "nodeagent"])
def test_a_killed_component_is_started_again_and_works(small: Cluster, component: str) -> None:
    old = small.pids()[component]
    os.kill(old, signal.SIGKILL)
    await_gone(old)
    deadline = time.monotonic() + 30
    while small.pids().get(component) in (None, old):
        assert time.monotonic() < deadline, small.output.read_text()
        time.sleep(0.05)
    while small.kubectl("apply", "-f", "-", stdin=text(deployment("web", replicas=2)), check=False).returncode != 0:
        assert time.monotonic() < deadline, small.log_tails()
        time.sleep(0.2)
    await_running(small)


def test_after_kill_9_of_everything_all_is_still_there(small: Cluster) -> None:
    small.apply(text(deployment("web", replicas=2)))
    await_running(small)
    names = [f"c{number}" for number in range(20)]
    for name in names:
        small.out("create", "configmap", name)
    pids = list(small.pids().values())
    assert small.process is not None
    for pid in (small.process.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    small.process.wait(10)
    for pid in pids:
        await_gone(pid)
    small.start()
    found = small.out("get", "configmaps", "-o", "name")
    assert all(f"configmap/{name}\n" in found for name in names)
    await_running(small)


def test_a_second_up_on_the_same_directory_is_refused(small: Cluster) -> None:
    assert small.process is not None
    done = small.steersman("up", check=False)
    assert done.returncode == 1
    assert f"another steersman (pid {small.process.pid}) already runs on {small.data_dir}" in done.stderr


def test_a_port_in_use_is_told(small: Cluster, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "other", f"--secure-port={small.port}", "--runtime=simulated")
    with pytest.raises(Failed, match=r"API server could not start: .*address already in use"):
        other.start()


def test_stopping_takes_less_than_five_seconds_and_leaves_nothing(small: Cluster) -> None:
    small.apply(text(deployment("web", replicas=2)))
    await_running(small)
    command = [small.kubectl_path, f"--kubeconfig={small.kubeconfig}", "get", "pods", "--watch"]
    pids = list(small.pids().values())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        assert small.stop() < 5.0
        watching.wait(10)
    for pid in pids:
        await_gone(pid, 0.5)


def test_status_tells_what_runs(small: Cluster) -> None:
    told = small.steersman("status").stdout
    assert "API server: ready" in told
    for component in ("apiserver", "controllers", "scheduler", "nodeagent"):
        assert component in told
    small.stop()
    stopped = small.steersman("status", check=False)
    assert stopped.returncode == 1
    assert "not running" in stopped.stdout


def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    command = [sys.executable, "-m", "steersman", "up", f"--data-dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "not a steersman data directory" in done.stderr
