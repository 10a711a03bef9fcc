"""Getting, listing and watching: versions, pages, selectors, forms."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apiserver import negotiate
from openapi import protobuf, schemas
from tests.support.apiserver import MERGE, Api, running

CMS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def make(api: Api, name: str, **labels: str) -> dict[str, Any]:
    answer = await api.post(CMS, {"metadata": {"name": name, "labels": labels}, "data": {"k": name}})
    assert answer.code == 201, answer.raw
    body: dict[str, Any] = answer.body
    return body


def names(body: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


async def test_a_get_shows_what_was_written(api: Api) -> None:
    made = await make(api, "a", app="x")
    got = await api.get(f"{CMS}/a")
    assert got.code == 200
    assert got.body == made
    assert got.body["kind"] == "ConfigMap"
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Cache-Control"] == "no-cache, private"
    assert len(got.headers["Audit-Id"]) == 36


async def test_versions_of_a_get(api: Api) -> None:
    made = await make(api, "a")
    version = made["metadata"]["resourceVersion"]
    assert (await api.get(f"{CMS}/a", resourceVersion="0")).code == 200
    assert (await api.get(f"{CMS}/a", resourceVersion=version)).body == made
    assert (await api.get(f"{CMS}/a", resourceVersion="x")).code == 500
    future = await api.get(f"{CMS}/a", resourceVersion="999999999")
    assert (future.code, future.reason) == (504, "Timeout")
    assert future.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert future.headers["Retry-After"] == "1"


async def test_pages_are_of_one_moment(api: Api) -> None:
    for name in "abcde":
        await make(api, name)
    first = (await api.get(CMS, limit=2)).body
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    await make(api, "bb")
    await api.delete(f"{CMS}/c")
    second = (await api.get(CMS, limit=2, **{"continue": first["metadata"]["continue"]})).body
    assert names(second) == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    last = (await api.get(CMS, limit=2, **{"continue": second["metadata"]["continue"]})).body
    assert names(last) == ["e"]
    assert "continue" not in last["metadata"]
    assert names((await api.get(CMS)).body) == ["a", "b", "bb", "d", "e"]


async def test_pages_across_namespaces_and_with_selectors(api: Api) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
    for namespace in ("default", "other"):
        for name in ("a", "b"):
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            await api.post(path, {"metadata": {"name": name, "labels": {"n": name}}})
    found, token = [], None
    while True:
        query = {"limit": 1, "labelSelector": "n=b"} | ({"continue": token} if token else {})
        page = (await api.get("/api/v1/configmaps", **query)).body
        assert "remainingItemCount" not in page["metadata"]
        found += [item["metadata"]["namespace"] for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
    assert found == ["default", "other"]


@pytest.mark.parametrize(
    "token",
    ["abc", "e30", "!!!", base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":5,"start":"../../secrets"}').decode()],
)
async def test_forged_tokens_are_refused(api: Api, token: str) -> None:
    answer = await api.get(CMS, limit=1, **{"continue": token})
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert answer.message.startswith("invalid continue token: ")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"resourceVersionMatch": "Exact"}, 422, "resourceVersionMatch"),
        ({"resourceVersion": "0", "resourceVersionMatch": "Exact"}, 422, "resourceVersionMatch"),
        ({"resourceVersion": "1", "resourceVersionMatch": "Sideways"}, 422, "resourceVersionMatch"),
        ({"sendInitialEvents": "true"}, 422, "sendInitialEvents"),
        ({"watch": "1", "resourceVersionMatch": "NotOlderThan"}, 422, "resourceVersionMatch"),
        ({"watch": "1", "sendInitialEvents": "true"}, 422, "resourceVersionMatch"),
        ({"resourceVersion": "x"}, 400, ""),
        ({"resourceVersion": "999999999", "resourceVersionMatch": "Exact"}, 504, ""),
        ({"limit": "x"}, 400, ""),
        ({"labelSelector": "a in b"}, 400, ""),
        ({"fieldSelector": "data.k=v"}, 400, ""),
    ],
)
async def test_lists_that_make_no_sense(api: Api, query: dict[str, str], code: int, field: str) -> None:
    answer = await api.get(CMS, **query)
    assert answer.code == code
    if field:
        assert answer.body["details"]["causes"][0]["field"] == field


async def test_an_exact_version_is_shown_as_it_was(api: Api) -> None:
    version = (await make(api, "a"))["metadata"]["resourceVersion"]
    await make(api, "b")
    exact = (await api.get(CMS, resourceVersion=version, resourceVersionMatch="Exact")).body
    assert names(exact) == ["a"]
    assert exact["metadata"]["resourceVersion"] == version
    newer = (await api.get(CMS, resourceVersion=version, resourceVersionMatch="NotOlderThan")).body
    assert names(newer) == ["a", "b"]
    assert names((await api.get(CMS, resourceVersion="0", limit=1)).body) == ["a", "b"]


async def test_metadata_only(api: Api) -> None:
    await make(api, "a", app="x")
    one = (await api.ask("GET", f"{CMS}/a", headers={"Accept": METADATA})).body
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert one["metadata"]["labels"] == {"app": "x"}
    assert "data" not in one
    many = (await api.ask("GET", CMS, headers={"Accept": METADATA_LIST})).body
    assert many["kind"] == "PartialObjectMetadataList"
    assert [item["kind"] for item in many["items"]] == ["PartialObjectMetadata"]


async def test_tables(api: Api) -> None:
    await make(api, "a")
    table = (await api.ask("GET", CMS, headers={"Accept": TABLE})).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["columnDefinitions"][0]["description"].startswith("Name must be unique within a namespace.")
    (row,) = table["rows"]
    assert row["cells"][:2] == ["a", 1]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    whole = (await api.ask("GET", CMS, headers={"Accept": TABLE}, includeObject="Object")).body
    assert whole["rows"][0]["object"]["data"] == {"k": "a"}
    none = (await api.ask("GET", CMS, headers={"Accept": TABLE}, includeObject="None")).body
    assert none["rows"][0]["object"] is None
    assert (await api.ask("GET", CMS, headers={"Accept": TABLE}, includeObject="x")).code == 400


async def test_media_types(api: Api) -> None:
    await make(api, "a")
    yaml = await api.ask("GET", f"{CMS}/a", headers={"Accept": "application/yaml"})
    assert yaml.headers["Content-Type"] == "application/yaml"
    assert b"kind: ConfigMap\n" in yaml.raw
    assert (await api.ask("GET", CMS, headers={"Accept": "text/html"})).code == 406
    assert (await api.ask("GET", CMS, headers={"Accept": "text/html, */*;q=0.1"})).code == 200
    pretty = await api.get(f"{CMS}/a", pretty="true")
    assert pretty.raw.startswith(b'{\n  "kind": "ConfigMap",')


async def test_large_lists_are_compressed_for_those_who_take_it(api: Api) -> None:
    for at in range(4):
        await api.post(CMS, {"metadata": {"name": f"big{at}"}, "data": {"k": "x" * 60_000}})
    answer = await api.ask("GET", CMS, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(names(answer.body)) == 4
    plain = await api.ask("GET", CMS, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.body["items"] == answer.body["items"]


async def test_large_objects_are_compressed_too(api: Api) -> None:
    takes = {"Accept-Encoding": "gzip"}
    made = await api.ask("POST", CMS, {"metadata": {"name": "big"}, "data": {"k": "x" * 200_000}}, headers=takes)
    assert (made.code, made.headers["Content-Encoding"]) == (201, "gzip")
    read = await api.ask("GET", f"{CMS}/big", headers=takes)
    assert (read.headers["Content-Encoding"], read.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert read.body["data"] == {"k": "x" * 200_000}


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("plain", "plain"),
        ("1e3", '"1e3"'),
        ("y", '"y"'),
        ("248", '"248"'),
        ("", '""'),
        ("a: b", "'a: b'"),
        ("a\nb\n", "|\n  a\n  b"),
        ("2026-01-02T03:04:05Z", '"2026-01-02T03:04:05Z"'),
    ],
)
def test_strings_in_yaml_stay_strings_for_every_reader(text: str, drawn: str) -> None:
    assert negotiate.to_yaml({"k": text}).decode() == f"k: {drawn}\n"


# -- watches


async def test_a_watch_tells_what_happens(api: Api) -> None:
    async with api.watch(CMS) as events:
        await make(api, "a")
        await api.patch(f"{CMS}/a", {"data": {"k": "2"}})
        await api.patch(f"{CMS}/a", {"data": {"k": "2"}})  # changes nothing
        await api.delete(f"{CMS}/a")
        assert await events.take(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_begins_with_what_there_is_or_after_a_version(api: Api) -> None:
    version = (await make(api, "a"))["metadata"]["resourceVersion"]
    await make(api, "b")
    async with api.watch(CMS) as events:
        assert await events.take(2) == [("ADDED", "a"), ("ADDED", "b")]
    async with api.watch(CMS, resourceVersion=version) as events:
        assert await events.take(1) == [("ADDED", "b")]


async def test_entering_and_leaving_a_selector(api: Api) -> None:
    await make(api, "a")
    async with api.watch(CMS, labelSelector="app=x") as events:
        await api.patch(f"{CMS}/a", {"metadata": {"labels": {"app": "x"}}})
        left = await api.patch(f"{CMS}/a", {"metadata": {"labels": {"app": None}}})
        added, deleted = await events.next(), await events.next()
    assert (added["type"], deleted["type"]) == ("ADDED", "DELETED")
    # An object that leaves is shown as it was, with the version of the change that took it out.
    assert deleted["object"]["metadata"]["labels"] == {"app": "x"}
    assert deleted["object"]["metadata"]["resourceVersion"] == left.body["metadata"]["resourceVersion"]


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    await make(api, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(CMS, **query) as events:
        assert await events.take(1) == [("ADDED", "a")]
        bookmark = await events.next()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ConfigMap"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) > 0


async def test_a_watch_ends_in_time(api: Api) -> None:
    async with api.watch(CMS, timeoutSeconds="1") as events:
        assert await events.ended()


async def test_watches_as_tables_and_metadata(api: Api) -> None:
    async with api.watch(CMS, accept=TABLE) as tables, api.watch(CMS, accept=METADATA) as metadata:
        await make(api, "a")
        await make(api, "b")
        first, second = await tables.next(), await tables.next()
        assert first["object"]["kind"] == "Table"
        assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][0] == "b"
        assert (await metadata.next())["object"]["kind"] == "PartialObjectMetadata"


async def test_a_watch_by_the_old_path(api: Api) -> None:
    await make(api, "a")
    await make(api, "b")
    async with api.watch("/api/v1/watch/namespaces/default/configmaps/b") as events:
        assert await events.take(1) == [("ADDED", "b")]
    assert (await api.get("/api/v1/watch/namespaces/default/nosuch")).code == 404


async def test_a_watch_over_a_websocket(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.session.ws_connect(f"{api.url}{CMS}?watch=1", headers=headers) as socket:
        await make(api, "a")
        message = await asyncio.wait_for(socket.receive(), 10)
        assert message.type == aiohttp.WSMsgType.TEXT
        assert json.loads(message.data)["object"]["metadata"]["name"] == "a"


async def test_versions_that_are_gone_are_told_so(server_folder: Path, tmp_path: Path) -> None:
    storage = f"sqlite://{tmp_path / 'cluster.db'}"
    async with running(server_folder, storage=storage) as api:
        version = (await make(api, "a"))["metadata"]["resourceVersion"]
        page = (await api.get("/api/v1/namespaces", limit=1)).body
        for at in range(3):
            await api.patch(f"{CMS}/a", {"data": {"k": str(at)}}, MERGE)
        backend = api.server.caches.backend
        await backend.compact(await backend.current_revision())
    async with running(server_folder, storage=storage) as api:
        async with api.watch(CMS, resourceVersion=version) as events:
            event = await events.next()
            assert event["type"] == "ERROR"
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
            assert event["object"]["message"].startswith("too old resource version: ")
        exact = await api.get(CMS, resourceVersion=version, resourceVersionMatch="Exact")
        assert (exact.code, exact.reason) == (410, "Expired")
        torn = await api.get("/api/v1/namespaces", limit=1, **{"continue": page["metadata"]["continue"]})
        assert (torn.code, torn.reason) == (410, "Expired")
        rest = await api.get("/api/v1/namespaces", **{"continue": torn.body["metadata"]["continue"]})
        assert "kube-system" in names(rest.body)


async def test_all_watches_end_with_the_server(api: Api) -> None:
    async with api.watch(CMS) as one, api.watch("/api/v1/pods") as two:
        await make(api, "a")
        await one.next()
        await asyncio.wait_for(api.server.end(), 3)
        assert await one.ended()
        assert await two.ended()


# -- protobuf


PROTOBUF = "application/vnd.kubernetes.protobuf"


def decoded(raw: bytes) -> tuple[str, dict[str, Any]]:
    """(kind, object) of a protobuf answer."""
    api_version, kind, body = protobuf.read(raw)
    return kind, protobuf.decode(schemas.load().type(f"{api_version}/{kind}"), body)


async def test_objects_lists_and_errors_in_protobuf(api: Api) -> None:
    made = await make(api, "a", app="x")
    headers = {"Accept": PROTOBUF}
    one = await api.ask("GET", f"{CMS}/a", headers=headers)
    assert one.headers["Content-Type"] == PROTOBUF
    kind, obj = decoded(one.raw)
    assert kind == "ConfigMap"
    assert obj["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert (obj["data"], obj["metadata"]["labels"]) == (made["data"], made["metadata"]["labels"])
    kind, many = decoded((await api.ask("GET", CMS, headers=headers)).raw)
    assert (kind, names(many)) == ("ConfigMapList", ["a"])
    assert int(many["metadata"]["resourceVersion"]) > 0
    missing = await api.ask("GET", f"{CMS}/none", headers=headers)
    kind, status = decoded(missing.raw)
    assert (missing.code, kind, status["reason"], status["code"]) == (404, "Status", "NotFound", 404)
    kind, groups = decoded((await api.ask("GET", "/apis", headers=headers)).raw)
    assert kind == "APIGroupList"
    assert {group["name"] for group in groups["groups"]} >= {"apps", "batch"}


async def test_an_object_is_created_in_protobuf(api: Api) -> None:
    info = schemas.load().type("v1/ConfigMap")
    body = protobuf.write("v1", "ConfigMap", protobuf.encode(info, {"metadata": {"name": "p"}, "data": {"k": "v"}}))
    made = await api.ask(
        "POST", CMS, body, headers={"Content-Type": PROTOBUF, "Accept": f"{PROTOBUF},application/json"}
    )
    assert (made.code, made.headers["Content-Type"]) == (201, PROTOBUF)
    assert (await api.get(f"{CMS}/p")).body["data"] == {"k": "v"}


async def test_a_watch_in_protobuf(api: Api) -> None:
    async with api.watch(CMS, accept=f"{PROTOBUF};stream=watch") as events:
        assert events.response.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
        await make(api, "a")
        content = events.response.content
        size = int.from_bytes(await asyncio.wait_for(content.readexactly(4), 10), "big")
        event = await content.readexactly(size)
        assert event.startswith(b"\n\x05ADDED\x12")
        kind, obj = decoded(event[event.index(protobuf.MAGIC) :])
        assert (kind, obj["metadata"]["name"]) == ("ConfigMap", "a")


async def test_tables_are_never_protobuf(api: Api) -> None:
    await make(api, "a")
    accept = f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io"
    assert (await api.ask("GET", CMS, headers={"Accept": accept})).body["kind"] == "Table"
    metadata = f"{PROTOBUF};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    answer = await api.ask("GET", CMS, headers={"Accept": metadata})
    assert protobuf.read(answer.raw)[:2] == ("meta.k8s.io/v1", "PartialObjectMetadataList")
