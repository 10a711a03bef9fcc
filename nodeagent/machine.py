"""What the machine is and has: processors, memory, disks, names, addresses. Reads /proc and /sys; blocking, milliseconds."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the agent runs. memory: bytes. huge_pages: page size as Kubernetes names it -> bytes."""

    cpus: int
    memory: int
    swap: int
    architecture: str
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    huge_pages: dict[str, int]


@dataclass(frozen=True, slots=True)
class Usage:
    """What is left now. Bytes and counts; totals beside what is available."""

    memory_available: int
    disk_total: int
    disk_available: int
    inodes_total: int
    inodes_free: int
    pids_free: int


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _meminfo() -> dict[str, int]:
    result = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            result[name] = int(words[0]) * (1024 if len(words) > 1 else 1)
    return result


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return platform.system()


def _huge_pages() -> dict[str, int]:
    """hugepages-<size> -> bytes set aside."""
    result = {}
    folder = Path("/sys/kernel/mm/hugepages")
    for entry in sorted(folder.glob("hugepages-*kB")) if folder.is_dir() else ():
        size = int(entry.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        count = _read(str(entry / "nr_hugepages"))
        name = f"{size >> 30}Gi" if size >= 1 << 30 else f"{size >> 20}Mi" if size >= 1 << 20 else f"{size >> 10}Ki"
        result[f"hugepages-{name}"] = size * int(count or 0)
    return result


def inspect() -> Machine:
    memory = _meminfo()
    return Machine(
        cpus=os.cpu_count() or 1,
        memory=memory.get("MemTotal", 0),
        swap=memory.get("SwapTotal", 0),
        architecture=_ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower()),
        machine_id=_read("/etc/machine-id") or _read("/var/lib/dbus/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(),
        huge_pages=_huge_pages(),
    )


def usage(folder: Path) -> Usage:
    """What is left, of disk where the folder lies."""
    memory = _meminfo()
    disk = os.statvfs(folder)
    most = _read("/proc/sys/kernel/pid_max")
    running = [*_read("/proc/loadavg").split(), "", "", "", "0/0"][3].partition("/")[2]
    return Usage(
        memory_available=memory.get("MemAvailable", memory.get("MemFree", 0)),
        disk_total=disk.f_blocks * disk.f_frsize,
        disk_available=disk.f_bavail * disk.f_frsize,
        inodes_total=disk.f_files,
        inodes_free=disk.f_favail,
        pids_free=max(0, int(most or 32768) - int(running or 0)),
    )


def node_name(override: str) -> str:
    """The node's name: the host's unless told otherwise."""
    return (override or socket.gethostname()).strip().lower()


def host_address() -> str:
    """The address by which others reach this machine: the source of the default route, else loopback."""
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 9))  # sends nothing; picks a route
                return str(probe.getsockname()[0])
            except OSError:
                continue
    return "127.0.0.1"
