"""SPDY/3.1 as Kubernetes speaks it: streams over one connection, without flow control.

Frames are those of the SPDY Protocol Draft 3.1; moby/spdystream, which the original components use, neither sends nor
expects WINDOW_UPDATE, so neither do we. A Session serves either end. What this does not know is what streams mean: that
is remotecommand.py's and the servers'.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable, Mapping

from streaming.duplex import Duplex

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 0x01
CANCEL, INTERNAL_ERROR, REFUSED = 5, 6, 3
MAX_DATA = 32 * 1024  # bytes of data we put into one frame
MAX_HEADERS = 1024 * 1024  # bytes of a header block once inflated
STREAM_LIMIT = 1024 * 1024  # bytes held for a stream's reader before the session stops reading

# The protocol's compression dictionary: words with a 32-bit length each, then common codes and values.
_WORDS = (  # noqa: SIM905
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
    "allow authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status "
).split()
_WORDS += ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS) + _TAIL.encode()


class SpdyError(Exception):
    """The peer broke the protocol; the session is over."""


class StreamReset(ConnectionError):
    """The peer reset the stream, or the session ended under it."""


class Stream:
    """One stream. headers: what the opener sent, names in lower case."""

    def __init__(self, session: Session, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = dict(headers)
        self._session = session
        self._chunks: list[bytes] = []
        self._held = 0
        self._readable = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._remote_done = False
        self._local_done = False
        self._reset = False
        self.replied = asyncio.Event()

    async def read(self) -> bytes:
        """The next bytes; b"" once the peer has finished its half or reset the stream."""
        while not self._chunks:
            if self._remote_done or self._reset:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        self._room.set()
        return data

    async def write(self, data: bytes) -> None:
        """Send data. StreamReset when nobody takes it any more."""
        for start in range(0, len(data), MAX_DATA):
            if self._reset or self._local_done:
                raise StreamReset(f"stream {self.number} is closed")
            await self._session.send_data(self.number, data[start : start + MAX_DATA])

    async def close_write(self) -> None:
        """Finish our half."""
        if not self._local_done and not self._reset:
            self._local_done = True
            await self._session.send_data(self.number, b"", FLAG_FIN)
            self._session.forget_if_done(self)

    async def reset(self, status: int = CANCEL) -> None:
        """Give the stream up in both directions."""
        if not self._reset:
            self.lost()
            await self._session.send_reset(self.number, status)
            self._session.forget_if_done(self)

    @property
    def done(self) -> bool:
        return self._reset or (self._remote_done and self._local_done)

    # -- called by the session

    async def received(self, data: bytes, final: bool) -> None:
        if data:
            self._chunks.append(data)
            self._held += len(data)
        self._remote_done = self._remote_done or final
        self._readable.set()
        if self._held > STREAM_LIMIT and not self._reset:
            self._room.clear()
            await self._room.wait()

    def lost(self) -> None:
        self._reset = True
        self._readable.set()
        self._room.set()
        self.replied.set()


class Session:
    """All streams of one connection. run() must be running while streams are used.

    server: whether the peer opens streams with odd numbers (it is the client). opened: called with each stream the peer
    opens; it may start tasks but must not wait.
    """

    def __init__(self, duplex: Duplex, *, server: bool, opened: Callable[[Stream], None] | None = None) -> None:
        self._duplex = duplex
        self._opened = opened
        self._streams: dict[int, Stream] = {}
        self._next = 2 if server else 1
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._send_lock = asyncio.Lock()
        self.closed = asyncio.Event()

    async def run(self) -> None:
        """Read frames until the connection ends. SpdyError when the peer breaks the protocol."""
        try:
            while data := await self._duplex.read():
                self._buffer += data
                await self._frames()
        finally:
            for stream in list(self._streams.values()):
                stream.lost()
            self._streams.clear()
            self.closed.set()
            self._duplex.close()

    async def open(self, headers: Mapping[str, str]) -> Stream:
        """Open a stream and wait until the peer has accepted it. StreamReset when it does not."""
        async with self._send_lock:
            stream = Stream(self, self._next, headers)
            self._next += 2
            self._streams[stream.number] = stream
            payload = struct.pack(">IIBB", stream.number, 0, 0, 0) + self._pack(headers)
            await self._send_control(SYN_STREAM, 0, payload)
        await stream.replied.wait()
        if stream.done:
            raise StreamReset(f"stream {stream.number} was refused")
        return stream

    async def close(self) -> None:
        """Say goodbye and close the connection."""
        if not self.closed.is_set():
            try:
                async with self._send_lock:
                    await self._send_control(GOAWAY, 0, struct.pack(">II", 0, 0))
            except ConnectionError:
                pass  # it is gone already, which is what we want
        self._duplex.close()

    # -- sending

    async def send_data(self, number: int, data: bytes, flags: int = 0) -> None:
        async with self._send_lock:
            await self._duplex.write(struct.pack(">II", number, flags << 24 | len(data)) + data)

    async def send_reset(self, number: int, status: int) -> None:
        async with self._send_lock:
            await self._send_control(RST_STREAM, 0, struct.pack(">II", number, status))

    async def _send_control(self, kind: int, flags: int, payload: bytes) -> None:
        await self._duplex.write(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        block = bytearray(struct.pack(">I", len(headers)))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._deflate.compress(bytes(block)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    # -- receiving

    async def _frames(self) -> None:
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                return
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            flags = second >> 24
            if first & 0x80000000:
                await self._control(first & 0xFFFF, flags, payload)
            else:
                await self._data(first & 0x7FFFFFFF, flags, payload)

    async def _data(self, number: int, flags: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return  # late data for a stream that we have reset
        await stream.received(payload, bool(flags & FLAG_FIN))
        self.forget_if_done(stream)

    async def _control(self, kind: int, flags: int, payload: bytes) -> None:
        try:
            if kind == SYN_STREAM:
                await self._accept(flags, payload)
            elif kind in (SYN_REPLY, HEADERS):
                await self._replied(kind, flags, payload)
            elif kind == RST_STREAM:
                stream = self._streams.pop(struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF, None)
                if stream is not None:
                    stream.lost()
            elif kind == PING:
                await self._pinged(payload)
            elif kind == GOAWAY:
                self._duplex.close()
            # SETTINGS and WINDOW_UPDATE carry nothing that matters without flow control.
        except struct.error as error:
            raise SpdyError(f"a frame of type {kind} is too short") from error

    async def _accept(self, flags: int, payload: bytes) -> None:
        number = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        headers = self._unpack(payload[10:])
        if self._opened is None or number in self._streams or number % 2 == self._next % 2:
            await self.send_reset(number, REFUSED)
            return
        stream = Stream(self, number, headers)
        stream.replied.set()
        self._streams[number] = stream
        async with self._send_lock:
            await self._send_control(SYN_REPLY, 0, struct.pack(">I", number) + self._pack({}))
        if flags & FLAG_FIN:
            await stream.received(b"", True)
        self._opened(stream)

    async def _replied(self, kind: int, flags: int, payload: bytes) -> None:
        number = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        self._unpack(payload[4:])  # keeps the shared decompressor in step, whoever the headers are for
        stream = self._streams.get(number)
        if stream is None:
            return
        if kind == SYN_REPLY:
            stream.replied.set()
        if flags & FLAG_FIN:
            await stream.received(b"", True)
            self.forget_if_done(stream)

    async def _pinged(self, payload: bytes) -> None:
        number = struct.unpack_from(">I", payload)[0]
        if number % 2 != self._next % 2:  # the peer's own number: send it back; ours coming back needs no answer
            async with self._send_lock:
                await self._send_control(PING, 0, payload[:4])

    def _unpack(self, block: bytes) -> dict[str, str]:
        try:
            data = self._inflate.decompress(block, MAX_HEADERS)
        except zlib.error as error:
            raise SpdyError(f"a header block that does not inflate: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError("a header block that is too large")
        (count,) = struct.unpack_from(">I", data)
        position = 4
        headers = {}
        for _ in range(count):
            texts = []
            for _ in range(2):
                (length,) = struct.unpack_from(">I", data, position)
                texts.append(data[position + 4 : position + 4 + length].decode("utf-8", "replace"))
                position += 4 + length
            headers[texts[0].lower()] = texts[1]
        return headers

    def forget_if_done(self, stream: Stream) -> None:
        if stream.done:
            self._streams.pop(stream.number, None)
