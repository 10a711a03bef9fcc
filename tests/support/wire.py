"""HTTP written and read by hand: requests that no client library would send, many on one connection.

async with Wire.to(api) as wire:
    answer = await wire.ask(b"GET /../x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.code == 400
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.apiserver import Answer, Api


class Wire:
    """A connection that is opened anew when the server has closed it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @classmethod
    @asynccontextmanager
    async def to(cls, api: Api) -> AsyncIterator[Wire]:
        wire = cls(api)
        try:
            yield wire
        finally:
            await wire.close()

    async def close(self) -> None:
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def request(self, method: str, target: str, body: bytes | None = None, *headers: str) -> bytes:
        """The bytes of a request, with this server's token."""
        lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {self._api.token}", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + (body or b"")

    async def ask(self, request: bytes, *, head: bool = False, seconds: float = 30) -> Answer:
        """The answer to these bytes; code 0 when the connection ended without one. head: it has no body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._api.server.port, ssl=self._api.tls, limit=1 << 24
            )
        reader, writer = self._streams
        try:
            writer.write(request)
            answer = await asyncio.wait_for(self._read(reader, head=head), seconds)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self.close()
            return Answer(0, {}, b"")
        if answer.headers.get("connection") == "close":
            await self.close()
        return answer

    @staticmethod
    async def _read(reader: asyncio.StreamReader, *, head: bool) -> Answer:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        code = int(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        if head or code in (204, 304):
            return Answer(code, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
            return Answer(code, headers, body)
        return Answer(code, headers, await reader.readexactly(int(headers.get("content-length", 0))))
