"""A watch over a WebSocket: each event is one text message; the client's messages are read and ignored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp.web_request import BaseRequest

from serving.reply import HijackReply, Reply
from streaming import websocket
from streaming.websocket import WebSocket

Send = Callable[[bytes], Awaitable[None]]


def reply(run: Callable[[Send], Awaitable[None]]) -> Reply:
    """run(send) produces the events as lines; it is cancelled when the client closes."""

    async def serve(http: BaseRequest) -> None:
        socket = await websocket.accept(http)

        async def send(lines: bytes) -> None:
            for line in lines.splitlines(keepends=True):
                await socket.send(line, text=True)

        events = asyncio.ensure_future(run(send))
        client = asyncio.ensure_future(_until_closed(socket))
        try:
            await asyncio.wait({events, client}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (events, client):
                task.cancel()
            for task in (events, client):
                with suppress(asyncio.CancelledError, ConnectionError):
                    await task
            with suppress(ConnectionError):
                await socket.close()

    return HijackReply(serve)


async def _until_closed(socket: WebSocket) -> None:
    async for _ in socket.messages():
        pass
