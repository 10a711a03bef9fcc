import asyncio
import base64
import contextlib
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp import web

from apimachinery.clock import ControlledClock, RealClock
from apimachinery.errors import ApiError
from client import api, connections, kubeconfig
from client.api import Client, Unreachable
from client.kubeconfig import Credentials, KubeconfigError
from client.resources import CONFIG_MAPS, NODES, PODS
from tests.support import certificates
from tests.support.memoryapi import TOKEN, MemoryApi

Served = tuple[MemoryApi, Client]


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_the_life_of_an_object(served: Served) -> None:
    _, client = served
    created = await client.create(CONFIG_MAPS, config_map("a", x="1"))
    assert created["kind"] == "ConfigMap"
    created["data"]["y"] = "2"
    updated = await client.update(CONFIG_MAPS, created)
    assert updated["data"] == {"x": "1", "y": "2"}
    with pytest.raises(ApiError) as caught:
        await client.update(CONFIG_MAPS, created)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    patched = await client.patch(CONFIG_MAPS, "a", {"data": {"x": None}}, "default")
    assert patched["data"] == {"y": "2"}
    assert (await client.get(CONFIG_MAPS, "a", "default"))["data"] == {"y": "2"}
    with pytest.raises(ApiError):
        await client.delete(CONFIG_MAPS, "a", "default", uid="other")
    await client.delete(CONFIG_MAPS, "a", "default", uid=created["metadata"]["uid"])
    with pytest.raises(ApiError) as caught:
        await client.get(CONFIG_MAPS, "a", "default")
    assert str(caught.value) == 'configmaps "a" not found'


async def test_lists_come_in_pages(served: Served) -> None:
    _, client = served
    for number in range(7):
        await client.create(CONFIG_MAPS, config_map(f"c{number}"))
    page = await client.list(CONFIG_MAPS, "default", limit=3)
    assert len(page["items"]) == 3
    assert len(await client.list_all(CONFIG_MAPS, page=3)) == 7


async def test_a_watch_yields_events_and_raises_errors(served: Served) -> None:
    server, client = served
    first = await client.create(CONFIG_MAPS, config_map("a"))
    seen: list[tuple[str, str]] = []
    stream = client.watch(CONFIG_MAPS, resource_version=first["metadata"]["resourceVersion"], timeout_seconds=30)
    async with contextlib.aclosing(stream):  # type: ignore[type-var]
        async for kind, obj in stream:
            if kind == "BOOKMARK" and not seen:
                await client.create(CONFIG_MAPS, config_map("b"))
                await client.delete(CONFIG_MAPS, "b", "default")
            elif kind != "BOOKMARK":
                seen.append((kind, obj["metadata"]["name"]))
            if len(seen) == 2:
                break
    assert seen == [("ADDED", "b"), ("DELETED", "b")]

    status = ApiError(410, "Expired", "too old").to_status()
    line = orjson.dumps({"type": "ERROR", "object": status}) + b"\n"
    server.faults.append(lambda request: web.Response(body=line) if "watch" in request.query else None)
    with pytest.raises(ApiError, match="too old"):
        async for _ in client.watch(CONFIG_MAPS, resource_version="1"):
            pass


async def test_retry_after_is_waited_out(served: Served) -> None:
    server, _ = served
    answers = [429, 503]

    def fault(request: web.Request) -> web.Response | None:
        return web.Response(status=answers.pop(), headers={"Retry-After": "0"}) if answers else None

    server.faults.append(fault)
    await served[1].create(CONFIG_MAPS, config_map("a"))
    assert not answers


async def test_an_error_without_retry_after_is_raised(served: Served) -> None:
    server, client = served
    server.faults.append(lambda request: web.Response(status=500, text="boom"))
    with pytest.raises(ApiError, match="boom") as caught:
        await client.get(PODS, "a", "default")
    assert caught.value.reason == "InternalError"
    assert len(server.requests) == 1


async def test_an_answer_that_is_no_object_is_no_answer(served: Served) -> None:
    server, client = served
    bodies = [b"<html>", b"[]"]
    server.faults.append(lambda request: web.Response(body=bodies.pop()))
    for _ in range(2):
        with pytest.raises(Unreachable, match="not "):
            await client.get(PODS, "a", "default")


async def test_metadata_only_asks_for_it(served: Served) -> None:
    server, client = served
    accepts: list[str] = []
    server.faults.append(lambda request: accepts.append(request.headers["Accept"]))
    await client.list(PODS, metadata_only=True)
    assert accepts == [api.METADATA_LIST]


async def test_an_absent_server_is_unreachable(served: Served) -> None:
    credentials = Credentials(server="https://127.0.0.1:1")
    async with Client(credentials, clock=RealClock(), user_agent="test") as client:
        with pytest.raises(Unreachable):
            await client.get(NODES, "a")


async def test_requests_time_out_by_the_clock(tmp_path: Path) -> None:
    import asyncio

    from tests.support import memoryapi

    async with memoryapi.serve(tmp_path) as (server, client):
        clock = ControlledClock()
        arrived, release = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> web.StreamResponse:
            arrived.set()
            await release.wait()
            return web.Response()

        server._dispatch = hang  # type: ignore[method-assign]
        client.clock = clock
        request = asyncio.ensure_future(client.get(NODES, "a"))
        await arrived.wait()
        await clock.advance(connections.REQUEST_TIMEOUT + 1)
        with pytest.raises(TimeoutError):
            await request
        release.set()


async def test_a_token_file_is_read_again(served: Served, tmp_path: Path) -> None:
    server, client = served
    clock = ControlledClock()
    token = tmp_path / "token"
    token.write_text("stale\n")
    old = client.credentials
    credentials = Credentials(server=old.server, ca=old.ca, token_file=str(token))
    async with Client(credentials, clock=clock, user_agent="test") as rotating:
        with pytest.raises(ApiError, match="Unauthorized"):
            await rotating.list(NODES)
        token.write_text(TOKEN)
        await clock.advance(connections.TOKEN_FILE_PERIOD)
        assert (await rotating.list(NODES))["items"] == []
    assert server.requests


async def next_name(stream: AsyncIterator[tuple[str, dict[str, Any]]]) -> str:
    """The name of the next object of a watch, bookmarks left out."""
    async for kind, obj in stream:
        if kind != "BOOKMARK":
            return str(obj["metadata"]["name"])
    raise Unreachable("the watch ended")


async def test_new_credentials_are_used_and_old_connections_end_later(served: Served) -> None:
    _, client = served
    clock = ControlledClock()
    good = replace(client.credentials, token=None)
    async with Client(good, clock=clock, user_agent="test") as renewed:
        with pytest.raises(ApiError, match="Unauthorized"):
            await renewed.list(NODES)
    trusting = client.credentials
    async with Client(trusting, clock=clock, user_agent="test") as renewed:
        first = await renewed.create(CONFIG_MAPS, config_map("a"))
        version = first["metadata"]["resourceVersion"]
        stream = renewed.watch(CONFIG_MAPS, resource_version=version)
        await renewed.create(CONFIG_MAPS, config_map("b"))
        assert await next_name(stream) == "b"
        await renewed.renew(replace(trusting, ca=None))
        with pytest.raises(Unreachable):  # the server's CA is not among the system's
            await renewed.list(NODES)
        await renewed.renew(trusting)
        await renewed.create(CONFIG_MAPS, config_map("c"))
        assert await next_name(stream) == "c"  # on the connection that was open
        following = asyncio.ensure_future(next_name(stream))
        await clock.advance(connections.OLD_CONNECTIONS + 1)
        with pytest.raises(Unreachable):
            await following
        assert len((await renewed.list(CONFIG_MAPS))["items"]) == 3


async def test_a_kubeconfig_is_followed_and_so_are_files_that_it_did_not_name_at_first(
    served: Served, tmp_path: Path
) -> None:
    _, client = served
    clock, good = ControlledClock(), client.credentials
    assert good.ca is not None
    (tmp_path / "ca.pem").write_bytes(good.ca)
    (tmp_path / "stranger.pem").write_bytes(certificates.authority().pem)
    cluster: dict[str, object] = {"server": good.server, "certificate-authority": "ca.pem"}
    path = write_kubeconfig(tmp_path / "config", cluster, {"token": good.token})

    async def reachable() -> bool:
        try:
            await following.list(NODES)
        except Unreachable:
            return False
        return True

    async def until(wanted: bool) -> None:
        async with asyncio.timeout(30):
            while await reachable() is not wanted:
                await clock.advance(api.KUBECONFIG_PERIOD)

    async with Client.from_kubeconfig(path, clock=clock, user_agent="test") as following:
        await until(True)
        write_kubeconfig(path, {**cluster, "certificate-authority": "stranger.pem"}, {"token": good.token})
        await until(False)
        path.write_text("half of a")
        await clock.advance(api.KUBECONFIG_PERIOD)
        write_kubeconfig(path, {**cluster, "certificate-authority": "stranger.pem"}, {"token": good.token})
        (tmp_path / "stranger.pem").write_bytes(good.ca)
        await until(True)


def write_kubeconfig(path: Path, cluster: dict[str, object], user: dict[str, object]) -> Path:
    document = {
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"KEY")
    path = write_kubeconfig(
        tmp_path / "config",
        {"server": "https://h:6443/", "certificate-authority-data": base64.b64encode(b"CA").decode()},
        {"client-certificate-data": base64.b64encode(b"CERT").decode(), "client-key": "key.pem", "tokenFile": "t"},
    )
    found = kubeconfig.load(path)
    assert (found.server, found.ca, found.certificate, found.key) == ("https://h:6443", b"CA", b"CERT", b"KEY")
    assert found.token_file == str(tmp_path / "t")
    assert found.namespace == "n"


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "http://h"}, {}, "not an https:// URL"),
        ({"server": "https://h"}, {"exec": {}}, "exec plugins"),
        ({"server": "https://h", "certificate-authority": "missing"}, {}, "unable to read certificate-authority "),
        ({"server": "https://h", "certificate-authority-data": "%"}, {}, "certificate-authority-data: "),
    ],
)
def test_bad_kubeconfigs_are_refused(
    tmp_path: Path, cluster: dict[str, object], user: dict[str, object], message: str
) -> None:
    with pytest.raises(KubeconfigError, match=message):
        kubeconfig.load(write_kubeconfig(tmp_path / "config", cluster, user))
    with pytest.raises(KubeconfigError, match="no context named 'other'"):
        kubeconfig.load(tmp_path / "config", "other")


def test_what_stands_in_a_broken_kubeconfig_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("users:\n- user: {token: hunter2: x}\n")
    with pytest.raises(KubeconfigError, match=r"config: not YAML: line 2, column \d+$") as caught:
        kubeconfig.load(path)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
