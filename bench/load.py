"""A load generator that costs little: raw HTTP/1.1 over TLS on a few connections, in processes of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PROCESSES = 2


@dataclass(frozen=True)
class Target:
    """A server: port on this machine, bearer token, CA file."""

    port: int
    token: str
    ca: str


@dataclass
class Outcome:
    """What all connections did together: answers, bytes of bodies, seconds, and how many answers were no 2xx."""

    answers: int = 0
    size: int = 0
    seconds: float = 0.0
    failed: int = 0


def request(target: Target, method: str, path: str, body: bytes = b"", media_type: str = "application/json") -> bytes:
    """One request's bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {target.token}\r\nUser-Agent: bench/1\r\n"
    if body:
        head += f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection:
    """One kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, target: Target) -> Connection:
        context = ssl.create_default_context(cafile=target.ca)
        streams = await asyncio.open_connection("127.0.0.1", target.port, ssl=context, limit=1 << 22)
        return cls(*streams)

    async def ask(self, raw: bytes) -> tuple[int, int]:
        """(status, size of the body)."""
        self.writer.write(raw)
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        if b"Transfer-Encoding: chunked" in head:
            return status, await self._chunks()
        at = head.find(b"Content-Length: ")
        size = int(head[at + 16 : head.index(b"\r", at)]) if at >= 0 else 0
        await self._skip(size)
        return status, size

    async def _chunks(self) -> int:
        """Read a chunked body; its size."""
        total = 0
        while size := int(await self.reader.readline(), 16):
            await self._skip(size + 2)
            total += size
        await self._skip(2)
        return total

    async def _skip(self, left: int) -> None:
        while left:
            left -= len(await self.reader.read(min(left, 1 << 20)))

    def close(self) -> None:
        self.writer.close()


async def _drive(
    target: Target, make: Callable[[int], Iterator[bytes]], first: int, count: int, seconds: float
) -> Outcome:
    connections = [await Connection.open(target) for _ in range(count)]
    outcome = Outcome()
    begun = time.perf_counter()
    end = begun + seconds

    async def run(number: int, connection: Connection) -> None:
        for raw in make(number):
            status, size = await connection.ask(raw)
            outcome.answers += 1
            outcome.size += size
            outcome.failed += status >= 300
            if time.perf_counter() >= end:
                break
        connection.close()

    await asyncio.gather(*(run(first + at, connection) for at, connection in enumerate(connections)))
    outcome.seconds = time.perf_counter() - begun
    return outcome


def _child(
    pipe: Any, target: Target, make: Callable[[int], Iterator[bytes]], first: int, count: int, seconds: float
) -> None:
    import uvloop

    pipe.send(uvloop.run(_drive(target, make, first, count, seconds)))


def drive(
    target: Target, make: Callable[[int], Iterator[bytes]], *, connections: int = 16, seconds: float = 3.0
) -> Outcome:
    """Send what make(connection's number) yields on each connection, one after another, for so long."""
    context = multiprocessing.get_context("fork")
    share = connections // PROCESSES
    children = []
    for at in range(PROCESSES):
        ours, theirs = context.Pipe()
        child = context.Process(target=_child, args=(theirs, target, make, at * share, share, seconds))
        child.start()
        children.append((child, ours))
    total = Outcome()
    for child, ours in children:
        part = ours.recv()
        child.join()
        total.answers += part.answers
        total.size += part.size
        total.failed += part.failed
        total.seconds = max(total.seconds, part.seconds)
    return total
