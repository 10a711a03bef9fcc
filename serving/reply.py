"""Answers, written straight to the transport: a status line, a few headers and bytes.

aiohttp's own Response costs more than the rest of a small request together, so the servers of this project return these
instead. The low-level server only calls prepare(), write_eof() and reads keep_alive. A StreamReply produces its body
after the filters are done, which is what watches, large lists and upgrades need.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from email.utils import formatdate
from http import HTTPStatus

from aiohttp.web_request import BaseRequest

SLICE = 256 * 1024
STALLED = 60.0  # seconds in which a client must take what fills its connection's buffers
_STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_STATUS_LINE[413] = "HTTP/1.1 413 Request Entity Too Large\r\n"
_STATUS_LINE[422] = "HTTP/1.1 422 Unprocessable Entity\r\n"
_BODILESS = frozenset((101, 204, 304))

Header = tuple[str, str]


class _Date:
    """The Date header's text, made once a second. Real time: this is TLS-level politeness, not the cluster's clock."""

    second = 0
    text = ""

    @classmethod
    def now(cls) -> str:
        second = int(time.time())
        if second != cls.second:
            cls.second = second
            cls.text = formatdate(second, usegmt=True)
        return cls.text


class Reply:
    """A whole answer. body: bytes, or several pieces sent one after another with yields between slices."""

    __slots__ = ("_http", "body", "content_type", "headers", "keep_alive", "status")

    def __init__(
        self,
        status: int = 200,
        body: bytes | Sequence[bytes] = b"",
        content_type: str = "application/json",
        headers: Iterable[Header] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = list(headers)
        self.keep_alive = True
        self._http: BaseRequest | None = None

    def force_close(self) -> None:
        self.keep_alive = False

    def head(self, http: BaseRequest, length: int | None) -> bytes:
        """The status line and headers; length None means chunked."""
        status = self.status
        if not http.keep_alive:
            self.keep_alive = False
        if length is None:
            framing = "Transfer-Encoding: chunked\r\n"
        elif status in _BODILESS:
            framing = ""
        else:
            framing = f"Content-Length: {length}\r\n"
        if not self.keep_alive and status != 101:
            framing += "Connection: close\r\n"
        elif http.version.minor == 0:
            framing += "Connection: keep-alive\r\n"
        content_type = self.content_type
        named = f"Content-Type: {content_type}\r\n" if content_type else ""
        extra = "".join([f"{name}: {value}\r\n" for name, value in self.headers])
        line = _STATUS_LINE.get(status) or f"HTTP/1.1 {status} \r\n"
        return f"{line}{extra}{named}Date: {_Date.now()}\r\n{framing}\r\n".encode("utf-8", "replace")

    async def prepare(self, http: BaseRequest) -> None:
        self._http = http

    async def write_eof(self) -> None:
        http = self._http
        assert http is not None
        self._http = None
        transport = http.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        body = self.body
        if isinstance(body, bytes):
            length = len(body)
            head = self.head(http, length)
            if http.method == "HEAD":
                transport.write(head)
            elif length <= SLICE:
                transport.write(head + body)
                if http.protocol.writing_paused:  # else a client that asks and does not read fills our memory
                    await drain(http)
            else:
                transport.write(head)
                await write_slices(http, (body,))
            return
        head = self.head(http, sum(map(len, body)))
        transport.write(head)
        if http.method != "HEAD":
            await write_slices(http, body)


async def drain(http: BaseRequest) -> None:
    """Wait until the client has taken enough of what was written; ConnectionError when it is gone, or takes nothing.

    Real time: this guards sockets, not the cluster's clock.
    """
    protocol = http.protocol
    if not protocol.writing_paused:
        return
    try:
        async with asyncio.timeout(STALLED):
            await protocol._drain_helper()
    except TimeoutError:
        if protocol.transport is not None:
            protocol.transport.abort()
        raise ConnectionResetError("the client takes nothing") from None


async def write_slices(http: BaseRequest, pieces: Iterable[bytes]) -> None:
    """Write pieces joined or cut to about SLICE bytes, letting other requests run between slices."""
    pending: list[bytes] = []
    size = 0
    for piece in pieces:
        if len(piece) > SLICE:
            if pending:
                await _write(http, b"".join(pending))
                pending, size = [], 0
            view = memoryview(piece)
            for start in range(0, len(piece), SLICE):
                await _write(http, view[start : start + SLICE])
            continue
        pending.append(piece)
        size += len(piece)
        if size >= SLICE:
            await _write(http, b"".join(pending))
            pending, size = [], 0
    if pending:
        await _write(http, b"".join(pending))


async def _write(http: BaseRequest, data: bytes | memoryview) -> None:
    transport = http.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    transport.write(data)
    await asyncio.sleep(0)
    await drain(http)


class Stream:
    """The writing end of a StreamReply: write() sends one chunk at once, so an event leaves when it happens."""

    __slots__ = ("_chunked", "http")

    def __init__(self, http: BaseRequest, chunked: bool) -> None:
        self.http = http
        self._chunked = chunked

    async def write(self, data: bytes) -> None:
        transport = self.http.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await drain(self.http)


class StreamReply(Reply):
    """An answer whose body is made while it is sent, by `produce`, after the filters have let go of the request.

    A produce that raises cuts the connection: the client must not take a torn stream for a whole one.
    """

    __slots__ = ("produce",)

    def __init__(
        self,
        produce: Callable[[Stream], Awaitable[None]],
        status: int = 200,
        content_type: str = "application/json",
        headers: Iterable[Header] = (),
    ) -> None:
        super().__init__(status, b"", content_type, headers)
        self.produce = produce

    async def write_eof(self) -> None:
        http = self._http
        assert http is not None
        self._http = None
        transport = http.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        chunked = http.version.minor >= 1
        if not chunked:
            self.keep_alive = False
        head = self.head(http, None if chunked else 0)
        if not chunked:
            head = head.replace(b"Content-Length: 0\r\n", b"")
        transport.write(head)
        if http.method == "HEAD":
            return
        try:
            await self.produce(Stream(http, chunked))
        except BaseException:
            self.keep_alive = False
            transport.close()
            raise
        if chunked:
            transport.write(b"0\r\n\r\n")


class HijackReply(Reply):
    """Hands the connection over: `run` writes whatever it likes (a 101 head, frames) and returns when it is over."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[BaseRequest], Awaitable[None]]) -> None:
        super().__init__(101)
        self.keep_alive = False
        self.run = run

    async def write_eof(self) -> None:
        http = self._http
        assert http is not None
        self._http = None
        await self.run(http)
