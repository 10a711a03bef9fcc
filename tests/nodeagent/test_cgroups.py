"""Pod cgroups: their names under both drivers, and real ones where the host lets us make them."""

from __future__ import annotations

import os
import subprocess

import pytest

from nodeagent import cgroups
from nodeagent.cgroups import Limits

UID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("qos", "systemd", "path"),
    [
        ("Guaranteed", False, f"/kubepods/pod{UID}"),
        ("Burstable", False, f"/kubepods/burstable/pod{UID}"),
        ("BestEffort", True, "kubepods-besteffort-pod11111111_2222_3333_4444_555555555555.slice"),
        ("Guaranteed", True, "kubepods-pod11111111_2222_3333_4444_555555555555.slice"),
    ],
)
def test_names(qos: str, systemd: bool, path: str) -> None:
    assert cgroups.pod_path("kubepods", qos, UID, systemd=systemd) == path


def test_weights() -> None:
    assert [cgroups.weight(shares) for shares in (2, 1024, 262144)] == [1, 39, 10000]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make cgroups")
def test_a_group_has_its_limits_and_goes_when_it_is_empty() -> None:
    path = f"/steersman-tests/pod{os.getpid()}"
    if not cgroups.create(path, Limits(cpu_shares=512, cpu_quota=50_000, memory=64 << 20)):
        pytest.skip("this host does not let cgroups be made")
    base = cgroups.MOUNT if cgroups.unified() else cgroups.MOUNT / "memory"
    name = "memory.max" if cgroups.unified() else "memory.limit_in_bytes"
    assert int((base / path.strip("/") / name).read_text()) == 64 << 20
    process = subprocess.Popen(["sleep", "100"])
    (base / path.strip("/") / "cgroup.procs").write_text(str(process.pid))
    assert not cgroups.remove(path)
    process.kill()
    process.wait()
    assert cgroups.remove(path)
    assert not (base / path.strip("/")).exists()
    cgroups.remove("/steersman-tests")
