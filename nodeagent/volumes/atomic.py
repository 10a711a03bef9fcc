"""Files that change all at once: what a volume of ConfigMap, Secret or downward API data is made of.

    DIR/..2026_01_02_03_04_05.123456789/<files>    the data, in a directory of its own
    DIR/..data -> ..2026_...                       the one link that is swapped
    DIR/<first path element> -> ..data/<...>       what containers read

A reader that follows the links sees either all old files or all new ones. The layout is the original's AtomicWriter's,
since programs watch for ..data. Blocking: call in a thread.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apimachinery import times

_DATA, _NEW = "..data", "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    """mode: permission bits. owner: a user id to own the file, None to leave it to root."""

    data: bytes
    mode: int = 0o644
    owner: int | None = None


def write(target: Path, payload: Mapping[str, File], *, now: float, group: int | None = None) -> bool:
    """Make the directory hold exactly the payload (relative path -> file); whether anything changed.

    now: seconds since the epoch, for the directory's name. group: fsGroup that may read the files. ValueError for a
    path that would leave the directory.
    """
    files = {_clean(path): file for path, file in payload.items()}
    if not target.is_dir():
        target.mkdir(parents=True)
        _open_directory(target, 0o777, group)
    data = target / _DATA
    current = target / os.readlink(data) if data.is_symlink() else None
    if current is not None and _same(current, files, group):
        return False
    stamp = times.format_micro_time(now).translate(str.maketrans("-T:Z", "____")).rstrip("_")
    fresh = target / f"..{stamp}{secrets.randbelow(1000):03d}"
    fresh.mkdir()
    for path, file in files.items():
        _write_file(fresh / path, file, group)
    for folder in (fresh, *(entry for entry in fresh.rglob("*") if entry.is_dir())):
        _open_directory(folder, 0o755, group)
    for name in {path.split("/", 1)[0] for path in files}:
        link = target / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    swap = target / _NEW
    swap.unlink(missing_ok=True)
    swap.symlink_to(fresh.name)
    os.replace(swap, data)
    _remove_stale(target, files)
    if current is not None and current != fresh:
        shutil.rmtree(current, ignore_errors=True)
    return True


def _open_directory(folder: Path, mode: int, group: int | None) -> None:
    """Modes as the original's volumes have them: with an fsGroup the group owns the directory and what is put there."""
    if group is not None:
        os.chown(folder, -1, group)
        mode |= 0o2550
    folder.chmod(mode)


def _clean(path: str) -> str:
    parts = path.split("/")
    if not path or path.startswith("/") or any(part in ("..", "") for part in parts):
        raise ValueError(f"invalid path: {path!r}")
    if parts[0].startswith(".."):
        raise ValueError(f"invalid path: must not start with '..': {path!r}")
    return "/".join(part for part in parts if part != ".")


def _write_file(path: Path, file: File, group: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.data)
    if file.owner is not None or group is not None:
        os.chown(path, -1 if file.owner is None else file.owner, -1 if group is None else group)
    path.chmod(_mode(file, group))


def _mode(file: File, group: int | None) -> int:
    """With an fsGroup the group may read what the owner may, as the original's SetVolumeOwnership does."""
    return file.mode | 0o440 if group is not None else file.mode


def _same(current: Path, files: Mapping[str, File], group: int | None) -> bool:
    if not current.is_dir():
        return False
    present = {str(path.relative_to(current)) for path in current.rglob("*") if not path.is_dir()}
    if present != set(files):
        return False
    for path, file in files.items():
        there = current / path
        if there.stat().st_mode & 0o7777 != _mode(file, group) or there.read_bytes() != file.data:
            return False
    return True


def _remove_stale(target: Path, files: Mapping[str, File]) -> None:
    wanted = {path.split("/", 1)[0] for path in files}
    for entry in target.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
