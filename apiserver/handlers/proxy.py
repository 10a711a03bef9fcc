"""The proxy subresources of pods, services and nodes: HTTP passed on to what runs behind them.

A name may be "scheme:name:port". Targets are addresses that the cluster knows (a pod's, an endpoint's, a node's), never a
name from the request; loopback, link-local and unspecified addresses are refused, and redirects are handed to
the client instead of being followed.
"""

from __future__ import annotations

import ipaddress
import random
import ssl
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp.web_request import BaseRequest

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver.filters.base import Request
from apiserver.handlers import podtarget
from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Obj
from serving.reply import HijackReply, Reply, Stream, StreamReply
from streaming import upgrade
from streaming.duplex import take_over, tunnel

_CONNECT_SECONDS = 30.0
_PIECE = 64 * 1024
_NOT_FORWARDED = frozenset(
    ("host", "authorization", "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
     "transfer-encoding", "upgrade", "content-length")
)  # fmt: skip
_NOT_RETURNED = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "content-type", "upgrade", "trailer")
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. tls: for https; None for http."""

    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def split_name(name: str) -> tuple[str, str, str]:
    """(scheme, name, port) of "name", "name:port", "scheme:name:port"; port may be empty. 400 for anything else."""
    parts = name.split(":")
    if len(parts) == 1:
        return "http", name, ""
    if len(parts) == 2:
        return "http", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0] or "http", parts[1], parts[2]
    raise errors.bad_request(f'invalid service request "{name}"')


def _unverified() -> ssl.SSLContext:
    """Pods and services show certificates of their own making; the original does not verify them either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_address(address: str) -> None:
    """Refuse what only this machine should reach: loopback, link-local, unspecified, multicast (proxyutil.IsProxyableIP)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise errors.bad_request("address not allowed") from error
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    if mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast:
        raise errors.bad_request("address not allowed")


async def pod(scope: Scope, request: Request) -> Reply:
    """Any method on pods/{name}/proxy/{path}."""
    await podtarget.admit(scope, request, _options(request, "PodProxyOptions"))
    scheme, name, port = split_name(request.info.name)
    found = scope.store.decode(await scope.store.get(request.info.namespace, name))
    if not port:
        for container in found["spec"].get("containers") or ():
            if container.get("ports"):
                port = str(container["ports"][0]["containerPort"])
                break
    address = str((found.get("status") or {}).get("podIP") or "")
    check_address(address)
    number = int(port) if port.isdigit() else (443 if scheme == "https" else 80)
    return await _forward(scope, request, Target(scheme, address, number, _unverified() if scheme == "https" else None))


async def service(scope: Scope, request: Request) -> Reply:
    """Any method on services/{name}/proxy/{path}: one of its ready endpoints, by chance."""
    await podtarget.admit(scope, request, _options(request, "ServiceProxyOptions"))
    scheme, name, port = split_name(request.info.name)
    reader, namespace = scope.store.environment.reader, request.info.namespace
    found = scope.store.decode(await scope.store.get(namespace, name))
    port_name = _port_name(found, name, port)
    endpoints = await reader.get("", "endpoints", namespace, name)
    candidates = [
        (address["ip"], entry["port"])
        for subset in (endpoints or {}).get("subsets") or ()
        for entry in subset.get("ports") or ()
        if entry.get("name", "") == port_name
        for address in subset.get("addresses") or ()
    ]
    if not candidates:
        raise errors.service_unavailable(f'no endpoints available for service "{name}"')
    host, number = random.choice(candidates)
    check_address(host)
    return await _forward(scope, request, Target(scheme, host, number, _unverified() if scheme == "https" else None))


def _port_name(found: Obj, name: str, port: str) -> str:
    """The name of the service's port that was asked for by name or number; 503 when it has none such."""
    ports: list[Obj] = (found.get("spec") or {}).get("ports") or []
    if not port and len(ports) == 1:
        return str(ports[0].get("name", ""))
    for entry in ports:
        if port in (entry.get("name", ""), str(entry["port"])):
            return str(entry.get("name", ""))
    raise errors.service_unavailable(f'no service port "{port}" found for service "{name}"')


async def node(scope: Scope, request: Request) -> Reply:
    """Any method on nodes/{name}/proxy/{path}: the node agent's own API."""
    await podtarget.admit(scope, request, _options(request, "NodeProxyOptions"))
    _, name, port = split_name(request.info.name)
    kubelets = podtarget.kubelets(scope)
    location = await kubelets.locate(name)
    number = int(port) if port.isdigit() else location.port
    # With another port than the kubelet's own, the API server does not show its credentials.
    own = number == location.port
    if not own:
        check_address(location.host)
    return await _forward(
        scope, request, Target("https", location.host, number, kubelets.tls if own else _unverified())
    )


def _options(request: Request, kind: str) -> Obj:
    return {"kind": kind, "apiVersion": "v1", "path": request.info.subpath or request.param("path")}


async def _forward(scope: Scope, request: Request, target: Target) -> Reply:
    path = request.info.subpath
    if not path and request.method in ("GET", "HEAD") and not request.raw_path.endswith("/"):
        query = f"?{request.raw_query}" if request.raw_query else ""
        return Reply(301, b"", "", [("Location", f"{request.raw_path}/{query}")])
    rest = (path or "/") + (f"?{request.raw_query}" if request.raw_query else "")
    headers = _forwarded_headers(request)
    if "upgrade" in request.headers.get("Connection", "").lower():
        return await _upgraded(scope, request, target, rest, headers)
    return await _plain(request, target, rest, headers)


def _forwarded_headers(request: Request) -> list[tuple[str, str]]:
    headers = [
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in _NOT_FORWARDED and not name.lower().startswith(("impersonate-", "x-remote-"))
    ]
    forwarded = [value for value in (request.headers.get("X-Forwarded-For"), request.remote) if value]
    headers = [(name, value) for name, value in headers if name.lower() != "x-forwarded-for"]
    return [
        *headers,
        ("X-Forwarded-For", ", ".join(forwarded)),
        ("X-Forwarded-Uri", quote(request.raw_path, safe="/%:")),
    ]


async def _plain(request: Request, target: Target, rest: str, headers: list[tuple[str, str]]) -> Reply:
    from yarl import URL

    body = await request.read() if request.http.can_read_body else None
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    connector = aiohttp.TCPConnector(ssl=target.tls if target.tls is not None else True, force_close=True)
    session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
    try:
        answer = await session.request(
            request.method,
            URL(f"{target.scheme}://{target.authority}{rest}", encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
    except aiohttp.ClientError as error:
        await session.close()
        raise _unreachable(request, target, error) from error
    except BaseException:
        await session.close()
        raise
    prefix = request.raw_path[: len(request.raw_path) - len(request.info.subpath)].rstrip("/")
    returned = [
        (name, _relocate(value, target, prefix) if name.lower() == "location" else value)
        for name, value in answer.headers.items()
        if name.lower() not in _NOT_RETURNED
    ]

    async def produce(stream: Stream) -> None:
        async with session, answer:
            async for piece in answer.content.iter_chunked(_PIECE):
                await stream.write(piece)

    return StreamReply(produce, answer.status, answer.headers.get("Content-Type", ""), returned)


def _unreachable(request: Request, target: Target, error: Exception) -> ApiError:
    return errors.service_unavailable(f"error trying to reach service: {error or type(error).__name__}")


def _relocate(location: str, target: Target, prefix: str) -> str:
    """A redirect to the backend itself becomes one through the proxy; any other stays as it is."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc not in (target.authority, target.host):
        return location
    path = parts.path if parts.path.startswith("/") else "/" + parts.path
    return prefix + path + (f"?{parts.query}" if parts.query else "") + (f"#{parts.fragment}" if parts.fragment else "")


async def _upgraded(scope: Scope, request: Request, target: Target, rest: str, headers: list[tuple[str, str]]) -> Reply:
    forwarded = [("Host", target.authority), ("Connection", "Upgrade"), ("Upgrade", request.headers.get("Upgrade", ""))]
    try:
        answer = await upgrade.request(
            target.host, target.port, method=request.method, target=rest, headers=[*forwarded, *headers], tls=target.tls
        )
    except (OSError, upgrade.UpgradeError) as error:
        raise _unreachable(request, target, error) from error
    if answer.status != 101:
        return Reply(answer.status, await answer.body(), answer.header("content-type") or "text/plain")

    async def run(http: BaseRequest) -> None:
        client = take_over(http)
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in answer.headers)]
        streams = scope.server.services["streams"]
        streams.add(client.close)
        try:
            await client.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            await tunnel(client, answer.duplex)
        finally:
            streams.discard(client.close)
            answer.duplex.close()
            client.close()

    return HijackReply(run)
