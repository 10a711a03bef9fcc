"""A pod's volumes on this host: made, kept current, mounted into containers, taken away.

    PODS/<uid>/volumes/kubernetes.io~<plugin>/<name>      as the original lays them out
    VOLATILE/<uid>/...                                    what holds secrets, in memory: it never reaches a disk

Called by the worker: setup() before anything starts and at every look at the pod (a no-op unless content changed),
mount_points() for each container, teardown() when the pod is gone. Volume types that this node agent does not have are
refused with a VolumeError, never ignored.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apimachinery import pods, quantity
from apimachinery.clock import Clock
from nodeagent import expansion
from nodeagent.containerspec import MountPoint
from nodeagent.environment import ConfigError
from nodeagent.volumes import atomic, content, mounts
from nodeagent.volumes.content import Context, VolumeError

Obj = dict[str, Any]

_PLUGINS = {
    "emptyDir": "empty-dir",
    "configMap": "configmap",
    "secret": "secret",
    "downwardAPI": "downward-api",
    "projected": "projected",
    "hostPath": "host-path",
}
_VOLATILE = ("secret", "projected", "downwardAPI")
_HOST_TYPES = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


class VolumeErrors(Exception):
    """What failed: volume name -> text."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        super().__init__("; ".join(f'volume "{name}": {text}' for name, text in failures.items()))
        self.failures = dict(failures)


def kind_of(volume: Obj) -> str:
    """The source type of a volume: the one key beside its name."""
    return next((key for key, value in volume.items() if key != "name" and value is not None), "emptyDir")


class VolumeManager:
    """Volumes of all pods of the node. volatile: a directory in memory, mounted by prepare()."""

    def __init__(self, pods_dir: Path, volatile: Path, clock: Clock) -> None:
        self._pods = pods_dir
        self._volatile = volatile
        self._clock = clock

    def prepare(self) -> None:
        """Make the directories, the volatile one in memory. Blocking. OSError."""
        for folder in (self._pods, self._volatile):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o750)
        if not os.path.ismount(self._volatile) and os.geteuid() == 0:
            mounts.mount("tmpfs", self._volatile, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=0750")

    def pod_dir(self, uid: str) -> Path:
        return self._pods / uid

    def path(self, uid: str, volume: Obj) -> Path:
        """Where a volume lies on the host."""
        kind = kind_of(volume)
        if kind == "hostPath":
            return Path(volume["hostPath"]["path"])
        base = self._volatile / uid if kind in _VOLATILE else self.pod_dir(uid)
        return base / "volumes" / f"kubernetes.io~{_PLUGINS.get(kind, kind)}" / str(volume["name"])

    # ---- setting up

    async def setup(self, context: Context) -> bool:
        """Make all volumes of the pod, or bring them up to date; whether anything changed. VolumeErrors."""
        volumes = context.pod["spec"].get("volumes") or []
        results = await asyncio.gather(*(self._setup(context, volume) for volume in volumes), return_exceptions=True)
        failures: dict[str, str] = {}
        changed = False
        for volume, result in zip(volumes, results, strict=True):
            if isinstance(result, VolumeError | OSError | ValueError):
                failures[volume["name"]] = str(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                changed = changed or result
        if failures:
            raise VolumeErrors(failures)
        return changed

    async def _setup(self, context: Context, volume: Obj) -> bool:
        kind = kind_of(volume)
        uid = context.pod["metadata"]["uid"]
        target = self.path(uid, volume)
        if kind in content.BUILDERS:
            payload = await content.BUILDERS[kind](context, volume[kind])
            return await asyncio.to_thread(
                atomic.write, target, payload, now=self._clock.time(), group=context.fs_group
            )
        if kind == "emptyDir":
            return await asyncio.to_thread(_make_empty_dir, context, volume["emptyDir"] or {}, target)
        if kind == "hostPath":
            return await asyncio.to_thread(_check_host_path, volume["hostPath"])
        raise VolumeError(f"volume type {kind} is not supported by this node agent")

    # ---- mounting

    def mount_points(
        self, pod: Obj, container: Obj, environment: Mapping[str, str], *, recursive_read_only: bool
    ) -> list[MountPoint]:
        """The container's mounts, sub-paths resolved. Blocking. ConfigError."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        result = []
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            volume = volumes.get(mount["name"])
            if volume is None:
                raise ConfigError(f'cannot find volume "{mount["name"]}" to mount into container "{container["name"]}"')
            host = self.path(pod["metadata"]["uid"], volume)
            sub = mount.get("subPath") or ""
            if mount.get("subPathExpr"):
                sub = _expand_sub_path(mount["subPathExpr"], environment)
            if sub:
                host = self._sub_path(pod, container, volume, mount, position, sub)
            read_only = bool(mount.get("readOnly")) or kind_of(volume) in content.BUILDERS
            wanted = mount.get("recursiveReadOnly")
            if wanted == "Enabled" and not recursive_read_only:
                raise ConfigError("recursive read-only mount is not supported by the runtime")
            path = mount["mountPath"]
            result.append(
                MountPoint(
                    str(host),
                    path if path.startswith("/") else f"/{path}",
                    read_only,
                    mount.get("mountPropagation") or "",
                    wanted in ("Enabled", "IfPossible") and recursive_read_only,
                )
            )
        if container.get("volumeDevices"):
            raise ConfigError("block volumes are not supported by this node agent")
        return result

    def _sub_path(self, pod: Obj, container: Obj, volume: Obj, mount: Obj, position: int, sub: str) -> Path:
        """Bind the sub-path to a place of our own, so that nothing can be swapped for a link between check and use."""
        uid = pod["metadata"]["uid"]
        root = self.path(uid, volume)
        if sub.startswith("/") or ".." in sub.split("/"):
            raise ConfigError(f"subPath {sub!r} must be a relative path without ..")
        names = (str(volume["name"]), str(container["name"]), str(position))
        target = self.pod_dir(uid).joinpath("volume-subpaths", *names)
        try:
            descriptor = _open_or_make(root, sub, writable=kind_of(volume) not in content.BUILDERS)
            try:
                mounts.unmount(target)
                _make_target(target, directory=stat.S_ISDIR(os.fstat(descriptor).st_mode))
                mounts.bind(f"/proc/self/fd/{descriptor}", target)
            finally:
                os.close(descriptor)
        except OSError as error:
            text = f'failed to prepare subPath for volumeMount "{mount["name"]}" of container "{container["name"]}"'
            raise ConfigError(f"{text}: {error.strerror}") from error
        return target

    # ---- files of ours that containers see

    def termination_log(self, pod: Obj, container: Obj) -> MountPoint | None:
        """A fresh file for the container's last words. Blocking."""
        path = container.get("terminationMessagePath")
        if not path:
            return None
        folder = self.pod_dir(pod["metadata"]["uid"]) / "containers" / container["name"]
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / secrets.token_hex(4)
        file.touch()
        file.chmod(0o666)
        return MountPoint(str(file), path)

    def hosts_file(self, pod: Obj, container: Obj, text: str) -> MountPoint | None:
        """/etc/hosts as the pod is to see it; None where the container mounts its own. Blocking."""
        if any(mount["mountPath"] == "/etc/hosts" for mount in container.get("volumeMounts") or ()):
            return None
        file = self.pod_dir(pod["metadata"]["uid"]) / "etc-hosts"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
        return MountPoint(str(file), "/etc/hosts")

    # ---- taking away

    def known_pods(self) -> set[str]:
        """Pods of which something is left on disk. Blocking."""
        found: set[str] = set()
        for folder in (self._pods, self._volatile):
            if folder.is_dir():
                found |= {entry.name for entry in folder.iterdir() if entry.is_dir()}
        return found

    def teardown(self, uid: str) -> None:
        """Unmount and remove everything of the pod. Blocking. OSError when something is still in use."""
        for folder in (self.pod_dir(uid), self._volatile / uid):
            for point in mounts.mounted_below(folder):
                mounts.unmount(point)
            if folder.exists():
                shutil.rmtree(folder)


class ImaginaryVolumes(VolumeManager):
    """Volumes of simulated pods: what they need has to exist, and nothing is written anywhere."""

    def prepare(self) -> None:
        self._pods.mkdir(parents=True, exist_ok=True)

    async def _setup(self, context: Context, volume: Obj) -> bool:
        kind = kind_of(volume)
        if kind in content.BUILDERS:
            await content.BUILDERS[kind](context, volume[kind])
        return False

    def mount_points(
        self, pod: Obj, container: Obj, environment: Mapping[str, str], *, recursive_read_only: bool
    ) -> list[MountPoint]:
        return []

    def termination_log(self, pod: Obj, container: Obj) -> MountPoint | None:
        return None

    def hosts_file(self, pod: Obj, container: Obj, text: str) -> MountPoint | None:
        return None

    def known_pods(self) -> set[str]:
        return set()

    def teardown(self, uid: str) -> None:
        """Nothing was made."""


def _make_empty_dir(context: Context, source: Obj, target: Path) -> bool:
    medium = source.get("medium") or ""
    if medium.startswith("HugePages"):
        raise VolumeError(f"emptyDir medium {medium} is not supported by this node agent")
    if target.is_dir() and (medium != "Memory" or os.path.ismount(target)):
        return False
    target.mkdir(parents=True, exist_ok=True)
    if medium == "Memory":
        size = _memory_limit(context, source)
        options = "mode=0777" + (f",size={size}" if size else "")
        mounts.mount("tmpfs", target, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, options)
    target.chmod(0o777)
    if context.fs_group is not None:
        os.chown(target, -1, context.fs_group)
        target.chmod(0o2777)
    return True


def _memory_limit(context: Context, source: Obj) -> int:
    """Bytes: the least of the volume's limit, the pod's memory limit and what the node has."""
    limits = [context.allocatable.get("memory"), source.get("sizeLimit")]
    sizes = [quantity.parse(limit).value() for limit in limits if limit]
    pod_limit = pods.limits(context.pod).get("memory")
    if pod_limit is not None and pod_limit.value():
        sizes.append(pod_limit.value())
    return min((size for size in sizes if size > 0), default=0)


def _check_host_path(source: Obj) -> bool:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        kind = "Directory"
    elif kind == "FileOrCreate":
        if not path.exists():
            path.touch(mode=0o644)
        kind = "File"
    if not kind:
        return False
    test, word = _HOST_TYPES[kind]
    try:
        mode = path.stat().st_mode
    except OSError:
        raise VolumeError(f"hostPath type check failed: {path} is not a {word}") from None
    if not test(mode):
        raise VolumeError(f"hostPath type check failed: {path} is not a {word}")
    return False


def _expand_sub_path(expression: str, environment: Mapping[str, str]) -> str:
    unknown = expansion.missing(expression, environment)
    if unknown:
        raise ConfigError(f"missing value for {unknown[0]!r}".replace("'", '"'))
    return expansion.expand(expression, environment)


def _open_or_make(root: Path, sub: str, *, writable: bool) -> int:
    try:
        return mounts.open_beneath(root, sub, os.O_PATH)
    except FileNotFoundError:
        if not writable:
            raise
    mounts.make_dirs_beneath(root, sub, stat.S_IMODE(root.stat().st_mode))
    return mounts.open_beneath(root, sub, os.O_PATH)


def _make_target(target: Path, *, directory: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if directory:
        if target.exists() and not target.is_dir():
            target.unlink()
        target.mkdir(exist_ok=True)
    else:
        if target.is_dir():
            target.rmdir()
        target.touch()
