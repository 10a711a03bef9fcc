"""The asyncio API client: one pooled TLS connection set per server, resources in, dicts out.

Called by every component that talks to an API server; there is no other way in. Objects are dicts in the API's JSON
shape. Answers that are a Status of failure raise apimachinery.errors.ApiError; a server that cannot be reached raises
Unreachable, one that does not answer in time TimeoutError. As client-go does, a 429 or 5xx answer with Retry-After is
waited out and repeated; nothing else is.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from apimachinery import clock as clocks
from apimachinery import filewatch
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client import kubeconfig
from client.connections import (
    REQUEST_TIMEOUT,
    Connections,
    FileToken,
    FixedToken,
    Reachability,
    TokenSource,
    Unreachable,
)
from client.kubeconfig import Credentials

if TYPE_CHECKING:
    import aiohttp


__all__ = ["APPLY", "JSON_PATCH", "MERGE", "STRATEGIC", "Client", "TokenSource", "Unreachable"]

Obj = dict[str, Any]
Objs = list[Obj]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML
_PATCH_TYPES = {"merge": MERGE, "strategic": STRATEGIC, "json": JSON_PATCH, "apply": APPLY}

_JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

MAX_RETRIES = 10  # client-go's
KUBECONFIG_PERIOD = 10.0  # seconds between looks at a kubeconfig, which is rewritten when its certificate is renewed
WATCH_GRACE = 30.0  # seconds that a watch may outlive its timeoutSeconds before the connection counts as dead
MAX_IN_FLIGHT = 64  # requests at once, watches not counted; a component of ours needs no more, and it bounds memory
MAX_LINE = 64 << 20  # bytes of one watch event


class Client:
    """A connection pool to one API server. Use as an async context manager; safe for any number of tasks.

    user_agent: sent with every request ("controllers/0.1"). max_in_flight: requests at once, watches not counted.
    """

    def __init__(
        self, credentials: Credentials, *, clock: Clock, user_agent: str, max_in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        self.clock = clock
        self.server = credentials.server
        self._connections = Connections(credentials, clock, {"User-Agent": user_agent})
        self._slots = asyncio.Semaphore(max_in_flight)
        self._reachability = Reachability(credentials.server)
        self._source: tuple[Path, Callable[[], Credentials]] | None = None
        self._following: asyncio.Task[None] | None = None
        self._tokens: TokenSource | None = None
        if credentials.token_file:
            self._tokens = FileToken(credentials.token_file, clock)
        elif credentials.token:
            self._tokens = FixedToken(credentials.token)

    @classmethod
    def from_kubeconfig(
        cls, path: str | Path, *, clock: Clock, user_agent: str, context: str | None = None, nobody: bool = False
    ) -> Client:
        """A client for a context of a kubeconfig (default: its current one). KubeconfigError.

        While it is open it follows the file, and the certificates it names, when they are renewed. nobody: without its
        credentials.
        """

        def load() -> Credentials:
            credentials = kubeconfig.load(path, context)
            return credentials.of_nobody() if nobody else credentials

        made = cls(load(), clock=clock, user_agent=user_agent)
        made._source = (Path(path), load)
        return made

    async def __aenter__(self) -> Self:
        await self._connections.open()
        if self._source is not None:
            self._following = asyncio.create_task(self._follow(*self._source), name="kubeconfig")
        return self

    async def _follow(self, path: Path, load: Callable[[], Credentials]) -> None:
        files: list[filewatch.WatchedFile] = [filewatch.WatchedFile(path, b"")]

        def look() -> tuple[list[filewatch.WatchedFile], Credentials]:
            """The files first, so that what is replaced in between is seen at the next look."""
            return [filewatch.WatchedFile(file) for file in kubeconfig.files(path)], load()

        async def reload() -> None:
            files[:], credentials = await asyncio.to_thread(look)
            if credentials != self.credentials:
                await self.renew(credentials)

        await filewatch.watch(self.clock, files, reload, KUBECONFIG_PERIOD)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._connections.close()

    @property
    def credentials(self) -> Credentials:
        """Those in use."""
        return self._connections.credentials

    async def renew(self, credentials: Credentials) -> None:
        """Use another certificate or CA from now on, for the same server. Requests under way are let finish."""
        await self._connections.renew(credentials)

    def acting_as(self, tokens: TokenSource) -> Client:
        """A client that shares this one's connections and limits but sends other tokens; it needs no closing."""
        other = copy.copy(self)
        other._tokens = tokens
        return other

    # -- verbs

    async def get(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        resource_version: str | None = None,
        metadata_only: bool = False,
    ) -> Obj:
        """One object. metadata_only: a PartialObjectMetadata."""
        return await self._json(
            "GET",
            resource.path(namespace, name, subresource),
            query={"resourceVersion": resource_version},
            accept=METADATA if metadata_only else _JSON,
        )

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str | None = None,
        metadata_only: bool = False,
    ) -> Obj:
        """A list object, one page of it if limit is given. namespace None: of all namespaces."""
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit) if limit else "",
            "continue": continue_token,
            "resourceVersion": resource_version,
        }
        accept = METADATA_LIST if metadata_only else _JSON
        return await self._json("GET", resource.path(namespace), query=query, accept=accept)

    async def list_all(
        self, resource: Resource, namespace: str | None = None, *, page: int = 500, **options: Any
    ) -> Objs:
        """Every item, fetched page by page. options: as for list()."""
        items: Objs = []
        token = ""
        while True:
            answer = await self.list(resource, namespace, limit=page, continue_token=token, **options)
            items += answer.get("items") or ()
            token = answer["metadata"].get("continue") or ""
            if not token:
                return items

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int | None = None,
        bookmarks: bool = True,
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[str, Obj]]:
        """(type, object) pairs: ADDED, MODIFIED, DELETED, BOOKMARK; ends when the server ends the watch.

        An ERROR event is raised as ApiError. Close it (contextlib.aclosing) when leaving early.
        """
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": str(timeout_seconds) if timeout_seconds else "",
            "allowWatchBookmarks": "true" if bookmarks else "",
        }
        accept = METADATA if metadata_only else _JSON
        async with clocks.timeout(self.clock, REQUEST_TIMEOUT):
            response, session = await self._send("GET", resource.path(namespace), query=query, accept=accept, body=None)
        deadline = self.clock.monotonic() + timeout_seconds + WATCH_GRACE if timeout_seconds else None
        with self._connections.watching(response, session):
            async for line in self._lines(response, deadline):
                event = _decoded(line, f"watch of {self.server}{response.url.path}")
                if event["type"] == "ERROR":
                    raise ApiError.from_status(event["object"])
                yield event["type"], event["object"]

    async def create(
        self,
        resource: Resource,
        obj: Obj,
        namespace: str | None = None,
        *,
        name: str | None = None,
        subresource: str | None = None,
        dry_run: bool = False,
        field_manager: str | None = None,
    ) -> Obj:
        """The object as created. namespace: default the object's own. name and subresource: POST to a subresource."""
        if namespace is None and resource.namespaced:
            namespace = obj["metadata"].get("namespace")
        body = obj if subresource else {**obj, "kind": resource.kind, "apiVersion": resource.api_version}
        path = resource.path(namespace, name, subresource)
        return await self._json("POST", path, query=_write_query(dry_run, field_manager), body=_encoded(body))

    async def update(
        self, resource: Resource, obj: Obj, *, subresource: str | None = None, field_manager: str | None = None
    ) -> Obj:
        """The object as replaced. A Conflict is raised when its resourceVersion is not the current one."""
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
        body = obj if obj.get("kind") else {**obj, "kind": resource.kind, "apiVersion": resource.api_version}
        return await self._json("PUT", path, query=_write_query(False, field_manager), body=_encoded(body))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        content_type: str = MERGE,
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool = False,
        dry_run: bool = False,
    ) -> Obj:
        """The object as patched. content_type: a media type or "merge", "strategic", "json", "apply"."""
        query = _write_query(dry_run, field_manager) | {"force": "true" if force else ""}
        return await self._json(
            "PATCH",
            resource.path(namespace, name, subresource),
            query=query,
            body=patch if isinstance(patch, bytes) else _encoded(patch),
            content_type=_PATCH_TYPES.get(content_type, content_type),
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Obj:
        """The Status or the object that is being deleted. uid, resource_version: preconditions (Conflict)."""
        options = _delete_options(grace_period_seconds, propagation_policy)
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if any(preconditions.values()):
            options["preconditions"] = {key: value for key, value in preconditions.items() if value}
        return await self._json("DELETE", resource.path(namespace, name), body=orjson.dumps(options))

    async def delete_collection(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        """Delete everything that matches."""
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        body = orjson.dumps(_delete_options(grace_period_seconds, propagation_policy))
        return await self._json("DELETE", resource.path(namespace), query=query, body=body)

    async def raw(self, path: str, *, accept: str = _JSON, query: Mapping[str, str | None] | None = None) -> Obj:
        """GET of any path that answers JSON (discovery, version)."""
        return await self._json("GET", path, query=query, accept=accept)

    # -- transport

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
    ) -> Obj:
        import aiohttp

        async with self._slots:
            try:
                async with clocks.timeout(self.clock, REQUEST_TIMEOUT):
                    response, _ = await self._send(
                        method, path, query=query, accept=accept, body=body, content_type=content_type
                    )
                    try:
                        data = await response.read()
                    finally:
                        response.release()
            except aiohttp.ClientError as error:
                raise Unreachable(f"{method} {self.server}{path}: {error}") from error
        return _decoded(data, f"{method} {self.server}{path}")

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None] | None,
        accept: str,
        body: bytes | None,
        content_type: str = _JSON,
    ) -> tuple[aiohttp.ClientResponse, aiohttp.ClientSession]:
        """A successful response whose body is yet to be read, and the session it came by; ApiError for any other."""
        import aiohttp
        from yarl import URL

        url = URL(self.server + path, encoded=True)
        params = {key: value for key, value in (query or {}).items() if value}
        for attempt in range(MAX_RETRIES + 1):
            headers = {"Accept": accept}
            if body is not None:
                headers["Content-Type"] = content_type
            if self._tokens is not None:
                headers["Authorization"] = f"Bearer {await self._tokens.token()}"
            session = self._connections.session
            assert session is not None, "the client is not open"
            try:
                response = await session.request(
                    method,
                    url.with_query(params) if params else url,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    server_hostname=self._connections.credentials.server_name,
                )
            except aiohttp.ClientError as error:
                self._reachability.lost(error)
                raise Unreachable(f"{method} {self.server}{path}: {error}") from error
            self._reachability.found()
            if response.status < 300:
                return response, session
            if response.status == 401 and attempt == 0 and self._tokens is not None and self._tokens.rejected():
                response.release()
                continue
            wait = _retry_after(response)
            if wait is None or attempt == MAX_RETRIES:
                raise await _error(response)
            response.release()
            await self.clock.sleep(wait)
        raise AssertionError("unreachable")

    async def _lines(self, response: aiohttp.ClientResponse, deadline: float | None) -> AsyncIterator[bytes]:
        """The lines of a watch as they arrive; many may arrive in one read."""
        import aiohttp

        rest = b""
        while True:
            try:
                if deadline is None:
                    chunk = await response.content.readany()
                else:
                    async with clocks.timeout(self.clock, max(0.0, deadline - self.clock.monotonic())):
                        chunk = await response.content.readany()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Unreachable(
                    f"watch of {self.server}{response.url.path}: {error or 'no answer in time'}"
                ) from error
            if not chunk:
                return
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_LINE:
                raise Unreachable(f"watch of {self.server}{response.url.path}: an event exceeds {MAX_LINE} bytes")
            for line in lines:
                if line:
                    yield line


def _decoded(data: bytes, what: str) -> Obj:
    """The object in an answer; what is none comes from a broken server, or from something that is not an API server."""
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unreachable(f"{what}: not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise Unreachable(f"{what}: not an object")
    return answer


def _encoded(body: Any) -> bytes:
    """JSON as Go's encoder writes it, which escapes what HTML minds: data of ControllerRevisions is compared by its bytes."""
    raw = orjson.dumps(body)
    for char, escape in ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e")):
        raw = raw.replace(char, escape)
    return raw


def _write_query(dry_run: bool, field_manager: str | None) -> dict[str, str | None]:
    return {"dryRun": "All" if dry_run else None, "fieldManager": field_manager}


def _delete_options(grace_period_seconds: int | None, propagation_policy: str | None) -> Obj:
    options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if propagation_policy:
        options["propagationPolicy"] = propagation_policy
    return options


def _retry_after(response: aiohttp.ClientResponse) -> int | None:
    """Seconds to wait before trying again, if the server asks for that."""
    if response.status != 429 and response.status < 500:
        return None
    text = response.headers.get("Retry-After", "")
    return int(text) if text.isdigit() else None


async def _error(response: aiohttp.ClientResponse) -> ApiError:
    """What an answer of failure means."""
    import aiohttp

    try:
        data = await response.read()
    except aiohttp.ClientError:
        data = b""
    finally:
        response.release()
    try:
        status = orjson.loads(data)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return ApiError.from_status({**status, "code": status.get("code") or response.status})
    text = data[:2048].decode("utf-8", "replace").strip() or response.reason or "unknown"
    return ApiError(response.status, _REASONS.get(response.status, ""), text)


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Gone",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
