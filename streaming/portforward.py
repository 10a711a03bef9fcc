"""Port-forward through a WebSocket: the client's SPDY session, bytes in binary messages, joined to a SPDY backend.

kubectl since 1.31 asks for the subprotocol "SPDY/3.1+portforward.k8s.io"; what is inside is not looked at.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from streaming.duplex import Duplex

PROTOCOL = "portforward.k8s.io"
TUNNEL_PREFIX = "SPDY/3.1+"
TUNNEL_PROTOCOL = TUNNEL_PREFIX + PROTOCOL


async def tunnel(socket: web.WebSocketResponse, backend: Duplex) -> None:
    """Carry bytes both ways until either side ends; then both are closed."""
    tasks = [
        asyncio.create_task(_to_backend(socket, backend), name="portforward-in"),
        asyncio.create_task(_to_client(socket, backend), name="portforward-out"),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        backend.close()
    await socket.close()


async def _to_backend(socket: web.WebSocketResponse, backend: Duplex) -> None:
    async for message in socket:
        if message.type != WSMsgType.BINARY:
            return
        try:
            await backend.write(message.data)
        except ConnectionError:
            return


async def _to_client(socket: web.WebSocketResponse, backend: Duplex) -> None:
    try:
        while data := await backend.read():
            await socket.send_bytes(data)
    except ConnectionError:
        return
