"""Finding a container runtime, and running a private containerd where none runs.

    discover(flag, root_dir) -> Choice      what `--runtime` means on this machine; RuntimeMissing says what to do
    Private                                 a containerd of our own under the data directory: configuration, argv
    supervise(private, clock, ...)          starts it, waits until it serves, restarts it when it dies; on cancellation it is
                                            ended, but its shims and the containers in them live on

Called by the supervisor (steersman/), which owns the process when `up` runs, and by the node agent when it runs alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
import shutil
import signal
import socket as sockets
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from apimachinery.clock import Clock
from nodeagent import cgroups, pause

log = logging.getLogger(__name__)

DEFAULT_SOCKETS = ("/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock")
CNI_BIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
INSTALL = "apt-get install containerd runc containernetworking-plugins"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAP_SYS_RESOURCE = 24


class RuntimeMissing(Exception):
    """No runtime can be used; the text says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Choice:
    """kind: cri (someone else's runtime at socket), private (ours, at socket) or simulated (no socket)."""

    kind: str
    socket: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Private:
    """A private containerd's places. id: eight hex digits that stand for the data directory.

    state holds sockets, whose paths may be 108 bytes long at most, so it lies under /run; root may be anywhere.
    """

    id: str
    root: Path
    state: Path
    cni_conf_dir: Path
    cni_bin_dir: str
    binary: str

    @property
    def socket(self) -> str:
        return str(self.state / "containerd.sock")

    @property
    def config_file(self) -> Path:
        return self.root / "config.toml"

    @property
    def argv(self) -> list[str]:
        return [self.binary, "--config", str(self.config_file), "--log-level", "warn"]


def instance_id(root_dir: Path) -> str:
    """Eight hex digits that name everything this data directory's cluster makes on the host: bridge, tables, paths."""
    return hashlib.sha256(os.path.realpath(root_dir).encode()).hexdigest()[:8]


def run_dir(root_dir: Path) -> Path:
    """Where short-lived things of this cluster lie: gone after a reboot, and short enough for sockets."""
    return Path("/run/steersman") / instance_id(root_dir)


def private(root_dir: Path) -> Private:
    """The places of the private containerd of a data directory; nothing is created."""
    return Private(
        id=instance_id(root_dir),
        root=root_dir.resolve() / "containerd",
        state=run_dir(root_dir) / "containerd",
        cni_conf_dir=root_dir.resolve() / "cni" / "net.d",
        cni_bin_dir=find_cni_bin_dir() or CNI_BIN_DIRS[0],
        binary=_which("containerd") or "containerd",
    )


def discover(flag: str, root_dir: Path) -> Choice:
    """What `--runtime` means here. RuntimeMissing when it cannot be had; ValueError for a flag that means nothing."""
    if flag == "simulated":
        return Choice("simulated")
    if flag.startswith("cri="):
        path = flag.removeprefix("cri=").removeprefix("unix://")
        if not connectable(path):
            raise RuntimeMissing(f"nothing answers at the runtime socket {path}; is the runtime running?")
        return Choice("cri", path)
    if flag not in ("auto", "containerd"):
        raise ValueError(f"--runtime {flag}: must be auto, containerd, cri=SOCKET or simulated")
    note = ""
    for path in DEFAULT_SOCKETS:
        if connectable(path):
            if serves_cri(path):
                return Choice("cri", path)
            note = f"the containerd at {path} has its CRI plugin disabled (Docker's does), so a private one is used"
            break
    missing = missing_for_private()
    if missing:
        raise RuntimeMissing(_explain(missing, note))
    return Choice("private", private(root_dir).socket, note)


def missing_for_private() -> list[str]:
    """What a private containerd would need and this machine has not; empty when it can run."""
    missing = []
    if platform.system() != "Linux":
        return ["Linux (containers need it)"]
    if os.geteuid() != 0:
        missing.append("root privileges (containerd needs them)")
    missing += [name for name in ("containerd", "containerd-shim-runc-v2", "runc") if not _which(name)]
    if not find_cni_bin_dir():
        missing.append("the CNI plugins " + ", ".join(CNI_PLUGINS) + " (looked in " + ", ".join(CNI_BIN_DIRS) + ")")
    if platform.machine().lower() not in pause.ARCHITECTURES:
        missing.append(f"a sandbox program for {platform.machine()}")
    return missing


def _explain(missing: list[str], note: str) -> str:
    lines = ["no container runtime can be used:"]
    if note:
        lines.append(f"  {note}")
    else:
        lines.append(f"  no containerd answers at {DEFAULT_SOCKETS[0]}, and a private one cannot be started")
    lines += [f"  missing: {item}" for item in missing]
    lines.append(f"On Debian or Ubuntu, as root: {INSTALL}")
    lines.append(
        "Another runtime: --runtime cri=SOCKET. Without containers (pods are only simulated): --runtime simulated"
    )
    return "\n".join(lines)


def find_cni_bin_dir() -> str:
    """The first directory that has every plugin needed, or ""."""
    for folder in CNI_BIN_DIRS:
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in CNI_PLUGINS):
            return folder
    return ""


def _which(name: str) -> str:
    """Where a program is; system directories count even when the caller's PATH lacks them."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH) or ""


def connectable(path: str) -> bool:
    """Whether someone listens on the unix socket."""
    try:
        with sockets.socket(sockets.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(path)
    except OSError:
        return False
    return True


def serves_cri(path: str) -> bool:
    """Whether the containerd there speaks CRI v1. Asked in a process of its own: gRPC must not live in a forking parent."""
    code = (
        "import grpc,sys\n"
        "c=grpc.insecure_channel('unix:'+sys.argv[1],options=[('grpc.default_authority','localhost')])\n"
        "c.unary_unary('/runtime.v1.RuntimeService/Version')(b'',timeout=5)\n"
    )
    import sys

    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False)
    return answer.returncode == 0


def has_capability(number: int) -> bool:
    """Whether this process has the capability in its effective set."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def find_snapshotter(root: Path) -> str:
    """overlayfs where the kernel can mount one over this directory, else native (copies)."""
    probe = root / ".overlay-probe"
    lower, upper, work, merged = (probe / name for name in ("lower", "upper", "work", "merged"))
    try:
        for folder in (lower, upper, work, merged):
            folder.mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mounted = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            return "native"
        subprocess.run(["umount", str(merged)], capture_output=True, check=False)
        return "overlayfs"
    except OSError:
        return "native"
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def systemd_cgroups() -> bool:
    """Whether a private containerd uses systemd slices: where systemd owns a unified hierarchy."""
    return cgroups.unified() and Path("/run/systemd/system").is_dir()


def render_config(place: Private, *, snapshotter: str, sandbox_image: str = pause.NAME) -> str:
    """config.toml; version 2, which containerd 1.3 to 2.x read."""
    restrict = "false" if has_capability(_CAP_SYS_RESOURCE) else "true"
    systemd = "true" if systemd_cgroups() else "false"
    runc = _which("runc")
    return f"""\
# Written by steersman at each start; changes are lost.
version = 2
root = "{place.root / "root"}"
state = "{place.state / "state"}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.internal.v1.tracing",
  "io.containerd.internal.v1.opt"]

[grpc]
  address = "{place.socket}"

[ttrpc]
  address = "{place.socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = {restrict}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{place.cni_bin_dir}"
    conf_dir = "{place.cni_conf_dir}"
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = {systemd}
        BinaryName = "{runc}"
"""


def prepare(place: Private) -> None:
    """Make the directories and write the configuration; blocking, tens of milliseconds."""
    for folder in (place.root, place.state, place.cni_conf_dir):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
    if len(place.socket) + len(".ttrpc") > 107:
        raise RuntimeMissing(f"the socket path {place.socket} is too long for a unix socket")
    place.config_file.write_text(render_config(place, snapshotter=find_snapshotter(place.root)))


async def supervise(
    place: Private, clock: Clock, *, log_file: str, ready: Callable[[], None] | None = None, grace: float = 5.0
) -> None:
    """Keep the private containerd running until cancelled; then end it, leaving shims and containers alone.

    log_file: where its output is appended. ready: called each time it serves. grace: seconds it has to end.
    """
    await asyncio.to_thread(prepare, place)
    backoff = 0.5
    while True:
        started = clock.monotonic()
        with open(log_file, "ab", buffering=0) as output:  # noqa: ASYNC230 (opened once per start)
            process = await _Child.start(place.argv, output)
        try:
            if await wait_until_serving(place.socket, clock, process) and ready is not None:
                ready()
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process, clock, grace)
            raise
        if clock.monotonic() - started > 60:
            backoff = 0.5
        log.warning("containerd ended with %s, see %s; starting it again in %.1f s", code, log_file, backoff)
        await clock.sleep(backoff)
        backoff = min(30.0, backoff * 2)


class _Child:
    """A child process awaited without threads. Made by subprocess (vfork) and not by the event loop, whose fork would run
    the handlers that gRPC has for forks, in a process full of its threads."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._ended = asyncio.Event()
        self._descriptor = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    @classmethod
    async def start(cls, argv: list[str], output: IO[bytes]) -> _Child:
        """Start it in a session of its own: Ctrl-C in the terminal is for us to pass on. OSError."""
        return cls(
            await asyncio.to_thread(
                subprocess.Popen, argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        )

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._process.wait()
        self._ended.set()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        """Its exit status, negative for a signal."""
        await self._ended.wait()
        return int(self._process.returncode)

    def signal(self, number: int) -> None:
        if not self._ended.is_set():
            self._process.send_signal(number)


async def end_stale(place: Private, clock: Clock, *, seconds: float = 10.0) -> None:
    """End a private containerd that an agent which died without a word left running; its containers live on."""
    pid = await asyncio.to_thread(_listener, place)
    if pid is None:
        return
    log.info("ending the containerd (pid %d) that an earlier run left behind", pid)
    waited = 0.0
    os.kill(pid, signal.SIGTERM)
    while waited < seconds and _is_ours(pid, place):
        await clock.sleep(0.02)
        waited += 0.02
    if _is_ours(pid, place):
        os.kill(pid, signal.SIGKILL)


def _listener(place: Private) -> int | None:
    """The process that listens on our socket, when it is a containerd with our configuration."""
    try:
        with sockets.socket(sockets.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(place.socket)
            credentials = probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, 12)
    except OSError:
        return None
    pid = int.from_bytes(credentials[:4], "little")
    return pid if _is_ours(pid, place) else None


def _is_ours(pid: int, place: Private) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        alive = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
    return alive and str(place.config_file).encode() in arguments


async def wait_until_serving(path: str, clock: Clock, process: _Child | None = None, *, seconds: float = 60.0) -> bool:
    """Whether the socket accepted a connection in time (False also when the process ended before)."""
    waited = 0.0
    while waited < seconds:
        if connectable(path):
            return True
        if process is not None and process.returncode is not None:
            return False
        await clock.sleep(0.02)
        waited += 0.02
    return False


async def _end(process: _Child, clock: Clock, grace: float) -> None:
    if process.returncode is not None:
        return
    process.signal(signal.SIGTERM)
    waited = 0.0
    while process.returncode is None and waited < grace:
        await clock.sleep(0.05)
        waited += 0.05
    if process.returncode is None:
        process.signal(signal.SIGKILL)
    await process.wait()
