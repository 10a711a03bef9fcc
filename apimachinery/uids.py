"""Random identifiers: UUIDs as text, for objects (metadata.uid) and requests (audit ids).

Random bytes are fetched many at a time, since a system call each costs more than the rest of a small write; a forked child
begins with none.
"""

from __future__ import annotations

import os

_SIZE = 16
_FETCH = 256 * _SIZE


class _Pool:
    data = b""
    at = 0


def _forget() -> None:
    _Pool.data, _Pool.at = b"", 0


os.register_at_fork(after_in_child=_forget)


def new() -> str:
    """A version 4 UUID."""
    at = _Pool.at
    if at >= len(_Pool.data):
        _Pool.data, at = os.urandom(_FETCH), 0
    _Pool.at = at + _SIZE
    digits = _Pool.data[at : at + _SIZE].hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
