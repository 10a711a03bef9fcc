"""A whole API server inside the test's own loop: real TLS, real filters, storage in memory; and a plain client for it.

async with running(folder) as api:
    answer = await api.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
    assert answer.code == 201
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from apimachinery.clock import Clock, RealClock
from apiserver.config import Config
from apiserver.server import ApiServer
from tests.support.devserver import config_for

Obj = dict[str, Any]
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """code, headers, the raw body and, when it is JSON, the decoded one."""

    code: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclass
class Api:
    """The server and a client of it."""

    server: ApiServer
    session: aiohttp.ClientSession
    tls: ssl.SSLContext
    token: str = "admintoken"
    url: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.url = f"https://127.0.0.1:{self.server.port}"

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Answer:
        """One request. body: bytes as they are, anything else as JSON."""
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        target = path + ("?" + urlencode(query, doseq=True) if query else "")
        content = io.BytesIO(data) if data is not None else None
        async with self.session.request(method, self.url + target, data=content, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.ask("GET", path, **query)

    async def post(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.ask("POST", path, body, **query)

    async def put(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.ask("PUT", path, body, **query)

    async def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        return await self.ask("DELETE", path, body, **query)

    async def patch(self, path: str, body: Any, media_type: str = MERGE, **query: Any) -> Answer:
        return await self.ask("PATCH", path, body, headers={"Content-Type": media_type}, **query)

    @asynccontextmanager
    async def watch(self, path: str, *, accept: str = "application/json", **query: Any) -> AsyncIterator[Events]:
        """Events of a watch; the connection ends with the block."""
        target = f"{self.url}{path}?" + urlencode({"watch": "true", **query}, doseq=True)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept}
        async with self.session.get(target, headers=headers) as response:
            yield Events(response)

    async def raw(self, request: bytes, *, seconds: float = 10) -> bytes:
        """What the server answers to these bytes on a connection of their own, until it closes or says no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, ssl=self.tls)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), seconds)
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


class Events:
    """The events of an open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, seconds: float = 10) -> Obj:
        """The next event. EOFError when the server has ended the watch."""
        line = await asyncio.wait_for(self.response.content.readline(), seconds)
        if not line:
            raise EOFError
        event: Obj = json.loads(line)
        return event

    async def take(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def ended(self, seconds: float = 10) -> bool:
        """Whether the server ends the watch in that time, after whatever it still says."""
        await asyncio.wait_for(self.response.content.read(), seconds)
        return True


@asynccontextmanager
async def running(folder: Path, *, clock: Clock | None = None, **options: Any) -> AsyncIterator[Api]:
    """A server on a free port. options: Config fields; storage defaults to memory."""
    config: Config = replace(config_for(folder, 0, storage="memory:"), **options)
    server = ApiServer(config, clock or RealClock())
    await server.start()
    tls = ssl.create_default_context(cafile=str(folder / "pki" / "ca.crt"))
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    try:
        async with (
            asyncio.TaskGroup() as group,
            aiohttp.ClientSession(connector=connector, auto_decompress=True) as session,
        ):
            work = [group.create_task(task(), name=name) for name, task in server.background.items()]
            yield Api(server, session, tls)
            for task in work:
                task.cancel()
    finally:
        await server.end()
