"""exec, attach and port-forward: from the client's upgraded connection to the node agent's.

    SPDY, or WebSocket up to v4        the bytes of both sides are joined as they are; the node agent understands them
    WebSocket v5 (exec, attach)        translated to SPDY towards the node agent (streaming/remotecommand.py)
    SPDY inside a WebSocket            (port-forward of newer kubectls) unwrapped, then joined

So each side also works with the original on the other. An upgrade asked for by GET needs the permission to create, too: the
verb of a WebSocket's GET would otherwise let readers run commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

from aiohttp.web_request import BaseRequest

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver import forward
from apiserver.authz import base as authz
from apiserver.filters.base import Request
from apiserver.handlers import options as query_options
from apiserver.handlers import podtarget
from apiserver.handlers.scope import Scope
from apiserver.kubelet import Kubelets, Location
from apiserver.registry.kind import Obj
from apiserver.requestinfo import parse_bool
from serving.reply import HijackReply, Reply
from streaming import portforward as ws_tunnel
from streaming import remotecommand, upgrade, websocket
from streaming.duplex import Duplex, take_over, tunnel
from streaming.spdy import Session, SpdyError

_HOP_HEADERS = frozenset(
    (
        "host",
        "authorization",
        "proxy-authorization",
        "proxy-connection",
        "content-length",
        "transfer-encoding",
        "keep-alive",
        "te",
        "trailer",
        "expect",
    )
)
_IDENTITY_PREFIXES = ("impersonate-", "x-remote-")
_UPGRADED = 101
_STREAMS = ("stdin", "stdout", "stderr", "tty")


async def execute(scope: Scope, request: Request) -> Reply:
    """exec: run a command in a container."""
    command = request.query.get("command") or []
    return await _remote_command(scope, request, "exec", "PodExecOptions", command)


async def attach(scope: Scope, request: Request) -> Reply:
    """attach: the streams of a container's own process."""
    return await _remote_command(scope, request, "attach", "PodAttachOptions", [])


async def _remote_command(scope: Scope, request: Request, verb: str, kind: str, command: Sequence[str]) -> Reply:
    await _may_create(scope, request)
    wanted = {name: _flag(request, name) for name in _STREAMS}
    opts: Obj = {"kind": kind, "apiVersion": "v1", **{name: True for name, on in wanted.items() if on}}
    if request.param("container"):
        opts["container"] = request.param("container")
    if verb == "exec":
        opts["command"] = list(command) or None
    opts = await podtarget.admit(scope, request, opts)
    flags = {name: bool(opts.get(name)) for name in _STREAMS}
    command = opts.get("command") or ()
    pod = await podtarget.pod_of(scope, request)
    container = podtarget.container_of(pod, opts.get("container") or "")
    location = await podtarget.kubelets(scope).locate(podtarget.assigned_node(pod), asked="pods")
    _check_upgrade(request)
    names = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
    query = [(names[name], "1") for name, on in flags.items() if on] + [("command", part) for part in command]
    target = f"/{verb}/{quote(request.info.namespace)}/{quote(request.info.name)}/{quote(container)}"
    if query:
        target += "?" + urlencode(query)
    if remotecommand.V5 in websocket.offered(request.http):
        return await _translated(scope, request, location, target, flags)
    return await _joined(scope, request, location, target)


async def portforward(scope: Scope, request: Request) -> Reply:
    """portforward: connections to a pod's ports."""
    await _may_create(scope, request)
    ports = [query_options.parse_int(port) for text in request.query.get("ports") or () for port in text.split(",")]
    opts: Obj = {"kind": "PodPortForwardOptions", "apiVersion": "v1", **({"ports": ports} if ports else {})}
    ports = (await podtarget.admit(scope, request, opts)).get("ports") or []
    pod = await podtarget.pod_of(scope, request)
    location = await podtarget.kubelets(scope).locate(podtarget.assigned_node(pod), asked="pods")
    _check_upgrade(request)
    target = f"/portForward/{quote(request.info.namespace)}/{quote(request.info.name)}"
    if ports:
        target += "?" + urlencode([("port", ",".join(map(str, ports)))])
    if ws_tunnel.TUNNEL_PROTOCOL in websocket.offered(request.http):
        return await _unwrapped(scope, request, location, target)
    return await _joined(scope, request, location, target)


# -- what the client asked for


def _flag(request: Request, name: str) -> bool:
    values = request.query.get(name)
    return bool(values) and parse_bool(values)


async def _may_create(scope: Scope, request: Request) -> None:
    """403 for a GET by who may not create: opening a connection is no mere reading."""
    if request.method == "POST":
        return
    info = request.info
    question = authz.Attributes(
        request.user, "create", scope.kind.group, scope.version, scope.kind.plural, scope.sub, info.namespace, info.name
    )
    decision = await scope.server.authorizer.authorize(question)
    if not decision.allowed:
        raise authz.forbidden(question, decision.reason)


def _check_upgrade(request: Request) -> None:
    """400 unless the connection is to be upgraded."""
    if "upgrade" not in request.headers.get("Connection", "").lower():
        raise errors.bad_request("Upgrade request required")


# -- the three ways


async def _joined(scope: Scope, request: Request, location: Location, target: str) -> Reply:
    """The client's upgrade is the node agent's: same method, same headers, then bytes."""
    answer = await _ask(podtarget.kubelets(scope), location, request.method, target, _forwarded(request))
    if answer.status != _UPGRADED:
        return Reply(answer.status, await answer.body(), answer.header("content-type") or "text/plain")

    async def run(http: BaseRequest) -> None:
        lines = [f"HTTP/1.1 101 {answer.reason or 'Switching Protocols'}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        try:
            client = take_over(http)
            with _ended_with_server(scope, client.close):
                try:
                    await client.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                    await tunnel(client, answer.duplex)
                finally:
                    client.close()
        finally:
            answer.duplex.close()

    return HijackReply(run)


def _forwarded(request: Request) -> list[tuple[str, str]]:
    """The client's headers, without credentials, claims of identity, and what is of this hop alone."""
    kept = []
    for name, value in request.headers.items():
        lower = name.lower().replace("_", "-")
        if lower in _HOP_HEADERS or lower.startswith(_IDENTITY_PREFIXES):
            continue
        if lower == forward.PROTOCOLS:
            value = forward.without_token(value)
        kept.append((name, value))
    return kept


async def _spdy(scope: Scope, location: Location, target: str, protocols: Sequence[str]) -> Duplex:
    """A SPDY connection to the node agent, upgraded by POST. Raises what the agent answered when it refuses."""
    headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("Content-Length", "0")]
    headers += [("X-Stream-Protocol-Version", name) for name in protocols]
    answer = await _ask(podtarget.kubelets(scope), location, "POST", target, headers)
    if answer.status != _UPGRADED:
        text = (await answer.body()).decode("utf-8", "replace").strip()
        raise ApiError(answer.status, _REASONS.get(answer.status, "InternalError"), text or answer.reason)
    return answer.duplex


_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 500: "InternalError"}


async def _ask(
    kubelets: Kubelets, location: Location, method: str, target: str, headers: Sequence[tuple[str, str]]
) -> upgrade.Answer:
    host = f"[{location.host}]" if ":" in location.host else location.host
    try:
        return await upgrade.request(
            location.host,
            location.port,
            method=method,
            target=target,
            headers=[("Host", f"{host}:{location.port}"), *headers],
            tls=kubelets.tls,
        )
    except (OSError, upgrade.UpgradeError) as error:
        raise errors.internal_error(f"error dialing backend: {error}") from error


async def _translated(scope: Scope, request: Request, location: Location, target: str, flags: dict[str, bool]) -> Reply:
    backend = await _spdy(scope, location, target, remotecommand.SPDY_VERSIONS)
    is_exec = request.info.subresource == "exec"

    async def run(http: BaseRequest) -> None:
        session = Session(backend, server=False)
        with _ended_with_server(scope, backend.close):
            socket = None
            try:
                socket = await websocket.accept(http, remotecommand.V5)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_run_session(session), name="exec-session")
                    streams = await remotecommand.open_streams(session, **flags)
                    await remotecommand.translate(socket, session, streams, status_expected=is_exec)
            except* ConnectionError:
                pass  # one side went away: that is how these end
            finally:
                backend.close()
                if socket is not None:
                    socket.abort()  # no goodbye where the end was not reached: it would look like success

    return HijackReply(run)


async def _run_session(session: Session) -> None:
    try:
        await session.run()
    except SpdyError as error:
        raise ConnectionResetError(str(error)) from error


async def _unwrapped(scope: Scope, request: Request, location: Location, target: str) -> Reply:
    backend = await _spdy(scope, location, target, (ws_tunnel.PROTOCOL,))

    async def run(http: BaseRequest) -> None:
        with _ended_with_server(scope, backend.close):
            try:
                socket = await websocket.accept(http, ws_tunnel.TUNNEL_PROTOCOL)
                await ws_tunnel.tunnel(socket, backend)
            except ConnectionError:
                return  # one side went away
            finally:
                backend.close()

    return HijackReply(run)


class _ended_with_server:
    """While the block runs, the server's end closes the stream."""

    def __init__(self, scope: Scope, finish: Callable[[], None]) -> None:
        self._streams: set[Callable[[], None]] = scope.server.services["streams"]
        self._finish = finish

    def __enter__(self) -> None:
        self._streams.add(self._finish)

    def __exit__(self, *_: object) -> None:
        self._streams.discard(self._finish)
