"""Pod-level cgroups: one group per pod, under one group per QoS class, as kubelet lays them out.

    /kubepods/<pod>             guaranteed      kubepods.slice/kubepods-pod<uid>.slice
    /kubepods/burstable/pod..   burstable       kubepods.slice/kubepods-burstable.slice/...
    /kubepods/besteffort/pod..  best effort

Called by the worker before a sandbox is made and after it is gone. Works on v1 and v2 hierarchies; under systemd the
slices belong to systemd, which makes them when the runtime asks for them, so only their names are computed here.
Everything that the host forbids is reported by returning False, and pods then run without a group of their own.
"""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

log = logging.getLogger(__name__)

MOUNT = Path("/sys/fs/cgroup")
_V1 = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "systemd")


@lru_cache(maxsize=1)
def unified() -> bool:
    """Whether the host has the v2 hierarchy alone (a v2 mount beside v1 controllers does not count)."""
    return (MOUNT / "cgroup.controllers").exists()


@dataclass(frozen=True, slots=True)
class Limits:
    """cpu_shares: v1 weight. cpu_quota and cpu_period: microseconds, quota -1 for none. memory: bytes, 0 for none."""

    cpu_shares: int
    cpu_quota: int = -1
    cpu_period: int = 100_000
    memory: int = 0
    pids: int = 0


def pod_path(root: str, qos: str, uid: str, *, systemd: bool) -> str:
    """The cgroup parent to give the runtime for a pod. qos: Guaranteed | Burstable | BestEffort."""
    middle = {"Burstable": "burstable", "BestEffort": "besteffort"}.get(qos, "")
    if not systemd:
        return "/".join(["", root, *([middle] if middle else []), f"pod{uid}"])
    name = "-".join([root, *([middle] if middle else []), "pod" + uid.replace("-", "_")])
    return f"{name}.slice"


def weight(shares: int) -> int:
    """cpu.weight (v2) for cpu.shares (v1), by the formula that runc uses."""
    return 1 + ((max(2, min(262144, shares)) - 2) * 9999) // 262142


def create(path: str, limits: Limits) -> bool:
    """Make the group (and its parents), or take it as it is, and set its limits; False where the host forbids it."""
    try:
        if unified():
            _create_v2(path, limits)
        else:
            _create_v1(path, limits)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EINVAL, errno.EBUSY):
            raise
        log.warning("no cgroup %s: %s", path, error)
        return False
    return True


def _create_v2(path: str, limits: Limits) -> None:
    current = MOUNT
    for part in path.strip("/").split("/"):
        available = (current / "cgroup.controllers").read_text().split()
        wanted = [name for name in ("cpu", "memory", "pids", "cpuset", "io", "hugetlb") if name in available]
        enabled = (current / "cgroup.subtree_control").read_text().split()
        for name in wanted:
            if name not in enabled:
                _write(current / "cgroup.subtree_control", f"+{name}")
        current = current / part
        current.mkdir(exist_ok=True)
    _write(current / "cpu.weight", str(weight(limits.cpu_shares)))
    quota = "max" if limits.cpu_quota < 0 else str(limits.cpu_quota)
    _write(current / "cpu.max", f"{quota} {limits.cpu_period}")
    _write(current / "memory.max", str(limits.memory) if limits.memory else "max")
    if limits.pids:
        _write(current / "pids.max", str(limits.pids))


def _create_v1(path: str, limits: Limits) -> None:
    for controller in _V1:
        base = MOUNT / controller
        if not base.is_dir():
            continue
        folder = base / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        if controller == "cpuset":
            _fill_cpuset(base, folder)
    cpu, memory = MOUNT / "cpu" / path.strip("/"), MOUNT / "memory" / path.strip("/")
    if cpu.is_dir():
        _write(cpu / "cpu.shares", str(max(2, limits.cpu_shares)))
        _write(cpu / "cpu.cfs_period_us", str(limits.cpu_period))
        _write(cpu / "cpu.cfs_quota_us", str(limits.cpu_quota))
    if memory.is_dir():
        _write(memory / "memory.limit_in_bytes", str(limits.memory or -1))
    pids = MOUNT / "pids" / path.strip("/")
    if pids.is_dir() and limits.pids:
        _write(pids / "pids.max", str(limits.pids))


def _fill_cpuset(base: Path, folder: Path) -> None:
    """A v1 cpuset group starts empty, and no process can be put into an empty one."""
    parts = folder.relative_to(base).parts
    current = base
    for part in parts:
        for name in ("cpuset.cpus", "cpuset.mems"):
            value = (current / name).read_text().strip()
            below = current / part / name
            if value and below.exists() and not below.read_text().strip():
                _write(below, value)
        current = current / part


def _write(path: Path, value: str) -> None:
    if not path.exists():
        return
    path.write_text(value)


def remove(path: str) -> bool:
    """Remove the group and whatever groups are left inside it; False while processes are still in it."""
    bases = [MOUNT] if unified() else [MOUNT / name for name in _V1]
    bases += [MOUNT / "unified"] if not unified() else []
    gone = True
    for base in bases:
        folder = base / path.strip("/")
        if folder.is_dir():
            gone = _remove_tree(folder) and gone
    return gone


def _remove_tree(folder: Path) -> bool:
    for current, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(current)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def pods(root: str) -> list[str]:
    """Paths of the pod groups under a root, relative to the hierarchy: what reset looks through."""
    base = (MOUNT if unified() else MOUNT / "memory") / root
    found: list[str] = []
    for parent in (base, base / "burstable", base / "besteffort"):
        if parent.is_dir():
            found += [
                str(entry.relative_to(MOUNT if unified() else MOUNT / "memory"))
                for entry in parent.iterdir()
                if entry.is_dir() and entry.name.startswith("pod")
            ]
    return found
