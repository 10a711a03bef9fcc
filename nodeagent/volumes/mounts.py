"""The mount system calls, and opening a path below a directory that nothing in it can lead out of.

Called by the volume manager and by reset. Every error is an OSError with the path in it. Blocking, microseconds.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
from functools import lru_cache
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 1, 2, 4, 8, 4096, 16384
_DETACH, _NOFOLLOW = 2, 8
_OPENAT2 = 437
_BENEATH, _NO_MAGICLINKS = 0x08, 0x02
_SUPPORTED = os.uname().sysname == "Linux"


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)


def _check(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2). OSError."""
    encoded = [part.encode() for part in (source, str(target), kind, data)]
    _check(_libc().mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3] or None), str(target))


def bind(source: str, target: Path) -> None:
    """Make source (file or directory) appear at target, which must exist."""
    mount(source, target, "", MS_BIND | MS_REC)


def unmount(target: Path) -> None:
    """Detach whatever is mounted there; nothing mounted is no error."""
    if _libc().umount2(str(target).encode(), _DETACH | _NOFOLLOW) < 0:
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOENT):
            raise OSError(number, os.strerror(number), str(target))


def mounted_below(folder: Path) -> list[Path]:
    """Mount points at or under the folder, deepest first: the order in which to unmount them."""
    prefix = str(folder)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: Path, path: str, flags: int) -> int:
    """A descriptor of path below root; symbolic links may lead elsewhere below root, but not out (EXDEV).

    On kernels before 5.6, which lack openat2, links are not followed at all.
    """
    base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OpenHow(flags | os.O_CLOEXEC, 0, _BENEATH | _NO_MAGICLINKS)
        result = _libc().syscall(_OPENAT2, base, path.encode(), ctypes.byref(how), ctypes.sizeof(how))
        if result < 0 and ctypes.get_errno() == errno.ENOSYS:
            return _open_without_links(base, path, flags)
        return _check(result, f"{root}/{path}")
    finally:
        os.close(base)


def _open_without_links(base: int, path: str, flags: int) -> int:
    current = os.dup(base)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    try:
        for position, part in enumerate(parts):
            if part == "..":
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
            last = position == len(parts) - 1
            wanted = flags if last else os.O_PATH | os.O_DIRECTORY
            found = os.open(part, wanted | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = found
    except OSError:
        os.close(current)
        raise
    return current


def make_dirs_beneath(root: Path, path: str, mode: int) -> None:
    """mkdir -p below root, never following a link out of it."""
    done = ""
    for part in (part for part in path.split("/") if part not in ("", ".")):
        parent = open_beneath(root, done or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.mkdir(part, dir_fd=parent)
            os.chmod(part, mode, dir_fd=parent)
        except FileExistsError:
            pass
        finally:
            os.close(parent)
        done = f"{done}/{part}" if done else part
