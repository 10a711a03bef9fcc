"""HTTP passed on to another server as it came: for the proxy subresources and for aggregated API servers.

Bodies are streamed both ways in the encoding they have, upgrades become tunnels, and redirects are never followed: what the
caller may reach is decided before, not by the backend.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict
from yarl import URL

from apimachinery.errors import ApiError
from apiserver.filters.base import Request
from serving.reply import Header, HijackReply, Reply, Stream, StreamReply
from streaming import upgrade
from streaming.duplex import take_over, tunnel

CONNECT_SECONDS = 30.0
_PIECE = 64 * 1024
_HOP = ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length")  # fmt: skip
_NOT_FORWARDED = frozenset((*_HOP, "host", "authorization", "expect", "x-forwarded-for"))
_NOT_RETURNED = frozenset((*_HOP, "content-type", "date"))
_IDENTITY = ("impersonate-", "x-remote-")
PROTOCOLS = "sec-websocket-protocol"
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."
_REDIRECTED = b"the backend attempted to redirect this request, which is not permitted"

Unreachable = Callable[[Exception], ApiError]
Edit = Callable[[list[Header]], list[Header]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. tls: for https; None for http. server_name: what its certificate must show, if not the host."""

    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str | None = None

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def unverified_tls() -> ssl.SSLContext:
    """TLS that asks for no certificate in particular."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def session(tls: ssl.SSLContext | None, *, keep: bool) -> aiohttp.ClientSession:
    """For requests to one backend. keep: reuse connections."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls if tls is not None else True, force_close=not keep, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def headers_of(request: Request, identity: Collection[str] = ()) -> list[Header]:
    """The headers to pass on: no credentials, no claims of identity, nothing of this hop.

    identity: further names (in lower case) of headers, or beginnings of names, that state who somebody is.
    """
    named = {name.strip().lower() for value in request.headers.getall("Connection", ()) for name in value.split(",")}
    refused = (*_IDENTITY, *identity)
    kept: list[Header] = []
    for name, value in request.headers.items():
        # Some servers take an underscore for a dash: what must not arrive must not arrive that way either.
        lower = name.lower().replace("_", "-")
        if lower in _NOT_FORWARDED or lower in named or lower.startswith(refused):
            continue
        if lower == PROTOCOLS:
            value = without_token(value)
            if not value:
                continue
        kept.append((name, value))
    forwarded = [*request.headers.getall("X-Forwarded-For", ()), request.remote]
    forwarded = [value for value in forwarded if value]
    return [
        *kept,
        ("X-Forwarded-For", ", ".join(forwarded)),
        ("X-Forwarded-Uri", quote(request.raw_path, safe="/%:")),
    ]


def without_token(protocols: str) -> str:
    """WebSocket protocols without the one that carries a bearer token."""
    parts = (part.strip() for part in protocols.split(","))
    return ", ".join(part for part in parts if not part.startswith(_TOKEN_PROTOCOL))


def wants_upgrade(request: Request) -> bool:
    """Whether the client asks for another protocol."""
    return "upgrade" in request.headers.get("Connection", "").lower()


async def plain(
    request: Request,
    target: Target,
    rest: str,
    headers: list[Header],
    *,
    client: aiohttp.ClientSession,
    close: bool,
    unreachable: Unreachable,
    edit: Edit,
    redirects: bool = True,
) -> Reply:
    """Send the request (rest: path and query as they go out), answer what comes back, its headers passed through `edit`.

    close: `client` is for this request alone. redirects: hand them to the client, or else answer 502 in their place.
    """
    body = None
    sent = CIMultiDict(headers)
    if request.http.can_read_body:
        body = _body(request)
        if length := request.headers.get("Content-Length"):
            sent["Content-Length"] = length
    options: dict[str, Any] = {"server_hostname": target.server_name} if target.server_name else {}
    try:
        answer = await client.request(
            request.method,
            URL(f"{target.scheme}://{target.authority}{rest}", encoded=True),
            headers=sent,
            data=body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            **options,
        )
    except (aiohttp.ClientError, OSError) as error:
        if close:
            await client.close()
        raise unreachable(error) from error
    except BaseException:
        if close:
            await client.close()
        raise
    if answer.status == 101:
        answer.close()
        if close:
            await client.close()
        raise unreachable(aiohttp.ClientConnectionError("backend tried to switch protocols when none was requested"))
    if not redirects and 300 <= answer.status < 400 and "Location" in answer.headers:
        answer.close()
        return Reply(502, _REDIRECTED, "text/plain; charset=utf-8")
    returned = edit([(name, value) for name, value in answer.headers.items() if name.lower() not in _NOT_RETURNED])

    content_type = answer.headers.get("Content-Type", "")
    length = answer.headers.get("Content-Length", "")
    if request.method == "HEAD" or answer.status in (204, 304) or (length.isdigit() and int(length) <= _PIECE):
        try:
            async with answer:
                return Reply(answer.status, await answer.read(), content_type, returned)
        except aiohttp.ClientError as error:
            raise unreachable(error) from error
        finally:
            if close:
                await client.close()

    async def produce(stream: Stream) -> None:
        try:
            async with answer:
                async for piece in answer.content.iter_chunked(_PIECE):
                    await stream.write(piece)
        except aiohttp.ClientError as error:
            raise ConnectionResetError("the backend broke off its answer") from error
        finally:
            if close:
                await client.close()

    return StreamReply(produce, answer.status, content_type, returned)


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives."""
    http = request.http
    if request.headers.get("Expect", "").lower() == "100-continue" and http.transport is not None:
        http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    while piece := await http.content.readany():
        yield piece


async def upgraded(
    streams: set[Callable[[], None]],
    request: Request,
    target: Target,
    rest: str,
    headers: list[Header],
    *,
    unreachable: Unreachable,
) -> Reply:
    """Pass an upgrade on, then bytes both ways until either side ends. streams: what to close when the server ends."""
    forwarded = [("Host", target.authority), ("Connection", "Upgrade"), ("Upgrade", request.headers.get("Upgrade", ""))]
    try:
        answer = await upgrade.request(
            target.host,
            target.port,
            method=request.method,
            target=rest,
            headers=[*forwarded, *headers],
            tls=target.tls,
            server_hostname=target.server_name,
        )
    except (OSError, upgrade.UpgradeError) as error:
        raise unreachable(error) from error
    if answer.status != 101:
        return Reply(answer.status, await answer.body(), answer.header("content-type") or "text/plain")

    async def run(http: BaseRequest) -> None:
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in answer.headers)]
        try:
            near = take_over(http)
            streams.add(near.close)
            try:
                await near.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                await tunnel(near, answer.duplex)
            finally:
                streams.discard(near.close)
                near.close()
        finally:
            answer.duplex.close()

    return HijackReply(run)
