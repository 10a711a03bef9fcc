"""Container logs as runtimes write them (the CRI's format), and reading them as `kubectl logs` wants. Blocking parts are few.

    2026-01-02T03:04:05.123456789Z stdout F the line        F: a full line, P: a part of one, continued by the next

Called by the server (logs) and for termination messages. follow() yields pieces as they are written, over rotations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from apimachinery import times
from apimachinery.clock import RealClock

_POLL = 0.1  # seconds between looks at a followed file; inotify needs a thread per reader and gains little
_BLOCK = 64 * 1024
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One line as the runtime wrote it. text: with its newline if it is a full line."""

    stamp: bytes
    stream: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Options:
    """What to read. since: seconds since the epoch, 0 for all. tail: lines, None for all. limit: bytes, None for all.

    stream: stdout, stderr or "" for both.
    """

    follow: bool = False
    since: float = 0.0
    tail: int | None = None
    timestamps: bool = False
    limit: int | None = None
    stream: str = ""


def parse(line: bytes) -> Entry | None:
    """A line without its newline; None when it is not in the format."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    text = parts[3] if len(parts) == 4 else b""
    return Entry(parts[0], parts[1], text if parts[2].split(b":")[0] == b"P" else text + b"\n")


def rotated(path: Path) -> list[Path]:
    """The log's files, oldest first: rotated ones have a time stamp after the name."""
    older = (
        sorted(entry for entry in path.parent.glob(path.name + ".*") if not entry.name.endswith((".gz", ".tmp")))
        if path.parent.is_dir()
        else []
    )
    return [*older, path]


def start_of_tail(file: BinaryIO, lines: int, stream: str = "") -> int:
    """Offset at which the last so many lines begin (parts of lines count with the line they belong to)."""
    file.seek(0, 2)
    end = file.tell()
    if lines <= 0:
        return end
    position, found, rest = end, 0, b""
    wanted = stream.encode()
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size) + rest
        offset = len(block)
        # Walk the block's lines from its end; the first piece may be half a line and is kept for the next block.
        while True:
            cut = block.rfind(b"\n", 0, offset - 1)
            if cut < 0:
                break
            entry = parse(block[cut + 1 : offset].rstrip(b"\n"))
            if entry is not None and entry.text.endswith(b"\n") and (not wanted or entry.stream == wanted):
                found += 1
                if found > lines:
                    return position + offset
            offset = cut + 1
        rest = block[:offset]
    entry = parse(rest.rstrip(b"\n"))
    if entry is not None and entry.text.endswith(b"\n") and (not wanted or entry.stream == wanted):
        found += 1
        if found > lines:
            return len(rest)
    return 0


class _Writer:
    """Selects and draws entries; knows how much may still be sent."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.left = options.limit
        self._continued: dict[bytes, bool] = {}

    def draw(self, entry: Entry) -> bytes:
        options = self._options
        if options.stream and entry.stream != options.stream.encode():
            return b""
        if options.since:
            try:
                if times.parse_time(_micro(entry.stamp)) < options.since:
                    return b""
            except ValueError:
                return b""
        text = entry.text
        if options.timestamps and not self._continued.get(entry.stream):
            text = entry.stamp + b" " + text
        self._continued[entry.stream] = not entry.text.endswith(b"\n")
        if self.left is not None:
            text = text[: self.left]
            self.left -= len(text)
        return text

    @property
    def full(self) -> bool:
        return self.left is not None and self.left <= 0


def _micro(stamp: bytes) -> str:
    """The time stamp with microseconds only, which is what Python reads."""
    text = stamp.decode("ascii", "replace")
    head, dot, fraction = text.partition(".")
    if not dot:
        return text
    digits = fraction.rstrip("Z")
    zone = ""
    for sign in "+-":
        if sign in digits:
            digits, mark, rest = digits.partition(sign)
            zone = mark + rest
    return f"{head}.{digits[:6].ljust(6, '0')}{zone or 'Z'}"


async def read(path: Path, options: Options, alive: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log's text in pieces. alive: whether the container still runs; a followed log ends when it does not.

    FileNotFoundError when there is no log.
    """
    writer = _Writer(options)
    clock = RealClock()
    files = await asyncio.to_thread(rotated, path)
    if options.tail is not None:
        files = files[-1:]
    for older in files[:-1]:
        with older.open("rb") as file:
            async for piece in _rest(file, writer):
                yield piece
            if writer.full:
                return
    file = path.open("rb")
    try:
        if options.tail is not None:
            file.seek(await asyncio.to_thread(start_of_tail, file, options.tail, options.stream))
        while True:
            ends = not options.follow or not alive()
            async for piece in _rest(file, writer):
                yield piece
            if writer.full or ends:
                return
            if _was_rotated(file, path):
                async for piece in _rest(file, writer):
                    yield piece
                file.close()
                file = path.open("rb")
                continue
            await clock.sleep(_POLL)
    finally:
        file.close()


def _was_rotated(file: BinaryIO, path: Path) -> bool:
    import os

    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


async def _rest(file: BinaryIO, writer: _Writer) -> AsyncIterator[bytes]:
    """What is complete from here to the end of the file; the position stays before an unfinished line."""
    while not writer.full:
        start = file.tell()
        block = await asyncio.to_thread(file.read, _PIECE)
        cut = block.rfind(b"\n") + 1
        file.seek(start + cut)
        if cut == 0:
            return
        entries = (parse(line) for line in block[: cut - 1].split(b"\n"))
        text = b"".join(writer.draw(entry) for entry in entries if entry is not None and not writer.full)
        if text:
            yield text
        if len(block) < _PIECE:
            return
