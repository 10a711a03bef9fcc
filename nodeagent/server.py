"""The kubelet's HTTPS API: logs, exec, attach, port-forward, pods, statistics, health. Who may what, the API server says.

    /containerLogs/{namespace}/{pod}/{container}      /exec /attach /portForward /run     /pods /runningpods
    /stats/summary  /metrics  /metrics/resource       /healthz

exec, attach and port-forward are the runtime's own streaming server: the agent asks it for a URL, passes the client's
upgrade on to it and joins the bytes, so that whatever protocol client and runtime share is spoken between them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
from aiohttp.web_request import BaseRequest

from apimachinery import times
from apimachinery.errors import ApiError
from client.api import Client, Unreachable
from nodeagent import certificates, crilog, runtime, summary
from nodeagent.config import Config
from nodeagent.context import NodeContext
from nodeagent.runtime import ContainerState, RuntimeFailure
from nodeagent.servingcert import serving_certificate
from serving.delegation import Delegation, Identity
from serving.http import HttpServer
from serving.reply import HijackReply, Reply, Stream, StreamReply
from serving.tls import follow, peer_chain, renew, server_context
from streaming import upgrade
from streaming.duplex import take_over, tunnel

log = logging.getLogger(__name__)

Obj = dict[str, Any]
Query = Mapping[str, list[str]]

TEXT = "text/plain; charset=utf-8"
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# The subresource of nodes that a path needs; anything else, and what is refused here, needs nodes/proxy.
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log"}
_FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
_NOT_FORWARDED = frozenset(
    ("host", "authorization", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "cookie")
)
_RUN_SECONDS = 120.0


class Refused(Exception):
    """An answer that is not 200: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class NodeServer:
    """The listener. pods: the pods bound to this node as the API has them."""

    def __init__(self, config: Config, node: NodeContext, client: Client, *, pods: Callable[[], list[Obj]]) -> None:
        self._config = config
        self._node = node
        self._pods = pods
        self._delegation = Delegation(
            client.create,
            clock=config.clock,
            anonymous=config.anonymous_auth,
            tokens=config.authentication_token_webhook,
        )
        self._server: HttpServer | None = None
        self._tls: ssl.SSLContext | None = None
        self.port = config.port
        self._routes: dict[str, Callable[[BaseRequest, list[str], Query], Awaitable[Reply]]] = {
            "healthz": self._healthz,
            "pods": self._list_pods,
            "runningpods": self._running_pods,
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
            "run": self._run,
            "stats": self._stats,
            "metrics": self._metrics,
        }

    async def start(self) -> None:
        """Listen. OSError when the port is taken."""
        config = self._config
        self._tls = await asyncio.to_thread(self._context)
        self._server = HttpServer(self._handle, tls=self._tls)
        self.port = await self._server.listen(config.address, config.port)

    def _context(self) -> ssl.SSLContext:
        config = self._config
        cas = [config.client_ca_file] if config.client_ca_file else []
        issued = config.root_dir / "pki" / certificates.SERVING_FILE
        if config.rotate_server_certificates and issued.exists():
            try:
                return server_context(issued, None, cas)
            except OSError as error:  # ssl.SSLError among them; another one is asked for soon
                log.warning("the serving certificate in %s cannot be used: %s", issued, error)
        certificate, key = config.tls_cert_file, config.tls_private_key_file
        if certificate is None or key is None:
            certificate, key = serving_certificate(config.root_dir / "pki", self._node.facts, config.clock)
        return server_context(certificate, key, cas)

    async def follow_files(self) -> None:
        """Serve with what the configured files hold, as they are renewed; until cancelled."""
        config = self._config
        if config.tls_cert_file is not None and config.tls_private_key_file is not None and self._tls is not None:
            cas = [config.client_ca_file] if config.client_ca_file else []
            await follow(self._tls, config.tls_cert_file, config.tls_private_key_file, cas, config.clock)

    async def use_certificate(self, pem: Path) -> None:
        """Serve with another certificate from now on; the file holds its key too."""
        assert self._tls is not None
        await renew(self._tls, pem)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.end()

    # ---- every request

    async def _handle(self, request: BaseRequest) -> Reply:
        path, _, raw_query = request.raw_path.partition("?")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        try:
            await self._authorize(request, parts)
            route = self._routes.get(parts[0])
            if route is None:
                return Reply(404, b"404 page not found\n", TEXT)
            return await route(request, parts[1:], parse_qs(raw_query, keep_blank_values=True))
        except Refused as refusal:
            return Reply(refusal.status, (refusal.text + "\n").encode(), TEXT)
        except RuntimeFailure as failure:
            return Reply(500, (str(failure) + "\n").encode(), TEXT)

    async def _authorize(self, request: BaseRequest, parts: list[str]) -> None:
        transport = request.transport
        chain = peer_chain(transport.get_extra_info("ssl_object") if transport is not None else None)
        try:
            identity = await self._delegation.authenticate(request.headers, chain[0] if chain else None)
            if identity is None:
                raise Refused(401, "Unauthorized")
            if self._config.authorization_mode == "AlwaysAllow":
                return
            await self._authorize_identity(identity, _VERBS.get(request.method, ""), parts)
        except (ApiError, Unreachable, TimeoutError) as error:
            log.warning("cannot ask the API server who may use this node's API: %s", error)
            raise Refused(500, "Internal Error") from None

    async def _authorize_identity(self, identity: Identity, verb: str, parts: list[str]) -> None:
        main = _SUBRESOURCES.get(parts[0], "proxy")
        fine = _FINE.get(parts[0])
        for subresource in (fine, main) if fine else (main,):
            attributes = {
                "verb": verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": subresource,
                "name": self._node.facts.name,
            }
            if await self._delegation.allows(identity, attributes):
                return
        text = f"Forbidden (user={identity.name}, verb={verb}, resource=nodes, subresource(s)=[{main}])"
        raise Refused(403, text)

    # ---- health, pods, statistics

    async def _healthz(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        problem = self._node.observer.healthy
        if problem and rest[:1] != ["ping"]:
            return Reply(500, f"[-]syncloop failed: {problem}\nhealthz check failed\n".encode(), TEXT)
        return Reply(200, b"ok", TEXT)

    def _current(self, pod: Obj) -> Obj:
        return {**pod, "status": self._node.statuses.latest(pod)}

    async def _list_pods(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        items = [self._current(pod) for pod in self._pods()]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _running_pods(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        items = []
        for uid in self._node.observer.known():
            state = self._node.observer.state(uid)
            if state.running:
                containers = [{"name": c.name, "image": c.image, "resources": {}} for c in state.running]
                metadata = {"name": state.name, "namespace": state.namespace, "uid": uid}
                items.append({"metadata": metadata, "spec": {"containers": containers}, "status": {}})
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _stats(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        if rest and rest[0] not in ("", "summary"):
            raise Refused(404, "404 page not found")
        return _json(await summary.collect(self._node))

    async def _metrics(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        which = rest[0] if rest else ""
        if which == "resource":
            text = await summary.resource_metrics(self._node)
        elif which == "":
            text = summary.own_metrics(self._node)
        else:
            raise Refused(404, "404 page not found")
        return Reply(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    # ---- finding pods and containers

    def _pod(self, namespace: str, name: str, uid: str = "") -> Obj:
        for pod in self._pods():
            metadata = pod["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name) and uid in ("", metadata["uid"]):
                return pod
        raise Refused(404, f'pod "{name}" does not exist')

    def _target(self, rest: list[str], *, container: bool) -> tuple[Obj, str]:
        """(pod, container name) of /{namespace}/{pod}[/{uid}][/{container}]."""
        wanted = 3 if container else 2
        if len(rest) not in (wanted, wanted + 1) or not all(rest):
            raise Refused(404, "404 page not found")
        uid = rest[2] if len(rest) > wanted else ""
        return self._pod(rest[0], rest[1], uid), rest[-1] if container else ""

    def _running(self, pod: Obj, name: str) -> ContainerState:
        found = self._node.observer.state(pod["metadata"]["uid"]).container(name)
        if found is None or found.state != runtime.RUNNING:
            raise Refused(500, f'container not found ("{name}")')
        return found

    # ---- logs

    async def _logs(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        if len(rest) != 3 or not all(rest):
            raise Refused(400, '{"message": "Missing container name."}')
        pod = self._pod(rest[0], rest[1])
        name = rest[2]
        if not any(c["name"] == name for kind in _KINDS for c in pod["spec"].get(kind) or ()):
            raise Refused(404, f'container "{name}" not found in pod "{rest[1]}"')
        options = self._log_options(query)
        container = self._logged(pod, name, _flag(query, "previous"))
        canned = self._node.runtime.canned_log(container.id)
        if canned is not None:
            return Reply(200, canned, TEXT)
        path = Path(container.log_path)
        if not await asyncio.to_thread(path.exists):
            raise Refused(400, f'failed to try resolving symlinks in path "{path}": no such file or directory')

        def alive() -> bool:
            state = self._node.observer.state(pod["metadata"]["uid"])
            return any(c.id == container.id and c.state == runtime.RUNNING for c in state.containers)

        async def produce(stream: Stream) -> None:
            async for piece in crilog.read(path, options, alive):
                await stream.write(piece)

        return StreamReply(produce, 200, "text/plain")

    def _log_options(self, query: Query) -> crilog.Options:
        def number(name: str) -> int | None:
            text = _first(query, name)
            if text and not text.lstrip("-").isdigit():
                raise Refused(400, '{"message": "Unable to decode query."}')
            return int(text) if text else None

        since, seconds = _first(query, "sinceTime"), number("sinceSeconds")
        tail, limit = number("tailLines"), number("limitBytes")
        try:
            begin = times.parse_time(since) if since else 0.0
        except ValueError:
            raise Refused(400, '{"message": "Unable to decode query."}') from None
        if (
            (tail is not None and tail < 0)
            or (limit is not None and limit < 1)
            or (seconds is not None and seconds < 1)
        ):
            raise Refused(422, '{"message": "Invalid request."}')
        if seconds is not None:
            begin = self._node.real.time() - seconds
        stream = {"Stdout": "stdout", "Stderr": "stderr"}.get(_first(query, "stream"), "")
        return crilog.Options(_flag(query, "follow"), begin, tail, _flag(query, "timestamps"), limit, stream)

    def _logged(self, pod: Obj, name: str, previous: bool) -> ContainerState:
        """The container whose log is meant, by the pod's status as it is shown. Texts as the original's."""
        where = f'"{name}" in pod "{pod["metadata"]["name"]}"'
        shown = self._node.statuses.latest(pod)
        fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        entry = next((e for f in fields for e in shown.get(f) or () if e["name"] == name), None)
        if entry is None:
            raise Refused(400, f"container {where} is not available")
        state, last = entry.get("state") or {}, (entry.get("lastState") or {}).get("terminated") or {}
        wanted = last.get("containerID")
        if previous:
            if not wanted:
                raise Refused(400, f"previous terminated container {where} not found")
        elif "running" in state:
            wanted = entry.get("containerID")
        elif "terminated" in state:
            wanted = state["terminated"].get("containerID") or wanted
            if not wanted:
                raise Refused(400, f"container {where} is terminated")
        elif not wanted:
            raise Refused(400, _waiting_text(where, (state.get("waiting") or {}).get("reason") or ""))
        container_id = str(wanted).partition("://")[2]
        held = self._node.observer.state(pod["metadata"]["uid"]).containers
        found = next((c for c in held if c.id == container_id), None)
        if found is None or not (found.log_path or self._node.runtime.canned_log(found.id)):
            raise Refused(400, f"unable to retrieve container logs for {wanted}")
        return found

    # ---- streams

    async def _exec(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        pod, name = self._target(rest, container=True)
        container = self._running(pod, name)
        flags = _stream_flags(query)
        url = await self._node.runtime.exec_url(container.id, query.get("command", []), **flags)
        return await _proxy(request, url)

    async def _attach(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        pod, name = self._target(rest, container=True)
        container = self._running(pod, name)
        spec = next(c for kind in _KINDS for c in pod["spec"].get(kind) or () if c["name"] == name)
        # Whether there is a terminal is the container's affair, not the client's.
        flags = {**_stream_flags(query), "tty": bool(spec.get("tty"))}
        return await _proxy(request, await self._node.runtime.attach_url(container.id, **flags))

    async def _port_forward(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        pod, _ = self._target(rest, container=False)
        sandbox = self._node.observer.state(pod["metadata"]["uid"]).sandbox
        if sandbox is None or not sandbox.ready:
            raise Refused(500, f'failed to find sandbox for pod "{pod["metadata"]["name"]}"')
        texts = [text for value in query.get("port", []) for text in value.split(",") if text]
        if any(not text.isdigit() for text in texts):
            raise Refused(400, "invalid port")
        return await _proxy(request, await self._node.runtime.port_forward_url(sandbox.id, [int(t) for t in texts]))

    async def _run(self, request: BaseRequest, rest: list[str], query: Query) -> Reply:
        """Run a command to its end and answer with its output."""
        pod, name = self._target(rest, container=True)
        command = _first(query, "cmd").split()
        done = await self._node.runtime.exec_sync(self._running(pod, name).id, command, _RUN_SECONDS)
        if done.exit_code:
            output = done.stdout + done.stderr
            head = f"command '{' '.join(command)}' exited with {done.exit_code}: "
            raise Refused(500, head + output.decode("utf-8", "replace"))
        return Reply(200, done.stdout + done.stderr, TEXT)


_KINDS = ("initContainers", "containers", "ephemeralContainers")


def _json(document: Obj) -> Reply:
    return Reply(200, orjson.dumps(document))


def _first(query: Query, name: str) -> str:
    return (query.get(name) or [""])[0]


def _flag(query: Query, name: str) -> bool:
    return _first(query, name).lower() in ("1", "true", "t") or query.get(name) == [""]


def _stream_flags(query: Query) -> dict[str, bool]:
    flags = {ours: _flag(query, name) for name, ours in _STREAMS.items()}
    if not any(flags[name] for name in ("stdin", "stdout", "stderr")):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    if flags["tty"]:
        flags["stderr"] = False  # a terminal has one output
    return flags


_STREAMS = {"input": "stdin", "output": "stdout", "error": "stderr", "tty": "tty"}


def _waiting_text(where: str, reason: str) -> str:
    if reason == "ErrImagePull":
        return f"container {where} is waiting to start: image can't be pulled"
    if reason == "ImagePullBackOff":
        return f"container {where} is waiting to start: trying and failing to pull image"
    if not reason:
        return f"container {where} is waiting to start - no logs yet"
    return f"container {where} is waiting to start: {reason}"


async def _proxy(request: BaseRequest, url: str) -> Reply:
    """Pass the client's upgrade on to the runtime's streaming server, and join the two."""
    target = urlsplit(url)
    if not target.hostname:
        raise Refused(501, "the containers of this node are simulated: nothing runs in them")
    path = target.path + (f"?{target.query}" if target.query else "")
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED]
    headers.insert(0, ("Host", target.netloc))
    try:
        answer = await upgrade.request(
            target.hostname, target.port or 80, method=request.method, target=path, headers=headers, tls=None
        )
    except (OSError, upgrade.UpgradeError) as error:
        raise Refused(502, f"error dialing backend: {error}") from None
    if answer.status != 101:
        return Reply(answer.status, await answer.body(), answer.header("content-type") or TEXT)

    async def run(http: BaseRequest) -> None:
        client = take_over(http)
        lines = [f"HTTP/1.1 101 {answer.reason or 'Switching Protocols'}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        await client.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await tunnel(client, answer.duplex)

    return HijackReply(run)
