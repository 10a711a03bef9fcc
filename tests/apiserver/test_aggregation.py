"""Group versions that another server answers: probed, shown, and reached as the user who asks."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.apiserver import Api, Obj

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
RESOURCES = [
    {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get", "list"]},
    {"name": "things/status", "singularName": "", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
]


def own_address() -> str:
    """An address of this machine that is not the loopback one: endpoints may not be that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


@asynccontextmanager
async def extension(folder: Path) -> AsyncIterator[tuple[int, list[Obj]]]:
    """An extension server: its port, and what it was asked."""
    seen: list[Obj] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/apis/ext.example.com/v1":
            return web.json_response({"kind": "APIResourceList", "resources": RESOURCES})
        body = await request.read()
        seen.append({"method": request.method, "path": request.path_qs, "headers": request.headers, "body": body})
        if request.path.endswith("/moved"):
            return web.Response(status=302, headers={"Location": "https://192.0.2.1/"})
        if request.path.endswith("/upgrade"):
            socket_ = web.WebSocketResponse()
            await socket_.prepare(request)
            await socket_.send_str("hello " + await socket_.receive_str())
            await socket_.close()
            return socket_
        return web.json_response({"kind": "ThingList", "items": []}, headers={"X-Own": "yes"})

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "pki" / "apiserver.crt", folder / "pki" / "apiserver.key")
    runner = web.ServerRunner(web.Server(answer, auto_decompress=False))
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0, ssl_context=tls)
    await site.start()
    assert site._server is not None
    try:
        yield site._server.sockets[0].getsockname()[1], seen  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


async def register(api: Api, port: int, name: str = "ext") -> None:
    service = {"metadata": {"name": name}, "spec": {"ports": [{"port": 443, "name": "https", "targetPort": port}]}}
    assert (await api.post("/api/v1/namespaces/default/services", service)).code == 201
    endpoints = {
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port}],
        "endpoints": [{"addresses": [own_address()], "conditions": {"ready": True}}],
    }
    made = await api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", endpoints)
    assert made.code == 201, made.raw
    spec = {
        "group": "ext.example.com",
        "version": "v1",
        "groupPriorityMinimum": 17650,
        "versionPriority": 5,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "default", "name": name},
    }
    made = await api.post(SERVICES, {"metadata": {"name": "v1.ext.example.com"}, "spec": spec})
    assert made.code == 201, made.raw


async def condition(api: Api, status: str) -> Obj:
    """The Available condition, once it has that status."""
    for _ in range(100):
        found = (await api.get(f"{SERVICES}/v1.ext.example.com")).body
        for entry in found.get("status", {}).get("conditions", []):
            if entry["status"] == status:
                return dict(entry)
        await asyncio.sleep(0.05)
    raise AssertionError(f"never {status}: {found.get('status')}")


async def test_requests_are_passed_on_as_the_user(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as (port, seen):
        await register(api, port)
        assert (await condition(api, "True"))["reason"] == "Passed"
        path = "/apis/ext.example.com/v1/namespaces/default/things"
        answer = await api.ask("GET", f"{path}?limit=5", headers={"X-Remote-User": "somebody", "X-Mine": "a"})
        assert (answer.code, answer.body["kind"], answer.headers["X-Own"]) == (200, "ThingList", "yes")
        (asked,) = seen
        headers = asked["headers"]
        assert asked["path"] == f"{path}?limit=5"
        assert headers.getall("X-Remote-User") == ["admin"]
        assert "system:authenticated" in headers.getall("X-Remote-Group")
        assert headers["X-Mine"] == "a"
        assert "Authorization" not in headers
        body = gzip.compress(b"{}" * 1000)
        assert (await api.ask("POST", path, body, headers={"Content-Encoding": "gzip"})).code == 200
        assert (seen[-1]["body"], seen[-1]["headers"]["Content-Encoding"]) == (body, "gzip")
        assert (await api.get(f"{path}/moved")).code == 502
        climbing = f"GET {path}/%2e%2e/%2e%2e HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
        assert b" 404 Not Found" in await api.raw(f"{climbing}Connection: close\r\n\r\n".encode())
        token = {"Authorization": f"Bearer {api.token}"}
        async with api.session.ws_connect(f"{api.url}{path}/upgrade", headers=token) as stream:
            await stream.send_str("there")
            assert await stream.receive_str() == "hello there"


async def test_groups_of_others_are_shown_in_their_place(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as (port, _):
        await register(api, port)
        await condition(api, "True")
        names = [group["name"] for group in (await api.get("/apis")).body["groups"]]
        at = names.index("ext.example.com")
        assert names[at - 1 : at + 2] == ["authentication.k8s.io", "ext.example.com", "authorization.k8s.io"]
        assert (await api.get("/apis/ext.example.com")).body["preferredVersion"]["version"] == "v1"
        assert (await api.get("/apis/ext.example.com/v1")).body["resources"] == RESOURCES
        accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
        shown = (await api.ask("GET", "/apis", headers=accept)).body["items"][at]["versions"][0]
        assert shown["freshness"] == "Current"
        assert [entry["resource"] for entry in shown["resources"]] == ["things"]
        assert [entry["subresource"] for entry in shown["resources"][0]["subresources"]] == ["status"]
        await api.delete(f"{SERVICES}/v1.ext.example.com")
        for _ in range(100):
            if (await api.get("/apis/ext.example.com")).code == 404:
                break
            await asyncio.sleep(0.02)
        assert (await api.get("/apis/ext.example.com/v1")).code == 404


async def test_a_server_that_is_gone(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as (port, _):
        await register(api, port)
        await condition(api, "True")
    gone = await api.get("/apis/ext.example.com/v1/things")
    assert (gone.code, gone.headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
    assert (await api.delete("/api/v1/namespaces/default/services/ext")).code == 200
    told = await condition(api, "False")
    assert (told["reason"], told["message"]) == ("ServiceNotFound", 'service/ext in "default" is not present')
    gone = await api.get("/apis/ext.example.com/v1/things")
    assert (gone.code, gone.raw) == (503, b"service unavailable\n")


async def test_groups_of_custom_resources_are_registered(api: Api) -> None:
    definition = {
        "metadata": {"name": "foos.custom.example.com"},
        "spec": {
            "group": "custom.example.com",
            "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await api.post(path, definition)).code == 201
    name = f"{SERVICES}/v1.custom.example.com"
    for _ in range(100):
        if (found := await api.get(name)).code == 200:
            break
        await asyncio.sleep(0.02)
    assert found.body["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    await api.delete(f"{path}/foos.custom.example.com")
    for _ in range(200):
        if (await api.get(name)).code == 404:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the APIService stays")
