"""Group versions that another server answers: probed, shown, and reached as the user who asks."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.support import servers
from tests.support.apiserver import Api, Obj, running

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP = "ext.example.com"
ROOT = f"/apis/{GROUP}/v1"
RESOURCES = [
    {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get", "list"]},
    {"name": "things/status", "singularName": "", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
]
THING = "com.example.ext.v1.Thing"
OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
SPEC_V2 = {
    "swagger": "2.0",
    "info": {"title": "ext", "version": "1"},
    "paths": {
        f"{ROOT}/things": {
            "get": {
                "operationId": "listThings",
                "consumes": ["*/*"],
                "produces": ["application/json"],
                "responses": {"200": {"description": "OK", "schema": {"$ref": f"#/definitions/{THING}"}}},
            },
        },
        "/apis/other/v1/": {"get": {"responses": {}}},
    },
    "definitions": {
        THING: {"type": "object", "properties": {"options": {"$ref": f"#/definitions/{OPTIONS}"}}},
        OPTIONS: {"type": "object", "description": "not what it is elsewhere"},
        "unused": {"type": "object"},
    },
}


@dataclass
class Extension:
    """An extension server: what it was asked, and what it can do. discovery: it has the aggregated form; v3: OpenAPI v3."""

    seen: list[Obj] = field(default_factory=list)
    discovery: bool = False
    v3: bool = True
    port: int = 0
    bundle: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("X-Remote-User", "").startswith(("system:kube-aggregator", "system:aggregator")):
            return self._described(request)
        body = await request.read()
        self.seen.append({"method": request.method, "path": request.path_qs, "headers": request.headers, "body": body})
        last = request.path.rpartition("/")[2]
        if last == "unchanged":
            return web.Response(status=304, headers={"ETag": '"x"'})
        if last == "moved":
            return web.Response(status=302, headers={"Location": "https://192.0.2.1/"})
        if last == "upgrade":
            stream = web.WebSocketResponse(protocols=("chat",))
            await stream.prepare(request)
            await stream.send_str("hello " + await stream.receive_str())
            await stream.close()
            return stream
        if "watch" in request.query:
            events = web.StreamResponse(headers={"Content-Type": "application/json"})
            await events.prepare(request)
            await events.write(b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n')
            await asyncio.sleep(60)
        if request.path in (ROOT, "/openapi/v3/apis/ext.example.com/v1"):
            return self._described(request)
        return web.json_response({"kind": "ThingList", "items": []}, headers={"X-Own": "yes"})

    def _described(self, request: web.BaseRequest) -> web.Response:
        if request.path == ROOT:
            return web.json_response({"kind": "APIResourceList", "resources": RESOURCES})
        if request.path == "/apis" and self.discovery:
            resource = {"resource": "things", "scope": "Namespaced", "verbs": ["get"], "shortNames": ["th"]}
            versions = [{"version": "v1", "resources": [resource], "freshness": "Current"}]
            document = {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": GROUP}, "versions": versions}]}
            media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return web.Response(body=json.dumps(document), headers={"Content-Type": media})
        if request.path == "/openapi/v2":
            return web.json_response(SPEC_V2, headers={"ETag": '"one"'})
        if request.path == "/openapi/v3" and self.v3:
            address = {"serverRelativeURL": "/openapi/v3/apis/ext.example.com/v1?hash=ABC"}
            return web.json_response({"paths": {"apis/ext.example.com/v1": address, "apis/apps/v1": address}})
        if request.path == "/openapi/v3/apis/ext.example.com/v1":
            return web.json_response({"openapi": "3.0.0", "info": {"title": "ext"}})
        return web.Response(status=404)


@asynccontextmanager
async def extension(folder: Path, *, discovery: bool = False, v3: bool = True) -> AsyncIterator[Extension]:
    """One that talks to the front proxy alone, and whose certificate names its service."""
    made = Extension(discovery=discovery, v3=v3)
    authority = folder / "pki" / "front-proxy-ca.crt"
    async with servers.listening(folder, made.answer, "ext.default.svc", client_ca=authority) as listener:
        made.port, made.bundle = listener.port, listener.bundle
        yield made


async def register(api: Api, ext: Extension) -> None:
    await servers.service(api, "ext", ext.port)
    spec = {
        "group": GROUP,
        "version": "v1",
        "groupPriorityMinimum": 17650,
        "versionPriority": 5,
        "caBundle": ext.bundle,
        "service": {"namespace": "default", "name": "ext"},
    }
    made = await api.post(SERVICES, {"metadata": {"name": f"v1.{GROUP}"}, "spec": spec})
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
    async with extension(server_folder) as ext:
        await register(api, ext)
        assert (await condition(api, "True"))["reason"] == "Passed"
        path = f"{ROOT}/namespaces/default/things"
        stated = {"X-Remote-User": "somebody", "X_Remote_Group": "system:masters", "X-Remote-Extra-A": "b"}
        answer = await api.ask(
            "GET", f"{path}?limit=5;x=y&a=b%20c", headers={**stated, "X-Mine": "a", "Audit-ID": "mine"}
        )
        assert (answer.code, answer.body["kind"], answer.headers["X-Own"]) == (200, "ThingList", "yes")
        (asked,) = ext.seen
        headers = asked["headers"]
        assert asked["path"] == f"{path}?a=b+c"
        assert headers.getall("X-Remote-User") == ["admin"]
        assert sorted(headers.getall("X-Remote-Group")) == ["system:authenticated", "system:masters"]
        assert headers["X-Remote-Uid"] == "admin"
        assert not {"Authorization", "X-Remote-Extra-A", "X_Remote_Group"} & set(headers)
        assert (headers["X-Mine"], headers["Audit-Id"], headers["X-Forwarded-Proto"]) == ("a", "mine", "https")
        body = gzip.compress(b"{}" * 1000)
        assert (await api.ask("POST", path, body, headers={"Content-Encoding": "gzip"})).code == 200
        assert (ext.seen[-1]["body"], ext.seen[-1]["headers"]["Content-Encoding"]) == (body, "gzip")
        unchanged = await api.get(f"{path}/unchanged")
        assert (unchanged.code, unchanged.headers["ETag"], unchanged.raw) == (304, '"x"', b"")
        assert "Transfer-Encoding" not in unchanged.headers
        assert (await api.ask("HEAD", path)).code == 200
        moved = await api.get(f"{path}/moved")
        assert (moved.code, "Location" in moved.headers) == (502, False)
        assert moved.raw == b"the backend attempted to redirect this request, which is not permitted"


async def test_what_is_impersonated_is_stated(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as ext:
        await register(api, ext)
        await condition(api, "True")
        acting = {"Impersonate-User": "jane", "Impersonate-Group": "system:masters", "Impersonate-Extra-Scopes": "a"}
        assert (await api.ask("GET", f"{ROOT}/things", headers=acting)).code == 200
        headers = ext.seen[-1]["headers"]
        assert (headers["X-Remote-User"], headers["X-Remote-Extra-scopes"]) == ("jane", "a")
        assert not [name for name in headers if name.lower().startswith("impersonate-")]
        api.token = "plaintoken"
        assert (await api.get(f"{ROOT}/things")).code == 403
        assert len(ext.seen) == 1


async def test_streams_and_upgrades(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as ext:
        await register(api, ext)
        await condition(api, "True")
        async with api.watch(f"{ROOT}/things") as events:
            assert await events.take(1) == [("ADDED", "a")]
        headers = {"Authorization": f"Bearer {api.token}"}
        protocols = ("base64url.bearer.authorization.k8s.io.YWRtaW50b2tlbg", "chat")
        async with api.session.ws_connect(f"{api.url}{ROOT}/upgrade", headers=headers, protocols=protocols) as stream:
            await stream.send_str("there")
            assert await stream.receive_str() == "hello there"
        assert ext.seen[-1]["headers"]["Sec-WebSocket-Protocol"] == "chat"
        climbing = f"GET {ROOT}/things/%2e%2e/%2e%2e HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
        assert b" 404 Not Found" in await api.raw(f"{climbing}Connection: close\r\n\r\n".encode())


async def test_groups_of_others_are_shown_in_their_place(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as ext:
        await register(api, ext)
        await condition(api, "True")
        names = [group["name"] for group in (await api.get("/apis")).body["groups"]]
        at = names.index(GROUP)
        assert names[at - 1 : at + 2] == ["authentication.k8s.io", GROUP, "authorization.k8s.io"]
        assert (await api.get(f"/apis/{GROUP}")).body["preferredVersion"]["version"] == "v1"
        assert (await api.get(ROOT)).body["resources"] == RESOURCES
        shown = await aggregated(api)
        assert shown["freshness"] == "Current"
        assert [entry["resource"] for entry in shown["resources"]] == ["things"]
        assert [entry["subresource"] for entry in shown["resources"][0]["subresources"]] == ["status"]
        await api.delete(f"{SERVICES}/v1.{GROUP}")
        for _ in range(100):
            if (await api.get(f"/apis/{GROUP}")).code == 404:
                break
            await asyncio.sleep(0.02)
        assert (await api.get(ROOT)).code == 404


async def aggregated(api: Api) -> Obj:
    """The group's entry in the aggregated discovery document."""
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    items = (await api.ask("GET", "/apis", headers=accept)).body["items"]
    return dict(next(item for item in items if item["metadata"]["name"] == GROUP)["versions"][0])


async def test_a_server_that_describes_itself_in_full(api: Api, server_folder: Path) -> None:
    async with extension(server_folder, discovery=True) as ext:
        await register(api, ext)
        await condition(api, "True")
        index = await published(api)
        assert index["apis/ext.example.com/v1"]["serverRelativeURL"].endswith("?hash=ABC")
        assert not index["apis/apps/v1"]["serverRelativeURL"].endswith("?hash=ABC")
        assert (await aggregated(api))["resources"][0]["shortNames"] == ["th"]
        document = await api.get("/openapi/v3/apis/ext.example.com/v1", hash="ABC")
        assert document.body["info"] == {"title": "ext"}
        assert ext.seen[-1]["headers"]["X-Remote-User"] == "admin"
        merged = (await api.get("/openapi/v2")).body
        assert f"{ROOT}/things" in merged["paths"]
        assert "/apis/other/v1/" not in merged["paths"]
        assert merged["definitions"][THING]["properties"]["options"]["$ref"] == f"#/definitions/{OPTIONS}_v2"
        assert merged["definitions"][f"{OPTIONS}_v2"]["description"] == "not what it is elsewhere"
        assert "kind" in merged["definitions"][OPTIONS]["properties"]
        assert "unused" not in merged["definitions"]
        binary = {"Accept": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"}
        assert THING.encode() in (await api.ask("GET", "/openapi/v2", headers=binary)).raw


async def published(api: Api) -> Obj:
    """The index of OpenAPI v3, once it has the group."""
    async with asyncio.timeout(10):
        while True:
            index: Obj = (await api.get("/openapi/v3")).body["paths"]
            if f"apis/{GROUP}/v1" in index:
                return index
            await asyncio.sleep(0.05)


async def test_a_server_without_openapi_v3_gets_a_document_made_of_v2(api: Api, server_folder: Path) -> None:
    async with extension(server_folder, v3=False) as ext:
        await register(api, ext)
        await condition(api, "True")
        index = await published(api)
        document = (await api.get(index[f"apis/{GROUP}/v1"]["serverRelativeURL"])).body
        answer = document["paths"][f"{ROOT}/things"]["get"]["responses"]["200"]
        assert answer["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{THING}"}
        assert THING in document["components"]["schemas"]


async def test_a_server_that_is_gone(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as ext:
        await register(api, ext)
        await condition(api, "True")
    gone = await api.get(f"{ROOT}/things")
    address = f"{servers.own_address()}:{ext.port}"
    assert (gone.code, gone.headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
    assert gone.raw.startswith(
        f"error trying to reach service: dial tcp {address}: connect: connection refused".encode()
    )
    assert (await api.delete("/api/v1/namespaces/default/services/ext")).code == 200
    told = await condition(api, "False")
    assert (told["reason"], told["message"]) == ("ServiceNotFound", 'service/ext in "default" is not present')
    gone = await api.get(f"{ROOT}/things")
    assert (gone.code, gone.raw) == (503, b"service unavailable\n")
    assert (await aggregated(api))["freshness"] == "Stale"


async def test_reasons_for_being_unavailable(api: Api, server_folder: Path) -> None:
    async with extension(server_folder) as ext:
        await register(api, ext)
        await condition(api, "True")
        at = f"{SERVICES}/v1.{GROUP}"

        async def reason(wanted: str) -> str:
            async with asyncio.timeout(10):
                while True:
                    told = await condition(api, "False")
                    if told["reason"] == wanted:
                        return str(told["message"])
                    await asyncio.sleep(0.05)

        assert (await api.patch(at, {"spec": {"service": {"port": 444}}})).code == 200
        assert await reason("ServicePortError") == 'service/ext in "default" is not listening on port 444'
        await api.patch(at, {"spec": {"service": {"port": 443}, "caBundle": None}})
        message = await reason("FailedDiscoveryCheck")
        assert message.endswith("tls: failed to verify certificate: x509: certificate signed by unknown authority"), (
            message
        )
        slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/ext-1"
        await api.patch(slices, {"endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": False}}]})
        text = 'endpointslices for service/ext in "default" have no addresses with port name "https"'
        assert await reason("MissingEndpoints") == text
        await api.delete(slices)
        assert await reason("EndpointsNotFound") == 'cannot find endpointslices for service/ext in "default"'


async def test_local_ones_are_available_at_once_and_custom_ones_come_back(api: Api) -> None:
    spec = {"group": "nobody.example.com", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10}
    made = await api.post(SERVICES, {"metadata": {"name": "v1.nobody.example.com"}, "spec": spec})
    (told,) = made.body["status"]["conditions"]
    assert (told["status"], told["reason"]) == ("True", "Local")
    assert "f:status" not in json.dumps(made.body["metadata"]["managedFields"])


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
    assert (await api.delete(name)).code == 200
    for _ in range(100):
        if (await api.get(name)).code == 200:
            break
        await asyncio.sleep(0.02)
    changed = await api.patch(name, {"spec": {"versionPriority": 7}})
    assert changed.body["spec"]["versionPriority"] == 7
    for _ in range(100):
        if (await api.get(name)).body["spec"]["versionPriority"] == 100:
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError("the APIService stays changed")
    await api.delete(f"{path}/foos.custom.example.com")
    for _ in range(200):
        if (await api.get(name)).code == 404:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the APIService stays")


async def test_a_renewed_certificate_is_shown(server_folder: Path, tmp_path: Path) -> None:
    pair = [tmp_path / "client.crt", tmp_path / "client.key"]

    def copy(name: str) -> None:
        for path in pair:
            path.write_bytes((server_folder / "pki" / f"{name}{path.suffix}").read_bytes())

    async with running(server_folder):
        copy("apiserver-kubelet-client")  # of another CA than the extension believes
    async with (
        running(server_folder, proxy_client_cert_file=pair[0], proxy_client_key_file=pair[1]) as api,
        extension(server_folder) as ext,
    ):
        await register(api, ext)
        assert (await condition(api, "False"))["reason"] == "FailedDiscoveryCheck"
        copy("front-proxy-client")
        await condition(api, "True")
        assert (await api.get(f"{ROOT}/things")).code == 200
