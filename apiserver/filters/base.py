"""What a filter is, and the request that passes through filters and handlers.

    class Filter:                                  one file, one class, listed in apiserver/app.py FILTERS
        async def __call__(self, request, proceed):
            ...                                    look at request, set request.user, raise ApiError, ...
            return await proceed(request)          or answer by itself

A filter is built once with what it needs. It refuses by raising ApiError; only filters/errors.py draws Statuses.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from aiohttp.web_request import BaseRequest

from apimachinery import errors
from apiserver import requestinfo
from apiserver.authn.user import ANONYMOUS, User
from apiserver.requestinfo import RequestInfo
from serving.reply import Reply

if TYPE_CHECKING:
    from apiserver.audit.events import AuditEvent

MAX_BODY = 3 * 1024 * 1024  # bytes, as sent and after decompression


class Request:
    """One HTTP request on its way through filters and handlers.

    http: aiohttp's request (headers, transport). info: its target. user: who sent it, set by the authentication filter and replaced
    by impersonation (`authenticated` keeps the original). warnings: texts for Warning headers. annotations: for audit.
    audit: the record of it, where the audit policy wants one. reply_headers: what every answer to it carries, errors too.
    begun: whoever streams a watch takes this call, and makes it once the watch's first state is sent.
    """

    __slots__ = (
        "_body",
        "_query",
        "annotations",
        "audit",
        "audit_id",
        "authenticated",
        "begun",
        "headers",
        "http",
        "info",
        "method",
        "raw_path",
        "raw_query",
        "received",
        "reply_headers",
        "user",
        "warnings",
    )

    def __init__(self, http: BaseRequest, received: float) -> None:
        self.http = http
        self.method = http.method
        self.headers = http.headers
        self.raw_path, self.raw_query = requestinfo.split_target(http._message.path)
        self._query: dict[str, list[str]] | None = None
        self._body: bytes | None = None
        self.info: RequestInfo = requestinfo.parse(self.method, self.raw_path, self.query if self.raw_query else {})
        self.user: User = ANONYMOUS
        self.authenticated: User = ANONYMOUS
        self.audit_id = ""
        self.received = received
        self.warnings: list[str] = []
        self.annotations: dict[str, str] = {}
        self.audit: AuditEvent | None = None
        self.begun: Callable[[], None] | None = None
        self.reply_headers: Sequence[tuple[str, str]] = ()

    @property
    def query(self) -> dict[str, list[str]]:
        """Query parameters, decoded; every value of a repeated one."""
        if self._query is None:
            self._query = requestinfo.parse_query(self.raw_query)
        return self._query

    def param(self, name: str) -> str:
        """The first value of a query parameter, "" when absent."""
        values = self.query.get(name)
        return values[0] if values else ""

    @property
    def size(self) -> int:
        """Bytes of the body, as far as it has been read."""
        return len(self._body) if self._body is not None else 0

    @property
    def long_running(self) -> bool:
        """Watches and connections that outlive the request timeout and do not count as in flight."""
        return self.info.long_running

    def peer_certificate(self) -> bytes | None:
        """The client's certificate in DER form, unverified beyond what TLS did; None without one."""
        protocol = self.http.protocol
        try:
            certificate: bytes | None = protocol.certificate  # type: ignore[attr-defined]
        except AttributeError:
            transport = self.http.transport
            tls = transport.get_extra_info("ssl_object") if transport is not None else None
            certificate = tls.getpeercert(True) if tls is not None else None
            protocol.certificate = certificate  # type: ignore[attr-defined]
        return certificate

    @property
    def remote(self) -> str:
        """The client's address without its port."""
        peer = self.http._transport_peername
        return str(peer[0]) if isinstance(peer, tuple) else ""

    async def read(self) -> bytes:
        """The whole body, decompressed, at most MAX_BODY bytes either way. 413, 415 or 400 otherwise."""
        if self._body is None:
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        length = self.headers.get("Content-Length")
        if length is not None and length.isdigit() and int(length) > MAX_BODY:
            raise _too_large()
        if not self.http.can_read_body:
            return b""
        if self.headers.get("Expect", "").lower() == "100-continue" and self.http.transport is not None:
            self.http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = self.http.content
        pieces: list[bytes] = []
        size = 0
        try:
            while True:
                piece = await content.readany()
                if not piece:
                    break
                size += len(piece)
                if size > MAX_BODY:
                    raise _too_large()
                pieces.append(piece)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise errors.bad_request("unexpected EOF") from error
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        encoding = self.headers.get("Content-Encoding", "").lower()
        if encoding in ("", "identity"):
            return body
        return _decompress(body, encoding)


Proceed = Callable[[Request], Awaitable[Reply]]


class Filter(Protocol):
    """One stage around a request; see the module's docstring."""

    async def __call__(self, request: Request, proceed: Proceed) -> Reply: ...


def _too_large() -> errors.ApiError:
    return errors.too_large(f"Request entity too large: limit is {MAX_BODY}")


def _decompress(body: bytes, encoding: str) -> bytes:
    """Inflate a gzip body, never making more than MAX_BODY bytes."""
    if encoding != "gzip":
        raise errors.ApiError(415, "UnsupportedMediaType", f"the content encoding {encoding!r} is not supported")
    inflater = zlib.decompressobj(wbits=31)
    try:
        out = inflater.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise errors.bad_request(f"the gzip body cannot be read: {error}") from error
    if len(out) > MAX_BODY:
        raise _too_large()
    if not inflater.eof:
        raise errors.bad_request("unexpected EOF")
    return out
