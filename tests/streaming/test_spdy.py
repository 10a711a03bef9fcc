"""SPDY sessions over real sockets: streams, halves, resets, pings."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streaming import spdy
from streaming.duplex import Duplex, connect


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Duplex, Duplex]]:
    """Two ends of a TCP connection."""
    accepted: asyncio.Queue[Duplex] = asyncio.Queue()

    class Accepting(Duplex):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.put_nowait(self)

    server = await asyncio.get_running_loop().create_server(Accepting, "127.0.0.1", 0)
    near = await connect("127.0.0.1", server.sockets[0].getsockname()[1])
    far = await accepted.get()
    try:
        yield near, far
    finally:
        near.close()
        far.close()
        await near.wait_closed()
        await far.wait_closed()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def sessions() -> AsyncIterator[tuple[spdy.Session, asyncio.Queue[spdy.Stream]]]:
    """A client session, and the streams that arrive at its server."""
    opened: asyncio.Queue[spdy.Stream] = asyncio.Queue()
    async with pair() as (near, far), asyncio.TaskGroup() as group:
        client = spdy.Session(near, server=False)
        server = spdy.Session(far, server=True, opened=opened.put_nowait)
        group.create_task(client.run())
        group.create_task(server.run())
        try:
            yield client, opened
        finally:
            await client.close()


def test_dictionary_has_the_length_the_protocol_gives_it() -> None:
    assert len(spdy.DICTIONARY) == 1423


async def test_bytes_cross_both_ways_and_halves_close_separately() -> None:
    async with sessions() as (client, opened):
        near = await client.open({"streamType": "stdin", "Port": "80"})
        far = await opened.get()
        assert far.headers == {"streamtype": "stdin", "port": "80"}
        await near.write(b"x" * 100_000)
        await near.close_write()
        received = b""
        while data := await far.read():
            received += data
        assert received == b"x" * 100_000
        await far.write(b"answer")
        await far.close_write()
        assert await near.read() == b"answer"
        assert await near.read() == b""


async def test_many_streams_share_the_header_compression() -> None:
    async with sessions() as (client, opened):
        for number in range(20):
            await client.open({"streamType": "data", "requestID": str(number)})
            assert (await opened.get()).headers["requestid"] == str(number)


async def test_reset_ends_reading_and_refuses_writing() -> None:
    async with sessions() as (client, opened):
        near = await client.open({"streamType": "data"})
        far = await opened.get()
        await far.reset()
        assert await near.read() == b""
        with pytest.raises(spdy.StreamReset):
            await near.write(b"late")


async def test_ping_is_sent_back() -> None:
    async with pair() as (near, far), asyncio.TaskGroup() as group:
        server = spdy.Session(far, server=True, opened=lambda stream: None)
        group.create_task(server.run())
        frame = struct.pack(">HHII", 0x8003, spdy.PING, 4, 7)
        await near.write(frame)
        assert await near.read() == frame
        near.close()


async def test_a_torn_header_block_ends_the_session() -> None:
    async with pair() as (near, far):
        server = spdy.Session(far, server=True, opened=lambda stream: None)
        payload = struct.pack(">IIBB", 1, 0, 0, 0) + b"not zlib"
        await near.write(struct.pack(">HHI", 0x8003, spdy.SYN_STREAM, len(payload)) + payload)
        with pytest.raises(spdy.SpdyError):
            await server.run()
