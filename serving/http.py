"""The HTTP listener that every server of ours uses: aiohttp's low-level server with its traps closed.

A handler gets aiohttp's BaseRequest and returns a serving.reply.Reply. What this adds: limits that answer in the API's
own form and never echo or log what the client sent; a client that goes away cancels its handler; an end that
takes less than two seconds: streams are told to finish, requests in flight may complete, then connections close.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

import orjson
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from serving.reply import Reply

log = logging.getLogger(__name__)

Handler = Callable[[BaseRequest], Awaitable[Reply]]

MAX_LINE = 64 * 1024  # bytes of the request line: selectors can be long
MAX_HEADER = 1024 * 1024  # bytes of one header, as Go's DefaultMaxHeaderBytes
_REASONS = {400: "BadRequest", 405: "MethodNotAllowed", 431: "RequestHeaderFieldsTooLarge"}
MAX_HEAD = MAX_HEADER + MAX_LINE  # bytes of a request line and all headers together
HEAD_SECONDS = 32.0  # from a request's first byte to the end of its headers, and for a TLS handshake, as the original's
KEEPALIVE = 120.0  # seconds a connection may idle: longer than the 90 for which the original's clients keep theirs
DRAIN = 1.5  # seconds that requests in flight get when the server ends

_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n431 Request Header Fields Too Large"
)

_silent = logging.getLogger(__name__ + ".protocol")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class _Protocol(RequestHandler):
    """Answers what does not parse as HTTP; the library's own answer and log would contain the offending header.

    certificate: the client's in DER, or None; read once a connection by whoever needs it first. Connections on which a
    request's head comes too slowly, or is too large as a whole, are ended: the library bounds only each line of it.
    Real time: this guards sockets, not the cluster's clock.
    """

    __slots__ = ("_head_bytes", "_head_timer", "certificate")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiter = self._waiter
        if waiter is None or waiter.done():  # a request is complete or under way
            if self._head_bytes:
                self._head_over()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD:
            self._head_over()
            if self.transport is not None:
                self.transport.write(_HEAD_TOO_LARGE)
            self.force_close()
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(HEAD_SECONDS, self.force_close)

    def _head_over(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if isinstance(exc, BadHttpMethod):
            status = 405
        if status >= 500:
            log.error("unexpected failure while answering: %s", type(exc).__name__, exc_info=exc)
        text = "the request could not be read" if status < 500 else "the server has failed on this request"
        if status == 405:
            text = "the server does not allow this method on the requested resource"
        reply = _status(status, _REASONS.get(status, "InternalError"), text)
        return cast("web.StreamResponse", reply)


def _status(code: int, reason: str, text: str) -> Reply:
    """A Status for what never reaches the handler; the connection ends with it."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": reason,
        "details": {},
        "code": code,
    }
    reply = Reply(code, orjson.dumps(body))
    reply.force_close()
    return reply


class _Server(web.Server):
    """As aiohttp's, with our protocol."""

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class HttpServer:
    """One listener. streams: calls that make each long-running answer end by itself; handlers add and remove theirs."""

    def __init__(
        self, handler: Handler, *, tls: ssl.SSLContext | None, streams: set[Callable[[], None]] | None = None
    ) -> None:
        self._tls = tls
        self.streams: set[Callable[[], None]] = streams if streams is not None else set()
        self.ending = False
        options: dict[str, Any] = {
            "max_line_size": MAX_LINE,
            "max_field_size": MAX_HEADER,
            "keepalive_timeout": KEEPALIVE,
            "auto_decompress": False,
            "access_log": None,
            "logger": _silent,
            "lingering_time": 2.0,
            "handler_cancellation": True,
        }
        self._handler = handler
        low = cast("Callable[[BaseRequest], Awaitable[web.StreamResponse]]", self._handle)
        self._server = _Server(low, **options)
        self._listeners: list[asyncio.Server] = []

    async def _handle(self, http: BaseRequest) -> Reply:
        if self.ending:
            return _status(503, "ServiceUnavailable", "the server is shutting down")
        return await self._handler(http)

    async def listen(self, host: str, port: int) -> int:
        """Start accepting; returns the port, which matters when 0 was asked for. OSError when it is taken."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            self._server,
            host or None,
            port,
            ssl=self._tls,
            backlog=1024,
            reuse_address=True,
            start_serving=False,
            ssl_handshake_timeout=HEAD_SECONDS if self._tls is not None else None,
        )
        await listener.start_serving()
        self._listeners.append(listener)
        sockets: tuple[socket.socket, ...] = tuple(listener.sockets)
        return int(sockets[0].getsockname()[1])

    async def end(self) -> None:
        """Stop accepting, finish streams, let requests in flight complete, close the rest."""
        self.ending = True
        for listener in self._listeners:
            listener.close()
        for finish in list(self.streams):
            finish()
        self._server.pre_shutdown()
        await self._server.shutdown(DRAIN)
        self._listeners.clear()
