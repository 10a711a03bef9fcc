"""What this machine can do: tests that need more are skipped with the reason."""

from __future__ import annotations

import functools
import glob
import os
import shutil
import socket

_GCLOUD = "/usr/lib/google-cloud-sdk/bin"


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def own_ranges(number: int) -> list[str]:
    """Flags with pod and service ranges that another cluster on this machine hardly has, picked by a number."""
    second = 100 + number % 100
    return [f"--cluster-cidr=10.{second}.0.0/17", f"--service-cluster-ip-range=10.{second}.128.0/17"]


@functools.cache
def kubectls() -> dict[str, str]:
    """kubectl binaries by version ("1.27"), oldest first; those of the Cloud SDK carry theirs in the file name."""
    found = {}
    for path in glob.glob(f"{_GCLOUD}/kubectl.1.*"):
        found[path.rpartition("kubectl.")[2]] = path
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def kubectl() -> str | None:
    """The kubectl to use: the newest with a known version, else the one on PATH."""
    versions = kubectls()
    return versions[next(reversed(versions))] if versions else shutil.which("kubectl")


def why_no_containers() -> str:
    """Why real containers cannot run here; "" when they can."""
    if os.geteuid() != 0:
        return "needs root to run containers"
    missing = [name for name in ("containerd", "runc") if not shutil.which(name)]
    if missing:
        return f"needs {' and '.join(missing)}"
    if not busybox():
        return "needs a static busybox to build images from"
    return ""


def busybox() -> str | None:
    """A statically linked busybox (Debian: busybox-static)."""
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path):
            return path
    return None
