"""Slow and greedy clients of the HTTP listener."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiohttp.web_request import BaseRequest

from serving import http, reply
from serving.reply import Reply

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def answer(request: BaseRequest) -> Reply:
        return Reply(200, b"x" * (200 * 1024))

    server = http.HttpServer(answer, tls=None)
    yield await server.listen("127.0.0.1", 0)
    await server.end()


async def test_a_head_that_never_ends_ends_the_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    for _ in range(3):  # some more now and then does not help
        await asyncio.sleep(0.01)
        writer.write(b" a")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_an_idle_connection_is_not_taken_for_a_slow_one(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(GET[:10])
        await asyncio.sleep(0.01)
        writer.write(GET[10:])
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(200 * 1024)
        await asyncio.sleep(0.1)
    writer.close()


async def test_headers_are_bounded_together(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_HEAD", 64 * 1024)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
    await writer.drain()
    for number in range(70):
        writer.write(b"X-%d: %b\r\n" % (number, b"y" * 1000))
    answer = b""
    with suppress(ConnectionResetError):  # it may come first, as more was sent than is read
        answer = await asyncio.wait_for(reader.read(), 5)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_a_client_that_asks_and_does_not_read_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "STALLED", 0.1)
    with socket.create_connection(("127.0.0.1", port)) as greedy:
        greedy.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(greedy, GET * 2000)  # 400 MB, were they all answered
        await asyncio.sleep(0.5)
        taken = 0
        try:
            while piece := await asyncio.wait_for(loop.sock_recv(greedy, 1 << 20), 5):
                taken += len(piece)
        except ConnectionResetError:
            pass
        assert taken < 50 << 20
