"""A two-way byte stream with back pressure in both directions, over a connection taken over or opened.

The rest of the package reads and writes Duplexes; only this file knows transports.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from aiohttp.web_request import BaseRequest

READ_LIMIT = 256 * 1024  # bytes held for the reader before the transport is paused


class Duplex(asyncio.Protocol):
    """One connection. read() and write() may be used by one task each; close() from anywhere."""

    def __init__(self, inherited: asyncio.BaseProtocol | None = None) -> None:
        """inherited: the protocol that owned the connection before, told of its end so that nothing leaks."""
        self._inherited = inherited
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._held = 0
        self._eof = False
        self._lost = False
        self._paused_reading = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(bytes(data))
        self._held += len(data)
        if self._held > READ_LIMIT and not self._paused_reading and self._transport is not None:
            self._transport.pause_reading()
            self._paused_reading = True
        self._readable.set()

    def eof_received(self) -> bool:
        self._eof = True
        self._readable.set()
        # Stay open for what we still send; TLS has no such half-open state and closes by itself.
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = self._lost = True
        self._readable.set()
        self._writable.set()
        self._closed.set()
        if self._inherited is not None:
            self._inherited.connection_lost(exc)
            self._inherited = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- what users of a stream call

    async def read(self) -> bytes:
        """The bytes that have arrived, at least one; b"" at the end of the stream."""
        while not self._chunks:
            if self._eof:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused_reading and not self._lost and self._transport is not None:
            self._paused_reading = False
            self._transport.resume_reading()
        return data

    def unread(self, data: bytes) -> None:
        """Put bytes back in front of what read() returns next."""
        if data:
            self._chunks.insert(0, data)
            self._held += len(data)
            self._readable.set()

    async def write(self, data: bytes) -> None:
        """Send; returns when the connection has room for more. ConnectionResetError when it is gone."""
        if self._lost or self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
            if self._lost:
                raise ConnectionResetError("the connection is closed")

    def close(self) -> None:
        """Close once everything written has been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        await self._closed.wait()


def take_over(http: BaseRequest) -> Duplex:
    """The request's connection as a stream, from the first byte after the request on."""
    transport = http.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    old = transport.get_protocol()
    duplex = Duplex(old)
    duplex.connection_made(transport)
    tail = getattr(old, "_message_tail", b"")
    if tail:
        duplex.unread(bytes(tail))
    transport.set_protocol(duplex)
    transport.resume_reading()
    return duplex


async def connect(
    host: str, port: int, *, tls: ssl.SSLContext | None = None, server_hostname: str | None = None
) -> Duplex:
    """Open a connection. OSError when that fails."""
    loop = asyncio.get_running_loop()
    name = (server_hostname or host) if tls is not None else None
    _, protocol = await loop.create_connection(Duplex, host, port, ssl=tls, server_hostname=name)
    return protocol


async def pump(source: Duplex, target: Duplex) -> None:
    """Copy until the source ends or the target is gone."""
    try:
        while data := await source.read():
            await target.write(data)
    except ConnectionError:
        return


async def tunnel(a: Duplex, b: Duplex) -> None:
    """Copy in both directions until either side ends, then close both."""
    tasks = [asyncio.create_task(pump(a, b), name="tunnel"), asyncio.create_task(pump(b, a), name="tunnel-back")]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        a.close()
        b.close()
