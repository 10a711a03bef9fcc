"""The client's side of an HTTP/1.1 upgrade: send the request, read the answer's head, hand over the connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streaming.duplex import Duplex, connect

MAX_HEAD = 64 * 1024  # bytes of status line and headers
MAX_BODY = 1024 * 1024  # bytes read of an answer that is no upgrade
BODY_SECONDS = 30.0  # for those; real time, since it guards a socket
_LAST_CHUNK = b"0\r\n\r\n"


class UpgradeError(Exception):
    """The backend did not answer as HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """status, reason and headers of the backend's answer; `duplex` carries on after them."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    duplex: Duplex

    def header(self, name: str) -> str:
        """The first value of a header, "" when there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    async def body(self) -> bytes:
        """The body of an answer that is no upgrade, cut at MAX_BODY and after BODY_SECONDS; closes the connection."""
        length = self.header("content-length")
        limit = min(int(length), MAX_BODY) if length.isascii() and length.isdigit() and len(length) < 19 else MAX_BODY
        chunked = self.header("transfer-encoding").lower() == "chunked"
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while len(data) < limit and (chunk := await self.duplex.read()):
                    data += chunk
                    if chunked and data.endswith(_LAST_CHUNK):
                        break  # the backend may keep the connection open
        except TimeoutError:
            pass  # what has come must do
        finally:
            self.duplex.abort()
        return (_unchunk(bytes(data)) if chunked else bytes(data))[:limit]


async def request(
    host: str,
    port: int,
    *,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    tls: ssl.SSLContext | None,
    server_hostname: str | None = None,
) -> Answer:
    """Send a request without a body and read the answer's head. OSError, UpgradeError."""
    duplex = await connect(host, port, tls=tls, server_hostname=server_hostname)
    try:
        lines = [f"{method} {target} HTTP/1.1"]
        for name, value in headers:
            if any(char in "\r\n\0" for char in name + value):
                raise UpgradeError(f"header {name} cannot be forwarded")
            lines.append(f"{name}: {value}")
        await duplex.write(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
        return await _read_head(duplex)
    except BaseException:
        duplex.abort()
        raise


async def _read_head(duplex: Duplex) -> Answer:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = await duplex.read()
        if not chunk:
            raise UpgradeError("the backend closed the connection before it answered")
        data += chunk
        if len(data) > MAX_HEAD:
            raise UpgradeError("the backend's answer has too large a head")
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    version, _, status_line = first.partition(" ")
    code, _, reason = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not code.isdigit():
        raise UpgradeError("the backend did not answer as HTTP/1.1")
    duplex.unread(rest)
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(code), reason, headers, duplex)


def _unchunk(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            return out
        if length <= 0:
            return out
        out += data[:length]
        data = data[length + 2 :]
    return out
