"""Asking a container something: run a command in it, fetch a URL of it, open a port, ask its gRPC health service.

Called by probes and lifecycle hooks, which share these. Time is real here. Texts are what Go's clients say, since they
end up in events that people and tools read.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.runtime import Runtime, RuntimeFailure

Obj = dict[str, Any]

SUCCESS, FAILURE, WARNING, UNKNOWN = "Success", "Failure", "Warning", "Unknown"
_USER_AGENT = "kube-probe/1.36"
_MAX_BODY = 10 * 1024
_MAX_OUTPUT = 10 * 1024
_SERVING = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


@dataclass(frozen=True, slots=True)
class Answer:
    """result: SUCCESS, FAILURE, WARNING (success with something to say) or UNKNOWN (could not be asked)."""

    result: str
    output: str = ""


async def run_command(runtime: Runtime, container_id: str, command: Sequence[str], timeout: float) -> Answer:
    """Exit status 0 is success; not ending in time is failure."""
    try:
        done = await runtime.exec_sync(container_id, command, timeout)
    except RuntimeFailure as error:
        if error.code == "DeadlineExceeded" or "context deadline exceeded" in error.message:
            return Answer(FAILURE, f'command "{" ".join(command)}" timed out')
        return Answer(UNKNOWN, str(error))
    output = (done.stdout + done.stderr)[:_MAX_OUTPUT].decode("utf-8", "replace")
    return Answer(SUCCESS if done.exit_code == 0 else FAILURE, output)


def resolve_port(port: Any, container: Mapping[str, Any]) -> int:
    """A port by number or by its name in the container. ValueError."""
    if isinstance(port, int):
        number = port
    elif str(port).isdigit():
        number = int(port)
    else:
        found = next((p["containerPort"] for p in container.get("ports") or () if p.get("name") == port), None)
        if found is None:
            raise ValueError(f"couldn't find port: {port} in container {container['name']}")
        number = found
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return int(number)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(action: Mapping[str, Any], container: Mapping[str, Any], pod_ip: str) -> str:
    """The URL of an httpGet action. ValueError for a port that does not exist."""
    scheme = (action.get("scheme") or "HTTP").lower()
    host = action.get("host") or pod_ip
    path = action.get("path") or "/"
    if not path.startswith("/"):
        path = f"/{path}"
    return f"{scheme}://{_address(host, resolve_port(action['port'], container))}{path}"


async def fetch(action: Mapping[str, Any], url: str, timeout: float) -> tuple[int, str]:
    """(status, the body's beginning) of a GET; redirects within the host are followed. OSError, TimeoutError."""
    import aiohttp

    headers = {"User-Agent": _USER_AGENT, "Accept": "*/*", "Connection": "close"}
    for header in action.get("httpHeaders") or ():
        headers[header["name"]] = header["value"]
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    limits = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=limits, auto_decompress=False) as session:
        from yarl import URL

        target = URL(url, encoded=True)
        for _ in range(10):
            async with session.get(target, headers=headers, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    following = target.join(URL(location))
                    if following.host == target.host:
                        target = following
                        continue
                body = await response.content.read(_MAX_BODY)
                return response.status, body.decode("utf-8", "replace")
    return 302, "stopped after 10 redirects"


async def get_http(action: Mapping[str, Any], container: Mapping[str, Any], pod_ip: str, timeout: float) -> Answer:
    import aiohttp

    try:
        url = url_of(action, container, pod_ip)
    except ValueError as error:
        return Answer(UNKNOWN, str(error))
    try:
        status, body = await fetch(action, url, timeout)
    except TimeoutError:
        late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Answer(FAILURE, f'Get "{url}": {late}')
    except aiohttp.ClientConnectorError as error:
        where = _address(str(error.host), int(error.port or 0))
        return Answer(FAILURE, f'Get "{url}": dial tcp {where}: connect: {_reason(error.os_error)}')
    except (aiohttp.ClientError, OSError) as error:
        return Answer(FAILURE, f'Get "{url}": {error or "EOF"}')
    if 200 <= status < 400:
        if status >= 300:
            return Answer(WARNING, f"Probe terminated redirects, Response body: {body}")
        return Answer(SUCCESS, body)
    return Answer(FAILURE, f"HTTP probe failed with statuscode: {status}")


def _reason(error: OSError) -> str:
    """The system's word for it, as Go prints it."""
    words = {
        errno.ECONNREFUSED: "connection refused",
        errno.EHOSTUNREACH: "no route to host",
        errno.ENETUNREACH: "network is unreachable",
        errno.ECONNRESET: "connection reset by peer",
    }
    return words.get(error.errno or 0, str(error.strerror or error).lower())


async def open_port(host: str, port: int, timeout: float) -> Answer:
    """Whether something accepts a connection."""
    where = _address(host, port)
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Answer(FAILURE, f"dial tcp {where}: i/o timeout")
    except OSError as error:
        return Answer(FAILURE, f"dial tcp {where}: connect: {_reason(error)}")
    writer.close()
    return Answer(SUCCESS)


async def ask_grpc(host: str, port: int, service: str, timeout: float) -> Answer:
    """grpc.health.v1.Health/Check; the two messages are small enough to be written by hand."""
    import grpc
    import grpc.aio

    where = _address(host, port)
    name = service.encode()
    channel = grpc.aio.insecure_channel(where, options=[("grpc.primary_user_agent", _USER_AGENT)])
    try:
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = await call(b"\x0a" + bytes([len(name)]) + name if name else b"", timeout=timeout)
    except grpc.aio.AioRpcError as error:
        code = error.code()
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return Answer(
                FAILURE, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Answer(FAILURE, f"timeout: health rpc did not complete within {timeout:g}s")
        if code is grpc.StatusCode.UNAVAILABLE:
            return Answer(FAILURE, f'timeout: failed to connect service "{where}" within {timeout:g}s')
        return Answer(FAILURE, f"error: health rpc probe failed: {error.details()}")
    finally:
        await channel.close()
    status = answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0
    if status == 1:
        return Answer(SUCCESS, "service healthy")
    return Answer(FAILURE, f'service unhealthy (responded with "{_SERVING.get(status, status)}")')
