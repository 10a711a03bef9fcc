"""Port-forward through a WebSocket: the client's SPDY session, bytes in binary messages, joined to a SPDY backend.

kubectl since 1.31 asks for the subprotocol "SPDY/3.1+portforward.k8s.io"; what is inside is not looked at.
"""

from __future__ import annotations

import asyncio

from streaming.duplex import Duplex
from streaming.websocket import WebSocket

PROTOCOL = "portforward.k8s.io"
TUNNEL_PREFIX = "SPDY/3.1+"
TUNNEL_PROTOCOL = TUNNEL_PREFIX + PROTOCOL


async def tunnel(socket: WebSocket, backend: Duplex) -> None:
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


async def _to_backend(socket: WebSocket, backend: Duplex) -> None:
    async for data in socket.messages():
        try:
            await backend.write(data)
        except ConnectionError:
            return


async def _to_client(socket: WebSocket, backend: Duplex) -> None:
    try:
        while data := await backend.read():
            await socket.send(data)
    except ConnectionError:
        return
