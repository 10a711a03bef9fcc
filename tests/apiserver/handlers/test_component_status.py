"""The deprecated componentstatuses: who is asked, and what is said of those that do not answer."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestServer

from apiserver.handlers.subresources import component_status
from tests.support.apiserver import Api

PATH = "/api/v1/componentstatuses"


async def test_all_components_are_listed(api: Api) -> None:
    listed = await api.get(PATH)
    assert [item["metadata"]["name"] for item in listed.body["items"]] == ["controller-manager", "scheduler", "etcd-0"]
    assert listed.body["items"][2]["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    assert (await api.get(f"{PATH}/etcd-0")).body["kind"] == "ComponentStatus"


async def test_their_metadata_as_protobuf(api: Api) -> None:
    accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = await api.ask("GET", PATH, headers={"Accept": accept})
    assert answer.code == 200
    assert answer.raw.startswith(b"k8s\0")
    assert b"etcd-0" in answer.raw


async def test_a_component_that_is_not(api: Api) -> None:
    refused = await api.get(f"{PATH}/nobody")
    assert (refused.code, refused.body["message"]) == (404, 'componentstatus "nobody" not found')


async def test_what_a_component_says() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="ok") if request.path == "/healthz" else web.Response(status=500, text="not so well")

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with TestServer(app) as server:
        address, port = str(server.make_url("/")), server.port
        assert await component_status.ask(f"{address}healthz") == (True, "ok")
        assert await component_status.ask(address) == (False, "HTTP probe failed with statuscode: 500")
    refused = f'Get "{address}": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert await component_status.ask(address) == (False, refused)
