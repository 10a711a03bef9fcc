"""exec, attach, port-forward and the proxies: who may, what reaches the other side, where they refuse to go, and that nothing
stays open behind a connection that failed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.apiserver import Api, Obj
from tests.support.issuer import encode
from tests.support.rights import allow, user

PODS = "/api/v1/namespaces/default/pods"
UPGRADE = ("Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


@dataclass
class Kubelet:
    """A node's API that says `answer` to every request and then echoes. heads: what it was asked; ended: connections that
    were closed on it."""

    answer: bytes = SWITCHED
    heads: list[bytes] = field(default_factory=list)
    asked: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            self.asked.put_nowait(None)
            writer.write(self.answer)
            while data := await reader.read(1000):
                writer.write(data)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            self.ended.put_nowait(None)

    async def over(self) -> None:
        await asyncio.wait_for(self.ended.get(), 20)


@asynccontextmanager
async def kubelet(folder: Path) -> AsyncIterator[Kubelet]:
    made = Kubelet()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "pki/nodeagent-server.crt", folder / "pki/nodeagent-server.key")
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
async def node(api: Api, server_folder: Path) -> AsyncIterator[Kubelet]:
    """The node n1 with the pod p, behind the API."""
    async with kubelet(server_folder) as made:
        await add_pod(api, made.port)
        yield made


async def add_pod(api: Api, port: int, address: str = "127.0.0.1") -> None:
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    assert (await api.post("/api/v1/nodes", {"metadata": {"name": "n1"}, "status": status})).code == 201
    await api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    pod: Obj = {"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
    assert (await api.post(PODS, pod)).code == 201


def request(api: Api, target: str, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {api.token}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


EXEC = f"{PODS}/p/exec?command=id&stdout=1"
OPENING = (EXEC, f"{PODS}/p/attach?stdout=1", f"{PODS}/p/portforward")


# -- who may


async def test_each_subresource_is_a_right_of_its_own(api: Api, node: Kubelet) -> None:
    """Who may do anything to pods may do nothing to what lies below them."""
    await allow(api, "plain", {"resources": ["pods", "nodes", "services", "serviceaccounts"], "verbs": ["*"]})
    plain = user(api)
    eviction = {"metadata": {"name": "p"}}
    for method, path, body in (
        ("GET", "pods/p/log", None),
        ("POST", "pods/p/exec", None),
        ("POST", "pods/p/attach", None),
        ("POST", "pods/p/portforward", None),
        ("GET", "pods/p/proxy/", None),
        ("DELETE", "pods/p/proxy/", None),
        ("GET", "services/s/proxy/", None),
        ("POST", "pods/p/eviction", eviction),
        ("POST", "pods/p/binding", {"target": {"name": "n1"}}),
        ("POST", "bindings", {"metadata": {"name": "p"}, "target": {"name": "n1"}}),
        ("PATCH", "pods/p/ephemeralcontainers", {}),
        ("PATCH", "pods/p/resize", {}),
        ("PATCH", "pods/p/status", {}),
        ("PUT", "pods/p/status", eviction),
        ("POST", "serviceaccounts/default/token", {}),
    ):
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        answer = await plain.ask(method, f"/api/v1/namespaces/default/{path}", body, headers=headers)
        resource, _, rest = path.partition("/")
        wanted = f'resource "{resource}/{rest.split("/")[1]}"' if rest else f'resource "{resource}"'
        assert (answer.code, wanted in answer.message) == (403, True), path
    for path in ("n1/proxy/", "n1/proxy/run/default/p/c", "https:n1:10250/proxy/"):
        assert (await plain.get(f"/api/v1/nodes/{path}")).code == 403
    assert not node.heads


@pytest.mark.parametrize("verbs", [["get"], ["get", "list", "watch", "update", "patch", "delete"]])
async def test_a_web_socket_by_get_needs_the_right_to_create(api: Api, node: Kubelet, verbs: list[str]) -> None:
    resources = ["pods", "pods/exec", "pods/attach", "pods/portforward"]
    await allow(api, "plain", {"resources": resources, "verbs": verbs})
    socket = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {'A' * 22}==",
    )
    for target in OPENING:
        for protocol in ("v4.channel.k8s.io", "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"):
            sent = request(user(api), target, *socket, f"Sec-WebSocket-Protocol: {protocol}", method="GET")
            answer = await one(api, sent)
            assert b" 403 " in answer.split(b"\r\n")[0]
            assert b"cannot create resource" in answer
    assert not node.heads


async def one(api: Api, sent: bytes) -> bytes:
    """What a connection says first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(64 * 1024), 20)
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return answer


# -- what reaches the node


async def test_no_credential_and_no_claim_reaches_a_node(api: Api, node: Kubelet) -> None:
    token = encode(b"admintoken")
    bearer = f"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{token}, v4.channel.k8s.io"
    claims = (
        *("X-Remote-User: admin", "x-remote-group: system:masters", "X_Remote_User: admin", "X-REMOTE-EXTRA-a: b"),
        *("Impersonate_User: admin", "impersonate_group: system:masters", "Proxy-Authorization: Basic YTpi"),
    )
    for target in (EXEC, f"{PODS}/p/portforward", "/api/v1/nodes/n1/proxy/exec/default/p/c?command=id"):
        await one(api, request(api, target, *UPGRADE, *claims, bearer))
        await node.over()
    await api.ask("GET", "/api/v1/nodes/n1/proxy/pods", headers=dict(line.split(": ", 1) for line in claims))
    assert len(node.heads) >= 4
    for head in node.heads:
        lines = head.decode().lower()
        assert "admintoken" not in lines
        assert token.lower() not in lines
        assert "x-remote" not in lines.replace("_", "-")
        assert "impersonate" not in lines
        assert "authorization" not in lines


async def test_a_request_to_a_node_stays_one_request(api: Api, node: Kubelet) -> None:
    node.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    for tail in ("%0d%0aX-Evil:%20a", "%0d%0a%0d%0aGET%20/x%20HTTP/1.1", "a%20HTTP/1.1%0d%0ab"):
        await one(api, request(api, f"/api/v1/nodes/n1/proxy/{tail}", "Connection: close", method="GET"))
        await one(api, request(api, f"/api/v1/nodes/n1/proxy/{tail}", *UPGRADE, method="GET"))
        await one(api, request(api, f"{PODS}/p/exec?command={tail}&container=c", *UPGRADE))
        await one(api, request(api, f"{PODS}/p/log?container={tail}", "Connection: close", method="GET"))
    assert node.heads
    for head in node.heads:
        assert head.count(b" HTTP/1.1\r\n") == 1
        assert b"\r\nX-Evil" not in head


# -- where the proxies refuse to go


ADDRESSES = (
    *("127.0.0.1", "127.1.2.3", "169.254.169.254", "169.254.0.1", "0.0.0.0", "224.0.0.1"),
    *("::1", "::", "fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "ff02::1"),
)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_proxies_reach_no_address_of_this_machine_alone(api: Api, node: Kubelet, address: str) -> None:
    """Whoever may write a pod's status or a node's could say any address."""
    status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    said = await api.patch(f"{PODS}/p/status", status)
    assert said.code in (200, 422)  # an address in an odd form may be refused at once
    if said.code == 200:
        for name in (f"p:{node.port}", f"https:p:{node.port}"):
            answer = await api.get(f"{PODS}/{name}/proxy/")
            assert (answer.code, answer.message) == (400, "address not allowed")
    status = {"status": {"addresses": [{"type": "InternalIP", "address": address}]}}
    if (await api.patch("/api/v1/nodes/n1/status", status)).code == 200:
        answer = await api.get(f"/api/v1/nodes/n1:{node.port + 1}/proxy/")
        assert (answer.code, answer.message) == (400, "address not allowed")
    assert not node.heads


async def test_no_redirect_is_followed(api: Api, node: Kubelet) -> None:
    for code in (301, 302, 303, 307, 308):
        node.heads.clear()
        node.answer = (
            f"HTTP/1.1 {code} Go\r\nLocation: https://127.0.0.1:{node.port}/x\r\nContent-Length: 0\r\n\r\n".encode()
        )
        for target in ("/api/v1/nodes/n1/proxy/y", f"{PODS}/p/log", EXEC):
            upgrades = UPGRADE if target == EXEC else ("Connection: close",)
            await one(api, request(api, target, *upgrades, method="POST" if target == EXEC else "GET"))
        assert [head.split(b" ")[1].split(b"?")[0] for head in node.heads] == [
            *(b"/y", b"/containerLogs/default/p/c", b"/exec/default/p/c")
        ]


# -- what failed leaves nothing open


REFUSALS = {
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "chunked": b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "odd length": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "huge head": b"HTTP/1.1 101 x\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refused_upgrade_closes_the_connection_to_the_node(api: Api, node: Kubelet, name: str) -> None:
    node.answer = REFUSALS[name]
    for target in (*OPENING, "/api/v1/nodes/n1/proxy/exec"):
        answer = await one(api, request(api, target, *UPGRADE))
        assert not answer.startswith(b"HTTP/1.1 101")
        await node.over()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 x\r\n", b"HTTP/1.1 500 x\r\n\r\nunended", SWITCHED])
async def test_a_client_that_goes_takes_the_connection_to_the_node_along(
    api: Api, node: Kubelet, answer: bytes
) -> None:
    """Whatever the node has said by then: nothing, half a head, a body without an end, or all that is needed."""
    node.answer = answer
    for target in (*OPENING, "/api/v1/nodes/n1/proxy/exec"):
        _, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls)
        writer.write(request(api, target, *UPGRADE))
        await asyncio.wait_for(node.asked.get(), 20)
        assert writer.transport is not None
        writer.transport.abort()
        await node.over()


async def test_half_of_a_tunnel_is_no_tunnel(api: Api, node: Kubelet) -> None:
    node.answer = SWITCHED + b"hello"
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls)
    writer.write(request(api, EXEC, *UPGRADE))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert await reader.readexactly(5) == b"hello"
    writer.write(b"echo")
    assert await reader.readexactly(4) == b"echo"
    writer.close()  # the client's half
    await node.over()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
