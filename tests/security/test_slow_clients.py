"""Clients that take their time: many idle ones, ones that never finish their handshake, and ones that do not read what they
asked for. Others are served meanwhile, and what such a client holds is bounded."""

from __future__ import annotations

import asyncio
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from serving import http, reply
from tests.support.apiserver import Api

CMS = "/api/v1/namespaces/default/configmaps"
IDLE = 1000


@asynccontextmanager
async def connected(
    api: Api, sent: bytes, *, tls: bool = True, limit: int = 1024
) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that has said this, and reads no more than `limit` bytes ahead."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", api.server.port, ssl=api.tls if tls else None, limit=limit
    )
    try:
        writer.write(sent)
        yield reader
    finally:
        assert writer.transport is not None
        writer.transport.abort()


def get(api: Api, target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode()


async def fewer(api: Api, connections: int) -> None:
    """Until the server has fewer connections than so many: the end of one is announced to nobody who does not read."""
    async with asyncio.timeout(20):
        while True:
            if len(api.server.http._server.connections) < connections:
                return
            await asyncio.sleep(0.02)


async def test_a_thousand_idle_connections_hold_nobody_up(api: Api) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * IDLE  # both ends are in this process
    if soft < wanted:
        if hard < wanted:
            pytest.skip("too few files may be open")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    some = asyncio.Semaphore(50)

    async def opened() -> asyncio.StreamWriter:
        async with some:
            reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls)
            writer.write(get(api, "/livez"))
            assert (await reader.readuntil(b"\r\n")).endswith(b" 200 OK\r\n")
            return writer

    writers = await asyncio.gather(*(opened() for _ in range(IDLE)))
    assert (await api.get(CMS)).code == 200
    assert (await api.post(CMS, {"metadata": {"name": "a"}})).code == 201
    async with api.watch(CMS) as events:
        assert await events.take(1) == [("ADDED", "a")]
    for writer in writers:
        assert writer.transport is not None
        writer.transport.abort()
    assert (await api.get("/livez")).code == 200


async def test_a_handshake_that_does_not_come_to_an_end_is_ended(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener was set up with the time that all have; a second one is given less."""
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.3)
    listener = http.HttpServer(api.server.app.handle, tls=api.server.tls)
    port = await listener.listen("127.0.0.1", 0)
    for begun in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        try:
            answer = await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            answer = b""
        assert b"HTTP/1.1 200" not in answer
        writer.close()
    await listener.end()


async def test_who_does_not_read_a_long_list_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "STALLED", 0.3)
    for at in range(30):
        assert (await api.post(CMS, {"metadata": {"name": f"m{at}"}, "data": {"a": "x" * 900_000}})).code == 201
    for target in (CMS, f"{CMS}?watch=1", f"{CMS}?watch=1&resourceVersion=0"):
        async with connected(api, get(api, target)) as reader:
            assert (await reader.readuntil(b"\r\n")).endswith(b" 200 OK\r\n")
            connections = len(api.server.http._server.connections)
            await fewer(api, connections)
            taken = 0
            with suppress(ConnectionError, ssl.SSLError):
                while piece := await asyncio.wait_for(reader.read(1 << 20), 20):
                    taken += len(piece)
            assert taken < 27_000_000
    assert (await api.get(CMS, limit=1)).code == 200
