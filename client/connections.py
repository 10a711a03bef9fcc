"""What a client holds of a server: its connections with one identity, the token that it sends, whether the server answers.

Used by client/api.py alone, which makes requests of it; nothing here knows what is asked.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from apimachinery.clock import Clock
from client.kubeconfig import Credentials

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 60.0  # seconds until a request that is no watch is given up; the server's own limit
TOKEN_FILE_PERIOD = 60.0  # seconds a token read from a file is used before it is read again; client-go's
OLD_CONNECTIONS = REQUEST_TIMEOUT + 10.0  # seconds that connections with replaced credentials may still be in use


class Unreachable(ConnectionError):
    """The server could not be reached, or broke the connection."""


class TokenSource(Protocol):
    """Where a client's bearer token comes from."""

    async def token(self) -> str:
        """The token to send now."""

    def rejected(self) -> bool:
        """The server answered 401 to it; whether asking again may bring a better one."""


class FixedToken:
    """A token that never changes."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token

    def rejected(self) -> bool:
        return False


class FileToken:
    """A token kept in a file, read again as it is rotated."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = Path(path)
        self._clock = clock
        self._token = ""
        self._read_at = -math.inf

    async def token(self) -> str:
        now = self._clock.monotonic()
        if now - self._read_at >= TOKEN_FILE_PERIOD:
            try:
                self._token = (await asyncio.to_thread(self._path.read_text)).strip()
                self._read_at = now
            except OSError as error:
                if not self._token:
                    raise Unreachable(f"reading the token file: {error}") from error
                log.warning("cannot read the token file, using the last token: %s", error)
        return self._token

    def rejected(self) -> bool:
        return False


class Reachability:
    """Whether the server answers: told in the log when that changes, not at every request."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._lost = False

    def lost(self, error: Exception) -> None:
        if not self._lost:
            self._lost = True
            log.warning("the API server at %s cannot be reached: %s", self._server, error)

    def found(self) -> None:
        if self._lost:
            self._lost = False
            log.info("the API server at %s answers again", self._server)


class Connections:
    """The connections to one server with one identity: shared by clients that differ in their tokens only."""

    def __init__(self, credentials: Credentials, clock: Clock, headers: Mapping[str, str]) -> None:
        self.credentials = credentials
        self.session: aiohttp.ClientSession | None = None
        self._clock = clock
        self._headers = headers
        self._ending: set[asyncio.Task[None]] = set()
        self._watches: dict[aiohttp.ClientResponse, aiohttp.ClientSession] = {}

    async def open(self) -> None:
        self.session = await self._opened(self.credentials)

    async def _opened(self, credentials: Credentials) -> aiohttp.ClientSession:
        import aiohttp

        tls = await asyncio.to_thread(credentials.ssl_context)
        # Watches hold a connection each, so the pool itself has no limit; requests are limited by slots.
        connector = aiohttp.TCPConnector(ssl=tls, limit=0, keepalive_timeout=60, ttl_dns_cache=30)
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=10, sock_read=None),
            auto_decompress=True,
            read_bufsize=1 << 18,
        )

    async def renew(self, credentials: Credentials) -> None:
        """New requests use the new credentials; old connections are let finish, and then watches on them are cut."""
        old, self.session = self.session, await self._opened(credentials)
        self.credentials = credentials
        if old is not None:
            task = asyncio.create_task(self._end(old), name="closing connections with old credentials")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    @contextmanager
    def watching(self, response: aiohttp.ClientResponse, session: aiohttp.ClientSession) -> Iterator[None]:
        """While a watch of that session is read: so that it can be told when its connection is ended."""
        self._watches[response] = session
        try:
            yield
        finally:
            del self._watches[response]
            response.close()

    async def _end(self, session: aiohttp.ClientSession) -> None:
        import aiohttp

        try:
            await self._clock.sleep(OLD_CONNECTIONS)
        finally:
            # Closing a session tells nobody who reads from it.
            for response in [response for response, owner in self._watches.items() if owner is session]:
                response.content.set_exception(aiohttp.ClientConnectionError("the client's credentials were replaced"))
            await session.close()

    async def close(self) -> None:
        for task in list(self._ending):
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        if self.session is not None:
            await self.session.close()
            self.session = None
