"""Gzip of large answers: objects, lists and Tables alike, whatever the verb, for clients that take it. Logs, watches and
proxied bodies are streams and never come here."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from apiserver.filters.base import Request
from serving.reply import Reply

_FROM = 128 * 1024  # bytes; answers up to this are not worth compressing, as in the original
_LEVEL = 1


async def compress(request: Request, reply: Reply) -> Reply:
    """The answer, compressed in a thread when it is large and the client takes gzip."""
    body = reply.body
    if isinstance(body, bytes):
        if len(body) <= _FROM:
            return reply
        body = (body,)
    elif sum(map(len, body)) <= _FROM:
        return reply
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return reply
    reply.body = await asyncio.to_thread(_gzip, body)
    reply.headers.append(("Content-Encoding", "gzip"))
    reply.headers.append(("Vary", "Accept-Encoding"))
    return reply


def _gzip(pieces: Sequence[bytes]) -> bytes:
    deflater = zlib.compressobj(_LEVEL, wbits=31)
    return b"".join([deflater.compress(piece) for piece in pieces] + [deflater.flush()])
