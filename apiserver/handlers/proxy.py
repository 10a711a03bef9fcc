"""The proxy subresources of pods, services and nodes: HTTP passed on to what runs behind them.

A name may be "scheme:name:port". Targets are addresses that the cluster knows (a pod's, an endpoint's, a node's), never a
name from the request; loopback, link-local and unspecified addresses are refused, and redirects are handed to
the client instead of being followed.
"""

from __future__ import annotations

import ipaddress
import random
from urllib.parse import urlsplit

from apimachinery import errors, field
from apimachinery.errors import ApiError
from apiserver import forward
from apiserver.filters.base import Request
from apiserver.forward import Target, headers_of, unverified_tls, wants_upgrade
from apiserver.handlers import podtarget
from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Obj, Reader
from serving.reply import Header, Reply


def split_name(name: str, what: str) -> tuple[str, str, str]:
    """(scheme, name, port) of "name", "name:port", "scheme:name:port"; port may be empty. 400 for anything else."""
    parts = name.split(":")
    if len(parts) == 1:
        return "http", name, ""
    if len(parts) == 2:
        return "http", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0] or "http", parts[1], parts[2]
    raise errors.bad_request(f'invalid {what} request "{name}"')


def _port(text: str) -> int:
    if not text.isascii() or len(text) > 9:
        raise errors.bad_request(f"invalid port number {field.go_quote(text)}")
    return int(text)


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
    scheme, name, port = split_name(request.info.name, "pod")
    found = scope.store.decode(await scope.store.get(request.info.namespace, name))
    if not port:
        for container in found["spec"].get("containers") or ():
            if container.get("ports"):
                port = str(container["ports"][0]["containerPort"])
                break
    address = str((found.get("status") or {}).get("podIP") or "")
    check_address(address)
    number = _port(port) if port.isdigit() else (443 if scheme == "https" else 80)
    return await _forward(
        scope, request, Target(scheme, address, number, unverified_tls() if scheme == "https" else None)
    )


async def service(scope: Scope, request: Request) -> Reply:
    """Any method on services/{name}/proxy/{path}: one of its ready endpoints, by chance."""
    await podtarget.admit(scope, request, _options(request, "ServiceProxyOptions"))
    scheme, name, port = split_name(request.info.name, "service")
    reader, namespace = scope.store.environment.reader, request.info.namespace
    if port.isascii() and port.isdigit():
        port = _port_name(scope.store.decode(await scope.store.get(namespace, name)), name, int(port))
    endpoints = await reader.get("", "endpoints", namespace, name)
    if endpoints is None:
        raise errors.not_found("", "services", name)
    subsets = endpoints.get("subsets") or ()
    candidates = [
        (address, entry["port"])
        for subset in subsets
        for entry in subset.get("ports") or ()
        if entry.get("name", "") == port
        for address in subset.get("addresses") or ()
    ]
    random.shuffle(candidates)
    for address, number in candidates:  # noqa: B007 - the last ones count
        if await _is_of_pod(reader, namespace, address):
            break
    else:
        raise errors.service_unavailable(
            f'no endpoints available for service "{request.info.name if subsets else name}"'
        )
    host = address["ip"]
    check_address(host)
    return await _forward(scope, request, Target(scheme, host, number, unverified_tls() if scheme == "https" else None))


async def _is_of_pod(reader: Reader, namespace: str, address: Obj) -> bool:
    """Whether an address is that of the pod it names: a service must not lead to whatever its owner writes into endpoints."""
    ref = address.get("targetRef") or {}
    if ref.get("namespace", "") != namespace or not ref.get("name"):
        return False
    pod = await reader.get("", "pods", namespace, ref["name"])
    return pod is not None and any(
        entry.get("ip") == address["ip"] for entry in (pod.get("status") or {}).get("podIPs") or ()
    )


def _port_name(found: Obj, name: str, port: int) -> str:
    """The name of the service's port with this number; 503 when it has none such."""
    for entry in (found.get("spec") or {}).get("ports") or ():
        if entry["port"] == port:
            return str(entry.get("name", ""))
    raise errors.service_unavailable(f'no service port {port} found for service "{name}"')


async def node(scope: Scope, request: Request) -> Reply:
    """Any method on nodes/{name}/proxy/{path}: the node agent's own API."""
    await podtarget.admit(scope, request, _options(request, "NodeProxyOptions"))
    _, name, port = split_name(request.info.name, "node")
    kubelets = podtarget.kubelets(scope)
    location = await kubelets.locate(name)
    number = _port(port) if port.isdigit() else location.port
    # With another port than the kubelet's own, the API server does not show its credentials.
    own = number == location.port
    if not own:
        check_address(location.host)
    return await _forward(
        scope, request, Target("https", location.host, number, kubelets.tls if own else unverified_tls())
    )


def _options(request: Request, kind: str) -> Obj:
    return {"kind": kind, "apiVersion": "v1", "path": request.info.subpath or request.param("path")}


async def _forward(scope: Scope, request: Request, target: Target) -> Reply:
    path = request.info.subpath
    if not path and request.method in ("GET", "HEAD") and not request.raw_path.endswith("/"):
        query = f"?{request.raw_query}" if request.raw_query else ""
        return Reply(301, b"", "", [("Location", f"{request.raw_path}/{query}")])
    rest = (path or "/") + (f"?{request.raw_query}" if request.raw_query else "")
    headers = headers_of(request)

    def unreachable(error: Exception) -> ApiError:
        return errors.service_unavailable(f"error trying to reach service: {error or type(error).__name__}")

    if wants_upgrade(request):
        streams = scope.server.services["streams"]
        return await forward.upgraded(streams, request, target, rest, headers, unreachable=unreachable)
    prefix = request.raw_path[: len(request.raw_path) - len(request.info.subpath)].rstrip("/")

    def edit(returned: list[Header]) -> list[Header]:
        return [
            (name, _relocate(value, target, prefix) if name.lower() == "location" else value)
            for name, value in returned
        ]

    client = forward.session(target.tls, keep=False)
    return await forward.plain(
        request, target, rest, headers, client=client, close=True, unreachable=unreachable, edit=edit
    )


def _relocate(location: str, target: Target, prefix: str) -> str:
    """A redirect to the backend itself becomes one through the proxy; any other stays as it is."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc not in (target.authority, target.host):
        return location
    path = parts.path if parts.path.startswith("/") else "/" + parts.path
    return prefix + path + (f"?{parts.query}" if parts.query else "") + (f"#{parts.fragment}" if parts.fragment else "")
