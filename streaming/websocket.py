"""The server's end of a WebSocket (RFC 6455) over a connection that was taken over: messages in and out, pings answered.

Frames are read and written by the websockets library, without its I/O. Back pressure is the Duplex's: a slow reader of
messages slows the client down, a slow client makes send() wait.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from aiohttp.web_request import BaseRequest

from apimachinery import errors
from streaming.duplex import Duplex, take_over

if TYPE_CHECKING:
    from websockets.protocol import Protocol

MAX_MESSAGE = 4 * 1024 * 1024  # bytes
NORMAL, GOING_AWAY, INTERNAL = 1000, 1001, 1011
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def offered(http: BaseRequest) -> list[str]:
    """The subprotocols that a client asks for, in its order; none when it does not ask for a WebSocket."""
    if http.headers.get("Upgrade", "").lower() != "websocket":
        return []
    names = ",".join(http.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in names.split(",") if name.strip()]


async def accept(http: BaseRequest, subprotocol: str = "") -> WebSocket:
    """Answer the handshake; subprotocol: the one chosen of those offered, "" for none. 400 for what is no handshake."""
    key = http.headers.get("Sec-WebSocket-Key", "")
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        good = False
    if not good or http.headers.get("Sec-WebSocket-Version") != "13":
        raise errors.bad_request("not a WebSocket handshake of version 13")
    answer = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {answer}")
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    duplex = take_over(http)
    await duplex.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    return WebSocket(duplex)


class WebSocket:
    """One open WebSocket. messages() by one task, send() by any."""

    def __init__(self, duplex: Duplex) -> None:
        from websockets.protocol import SERVER, Protocol

        self._duplex = duplex
        self._protocol: Protocol = Protocol(SERVER, max_size=MAX_MESSAGE)

    async def messages(self) -> AsyncIterator[bytes]:
        """The client's messages, text as UTF-8, until it closes or breaks the protocol."""
        from websockets.frames import Frame, Opcode

        parts: list[bytes] = []
        while True:
            data = await self._duplex.read()
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    parts.append(bytes(event.data))
                    if event.fin:
                        yield b"".join(parts)
                        parts = []
            await self._flush()
            if not data or self._protocol.close_expected():
                return

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """Send a message. ConnectionResetError when the client is gone or has closed."""
        from websockets.exceptions import InvalidState

        try:
            if text:
                self._protocol.send_text(data)
            else:
                self._protocol.send_binary(data)
        except InvalidState as error:
            raise ConnectionResetError("the WebSocket is closed") from error
        await self._flush()

    async def close(self, code: int = NORMAL) -> None:
        """Say goodbye and close the connection."""
        from websockets.protocol import State

        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code)
            await self._flush()
        except ConnectionError:
            pass  # gone already
        self._duplex.close()

    def abort(self) -> None:
        """Close without a goodbye."""
        self._duplex.close()

    async def _flush(self) -> None:
        # All that is pending goes out in one write, before anything else can run: frames stay whole and in order.
        data = b"".join(self._protocol.data_to_send())
        if data:
            await self._duplex.write(data)
