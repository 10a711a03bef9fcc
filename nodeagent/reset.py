"""Taking away everything that a node agent left on its host: containers, mounts, network, cgroups. For `steersman reset`.

Only what carries this cluster's labels or lies in its directories is touched. Every step is tried, whatever became of the
ones before, because a reset is called for when something is broken; what could not be removed is logged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from pathlib import Path

from apimachinery.clock import RealClock
from nodeagent import cgroups, containerd, machine, runtime
from nodeagent.config import Config
from nodeagent.containerd import Private
from nodeagent.network import cni
from nodeagent.network import host as host_network
from nodeagent.runtime import Runtime, RuntimeFailure
from nodeagent.volumes import mounts

log = logging.getLogger(__name__)

_SHARED_CONF = Path("/etc/cni/net.d")
_CNI_CACHE = Path("/var/lib/cni")


async def reset(config: Config) -> None:
    """Remove it all. The agent must not be running. Needs the privileges that the agent had."""
    if os.geteuid() != 0 or not config.root_dir.exists():
        return
    place = containerd.private(config.root_dir)
    try:
        if place.root.exists() and not containerd.missing_for_private():
            await _empty_private(place, config)
        elif config.runtime != "simulated":
            await _empty_shared(config)
    except (RuntimeFailure, OSError, containerd.RuntimeMissing, TimeoutError) as error:
        log.warning("could not remove all containers: %s", error)
    await asyncio.to_thread(_clean_host, config, place)


async def _empty_private(place: Private, config: Config) -> None:
    """Start the private containerd once more, since only it can give back what its sandboxes hold."""
    clock = RealClock()
    await containerd.end_stale(place, clock)
    serving = asyncio.Event()
    task = asyncio.create_task(
        containerd.supervise(place, clock, log_file=str(config.root_dir / "containerd.log"), ready=serving.set),
        name="containerd",
    )
    try:
        async with asyncio.timeout(60):
            await serving.wait()
            from nodeagent.cri.client import CriClient

            client = CriClient(place.socket, {})
            await _wait_until_answering(client)
            await _empty(client)
            await client.close()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _wait_until_answering(client: Runtime) -> None:
    clock = RealClock()
    for _ in range(200):
        try:
            await client.info()
            return
        except RuntimeFailure:
            await clock.sleep(0.05)


async def _empty_shared(config: Config) -> None:
    choice = await asyncio.to_thread(containerd.discover, config.runtime, config.root_dir)
    if choice.kind != "cri":
        return
    from nodeagent.cri.client import CriClient

    name = machine.node_name(config.hostname_override)
    labels = {runtime.CLUSTER: containerd.instance_id(config.root_dir), runtime.NODE: name}
    client = CriClient(choice.socket, labels)
    await _empty(client)
    await client.close()


async def _empty(client: Runtime) -> None:
    """Stop and remove every sandbox, several at once."""
    slots = asyncio.Semaphore(8)

    async def remove(sandbox_id: str) -> None:
        async with slots:
            try:
                await client.stop_sandbox(sandbox_id)
                await client.remove_sandbox(sandbox_id)
            except RuntimeFailure as error:
                log.warning("sandbox %s: %s", sandbox_id[:13], error)

    await asyncio.gather(*(remove(sandbox.id) for sandbox in await client.list_sandboxes()))


def _clean_host(config: Config, place: Private) -> None:
    run_dir = containerd.run_dir(config.root_dir)
    uids = [entry.name for entry in config.pods_dir.iterdir()] if config.pods_dir.is_dir() else []
    for uid in uids:
        for path in _pod_cgroups(config, uid):
            _kill_group(path)
            cgroups.remove(path)
    _kill_shims(place)
    for folder in (run_dir, config.root_dir):
        for point in mounts.mounted_below(folder):
            try:
                mounts.unmount(point)
            except OSError as error:
                log.warning("cannot unmount %s: %s", point, error)
    try:
        host_network.cleanup(place.id, containerd.run_dir(config.root_dir) / "network.json")
    except (host_network.HostNetworkError, OSError) as error:
        log.warning("the pod network is not gone: %s", error)
    if _shared_conf_is_ours(place):
        cni.remove(_SHARED_CONF)
    for entry in (_CNI_CACHE / "results").glob(f"{cni.network_name(place.id)}-*"):
        entry.unlink(missing_ok=True)
    shutil.rmtree(run_dir, ignore_errors=True)


def _shared_conf_is_ours(place: Private) -> bool:
    """Whether the configuration in the shared directory was written by this cluster and no other of ours."""
    path = _SHARED_CONF / "10-steersman.conflist"
    return path.exists() and cni.network_name(place.id) in path.read_text()


def _pod_cgroups(config: Config, uid: str) -> list[str]:
    qos = ("Guaranteed", "Burstable", "BestEffort")
    return [cgroups.pod_path(config.cgroup_root, kind, uid, systemd=False) for kind in qos]


def _kill_group(path: str) -> None:
    """Kill what is still in a pod's cgroup: its shim died before it."""
    base = cgroups.MOUNT if cgroups.unified() else cgroups.MOUNT / "pids"
    folder = base / path.strip("/")
    for file in folder.rglob("cgroup.procs") if folder.is_dir() else ():
        for line in file.read_text().split():
            _kill(int(line))


def _kill_shims(place: Private) -> None:
    """Shims that outlived their sandbox: those started with our socket's address."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments and b"containerd-shim" in arguments[0] and place.socket.encode() in arguments:
            _kill(int(entry.name))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
