"""Where everything lies in a data directory, and the checks that keep two clusters, or a foreign folder, apart.

steersman.json       marker with the layout's version
lock                 held (flock) by the running `up`, with its pid as text
state.json           what runs: pids, addresses, the runtime's socket; rewritten by the supervisor
admin.kubeconfig     the administrator's
pki/                 certificates and keys
kubeconfig/          one per component
store/               the API server's database
logs/                one file per component
node/                the node agent's: pods, volumes, a private containerd
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAYOUT = 1
_MARKER = "steersman.json"


class DataDirError(Exception):
    """The data directory cannot be used; the text says why and what to do."""


def default_data_dir(environ: Mapping[str, str], uid: int) -> Path:
    """/var/lib/steersman for root, the XDG data home's steersman otherwise."""
    if uid == 0:
        return Path("/var/lib/steersman")
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "share")
    return Path(base) / "steersman"


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths within one data directory."""

    root: Path

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.root / "admin.kubeconfig"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def kubeconfigs(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def bootstrap_kubeconfig(self) -> Path:
        """That it is there tells that the directory is that of a node that joined another machine's cluster."""
        return self.kubeconfigs / "bootstrap.yaml"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def node(self) -> Path:
        return self.root / "node"

    def prepare(self) -> bool:
        """Create the directory, or check that it is one of ours; True when it is new. Raises DataDirError."""
        marker = self.root / _MARKER
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            new = not marker.exists()
            if new:
                self._refuse_foreign()
                write_private(marker, json.dumps({"layout": LAYOUT}) + "\n")
            else:
                self._check_layout(marker)
            for path in (self.pki, self.kubeconfigs, self.store, self.logs):
                path.mkdir(mode=0o700, exist_ok=True)
            os.chmod(self.root, 0o711)
        except OSError as error:
            raise DataDirError(f"cannot use {self.root} as data directory: {error.strerror or error}") from error
        return new

    def _refuse_foreign(self) -> None:
        others = sorted(p.name for p in self.root.iterdir() if p.name != self.lock_file.name)
        if others:
            shown = ", ".join(others[:4]) + (", …" if len(others) > 4 else "")
            raise DataDirError(
                f"{self.root} holds other files ({shown}) and no {_MARKER}: it is not a steersman data directory. "
                "Choose an empty one with --data-dir."
            )

    def _check_layout(self, marker: Path) -> None:
        try:
            layout = json.loads(marker.read_text())["layout"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataDirError(
                f"{marker} is damaged: {error}. Restore it, or remove the directory to start anew."
            ) from error
        if layout != LAYOUT:
            raise DataDirError(
                f"{self.root} was written by another version of steersman (layout {layout}, here {LAYOUT})"
            )

    def exists(self) -> bool:
        """Whether this is a data directory of ours already."""
        return (self.root / _MARKER).exists()

    def lock(self) -> int:
        """Take the directory for this process; the returned descriptor holds the lock. Raises DataDirError."""
        fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise DataDirError(
                f"another steersman (pid {owner}) already runs on {self.root}. Stop it, or choose another --data-dir."
            ) from error
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return fd

    def owner(self) -> int | None:
        """The pid of the `up` that holds the directory, None when nobody does."""
        try:
            fd = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(fd, 32).decode(errors="replace").strip()
            return int(text) if text.isdigit() else -1
        finally:
            os.close(fd)
        return None

    def read_state(self) -> dict[str, Any]:
        """The supervisor's last word on what runs; empty when there is none."""
        try:
            state = json.loads(self.state_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}


def write_private(path: Path, text: str | bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all (rename), readable by the owner alone unless told otherwise."""
    data = text.encode() if isinstance(text, str) else text
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
