"""Custom resources in several versions: a real webhook converts between them, everywhere that an object is read or written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support import servers
from tests.support.apiserver import APPLY, Answer, Api, Obj

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "shop.example.com"
V1 = f"/apis/{GROUP}/v1/namespaces/default/orders"
V2 = f"/apis/{GROUP}/v2/namespaces/default/orders"


def schema(**spec: Obj) -> Obj:
    return {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {"type": "object", "properties": spec},
                "status": {"type": "object", "properties": {"count": {"type": "integer"}}},
            },
        }
    }


def definition(conversion: Obj, *, storage: str = "v1") -> Obj:
    """v1 has spec.host, "name:port"; v2 has spec.name and spec.port, a status and a scale, and columns of its own."""
    text, number = {"type": "string"}, {"type": "integer"}
    column = {"name": "Port", "type": "integer", "jsonPath": ".spec.port"}
    return {
        "metadata": {"name": f"orders.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "orders", "kind": "Order"},
            "conversion": conversion,
            "versions": [
                {"name": "v1", "served": True, "storage": storage == "v1", "schema": schema(host=text)},
                {
                    "name": "v2",
                    "served": True,
                    "storage": storage == "v2",
                    "schema": schema(name=text, port=number, replicas=number),
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.count"},
                    },
                    "additionalPrinterColumns": [column],
                    "selectableFields": [{"jsonPath": ".spec.name"}],
                },
            ],
        },
    }


def converted(obj: Obj, version: str) -> Obj:
    spec = dict(obj.get("spec") or {})
    if version.endswith("/v2"):
        name, _, port = spec.pop("host", ":").partition(":")
        replicas = obj["metadata"].get("annotations", {}).get("replicas")
        spec = {"name": name, "port": int(port or 0)} | ({"replicas": int(replicas)} if replicas else {})
    else:
        if "replicas" in spec:
            obj["metadata"].setdefault("annotations", {})["replicas"] = str(spec["replicas"])
        spec = {"host": f"{spec.get('name', '')}:{spec.get('port', 0)}"}
    return {**obj, "apiVersion": version, "spec": spec}


@dataclass
class Webhook:
    """Converts; `spoil` changes its answers."""

    bundle: str = ""
    port: int = 0
    calls: list[Obj] = field(default_factory=list)
    spoil: Callable[[Obj], Any] | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.read())
        asked = review["request"]
        self.calls.append(asked)
        objects = [converted(obj, asked["desiredAPIVersion"]) for obj in asked["objects"]]
        result = {"uid": asked["uid"], "convertedObjects": objects, "result": {"status": "Success"}}
        answered: Obj = {"kind": review["kind"], "apiVersion": review["apiVersion"], "response": result}
        if self.spoil is not None:
            self.spoil(answered)
        return web.json_response(answered)

    @property
    def by_url(self) -> Obj:
        return self._conversion({"url": f"https://127.0.0.1:{self.port}/convert", "caBundle": self.bundle})

    @property
    def by_service(self) -> Obj:
        service = {"namespace": "default", "name": "converter", "path": "/convert"}
        return self._conversion({"service": service, "caBundle": self.bundle})

    @staticmethod
    def _conversion(client: Obj) -> Obj:
        return {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[Webhook]:
    async with serving(tmp_path) as made:
        yield made


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Webhook]:
    made = Webhook()
    async with servers.listening(folder, made.answer, "127.0.0.1", "converter.default.svc") as listener:
        made.port, made.bundle = listener.port, listener.bundle
        yield made


async def define(api: Api, made: Obj) -> None:
    answer = await api.post(CRDS, made)
    assert answer.code == 201, answer.raw
    await served(api, V2)


async def served(api: Api, path: str, code: int = 200) -> Answer:
    """Repeat a read until it is answered so."""
    async with asyncio.timeout(10):
        while True:
            answer = await api.get(path)
            if answer.code == code:
                return answer
            await asyncio.sleep(0.02)


async def order(api: Api, name: str, host: str, **meta: Any) -> Obj:
    body = {"kind": "Order", "apiVersion": f"{GROUP}/v1", "metadata": {"name": name, **meta}, "spec": {"host": host}}
    answer = await api.post(V1, body)
    assert answer.code == 201, answer.raw
    return dict(answer.body)


async def test_reads_and_writes_in_both_versions(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    await order(api, "a", "one:80", labels={"app": "x"})
    assert not webhook.calls  # in the version that is stored
    got = (await api.get(f"{V2}/a")).body
    assert (got["apiVersion"], got["spec"]) == (f"{GROUP}/v2", {"name": "one", "port": 80})
    assert webhook.calls[0]["desiredAPIVersion"] == f"{GROUP}/v2"
    made = {"kind": "Order", "apiVersion": f"{GROUP}/v2", "metadata": {"name": "b"}, "spec": {"name": "two", "port": 8}}
    created = await api.post(V2, made)
    assert (created.code, created.body["spec"]) == (201, {"name": "two", "port": 8})
    assert (await api.get(f"{V1}/b")).body["spec"] == {"host": "two:8"}
    webhook.calls.clear()
    listed = (await api.get(V2)).body
    assert [item["spec"]["name"] for item in listed["items"]] == ["one", "two"]
    assert {item["apiVersion"] for item in listed["items"]} == {f"{GROUP}/v2"}
    assert not webhook.calls  # still known
    changed = await api.patch(f"{V2}/a", {"spec": {"port": 81}})
    assert (changed.code, changed.body["spec"]["port"], changed.body["metadata"]["generation"]) == (200, 81, 2)
    assert (await api.get(f"{V1}/a")).body["spec"] == {"host": "one:81"}
    put = {**changed.body, "spec": {"name": "uno", "port": 81}}
    assert (await api.put(f"{V2}/a", put)).body["spec"]["name"] == "uno"
    assert (await api.delete(f"{V2}/a")).code == 200
    assert (await api.get(f"{V1}/a")).code == 404


async def test_many_objects_are_asked_for_at_once(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    for number in range(7):
        await order(api, f"o{number}", f"h{number}:{number}")
    listed = (await api.get(V2)).body["items"]
    assert [item["spec"]["port"] for item in listed] == list(range(7))
    assert [len(call["objects"]) for call in webhook.calls] == [7]
    page = (await api.get(V2, limit=3)).body
    rest = (await api.get(V2, limit=3, **{"continue": page["metadata"]["continue"]})).body
    assert [item["metadata"]["name"] for item in page["items"] + rest["items"]] == [f"o{n}" for n in range(6)]


async def test_selectors_judge_the_converted_object(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    await order(api, "a", "one:80")
    await order(api, "b", "two:80")
    found = (await api.get(V2, fieldSelector="spec.name=two")).body["items"]
    assert [item["metadata"]["name"] for item in found] == ["b"]
    refused = await api.get(V1, fieldSelector="spec.name=two")
    assert (refused.code, refused.message) == (400, "field label not supported: spec.name")
    async with api.watch(V2, fieldSelector="spec.name=two") as events:
        assert await events.take(1) == [("ADDED", "b")]
        await api.patch(f"{V1}/a", {"spec": {"host": "two:1"}})
        assert await events.take(1) == [("ADDED", "a")]
        await api.patch(f"{V1}/b", {"spec": {"host": "three:1"}})
        assert await events.take(1) == [("DELETED", "b")]
        await api.patch(f"{V1}/a", {"spec": {"host": "two:2"}})
        event = await events.next()
        assert (event["type"], event["object"]["spec"]) == ("MODIFIED", {"name": "two", "port": 2})


async def test_watches_tell_of_each_version(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    await order(api, "a", "one:80")
    revision = (await api.get(V2)).body["metadata"]["resourceVersion"]
    async with api.watch(V2) as events, api.watch(V1, resourceVersion=revision) as others:
        assert (await events.next())["object"]["spec"] == {"name": "one", "port": 80}
        await api.patch(f"{V2}/a", {"spec": {"port": 1}})
        event = await events.next()
        assert (event["type"], event["object"]["spec"]["port"]) == ("MODIFIED", 1)
        assert (await others.next())["object"]["spec"] == {"host": "one:1"}
        await api.delete(f"{V1}/a")
        gone = await events.next()
        assert (gone["type"], gone["object"]["apiVersion"]) == ("DELETED", f"{GROUP}/v2")


async def test_field_managers_across_versions(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    applied = {"kind": "Order", "apiVersion": f"{GROUP}/v1", "metadata": {"name": "a"}, "spec": {"host": "one:80"}}
    first = await api.patch(f"{V1}/a", applied, APPLY, fieldManager="first")
    assert first.code == 201, first.raw
    other = {"kind": "Order", "apiVersion": f"{GROUP}/v2", "metadata": {"name": "a"}, "spec": {"port": 81}}
    refused = await api.patch(f"{V2}/a", other, APPLY, fieldManager="second")
    assert (refused.code, refused.reason) == (409, "Conflict")
    (cause,) = refused.body["details"]["causes"]
    assert (cause["reason"], cause["message"]) == ("FieldManagerConflict", 'conflict with "first"')
    forced = await api.patch(f"{V2}/a", other, APPLY, fieldManager="second", force="true")
    assert (forced.code, forced.body["spec"]) == (200, {"name": "one", "port": 81})
    owners = {entry["manager"]: entry["apiVersion"] for entry in forced.body["metadata"]["managedFields"]}
    assert owners["second"] == f"{GROUP}/v2"


async def test_each_version_has_its_own_subresources_and_columns(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_service))
    await servers.service(api, "converter", webhook.port)
    await order(api, "a", "one:80")
    assert (await api.get(f"{V1}/a/status")).code == 404
    assert (await api.patch(f"{V2}/a", {"spec": {"replicas": 2}})).code == 200
    status = await api.patch(f"{V2}/a/status", {"status": {"count": 2}, "spec": {"port": 1}})
    assert (status.code, status.body["status"], status.body["spec"]["port"]) == (200, {"count": 2}, 80)
    scale = await api.patch(f"{V2}/a/scale", {"spec": {"replicas": 3}})
    assert (scale.code, scale.body["spec"], scale.body["status"]) == (200, {"replicas": 3}, {"replicas": 2})
    table = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    shown = (await api.ask("GET", V2, headers=table)).body
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Port"]
    assert shown["rows"][0]["cells"] == ["a", 80]
    shown = (await api.ask("GET", V1, headers=table)).body
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Age"]
    names = [entry["name"] for entry in (await api.get(f"/apis/{GROUP}/v2")).body["resources"]]
    assert names == ["orders", "orders/scale", "orders/status"]
    assert [entry["name"] for entry in (await api.get(f"/apis/{GROUP}/v1")).body["resources"]] == ["orders"]


def _failed(text: str) -> str:
    return f"conversion webhook for {GROUP}/v1, Kind=Order {text}"


SPOILT: list[tuple[Callable[[Obj], Any], str]] = [
    (lambda a: a["response"].update(uid="x"), 'failed: expected response.uid="'),
    (lambda a: a.pop("response"), "failed: no response provided"),
    (
        lambda a: a.update(kind="Nothing"),
        "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview",
    ),
    (lambda a: a["response"].update(result={"status": "Failed", "message": "cannot"}), "failed: cannot"),
    (lambda a: a["response"].update(result={}), "failed: response.result.status was '', not 'Success'"),
    (lambda a: a["response"]["convertedObjects"].clear(), "returned 0 objects, expected 1"),
    (
        lambda a: a["response"]["convertedObjects"][0].update(apiVersion="a/b"),
        "returned invalid object at index 0: invalid groupVersion (expected shop.example.com/v2, received a/b)",
    ),
    (
        lambda a: a["response"]["convertedObjects"][0].update(kind="Other"),
        "returned invalid object at index 0: invalid kind (expected Order, received Other)",
    ),
    (
        lambda a: a["response"]["convertedObjects"][0]["metadata"].update(name="z"),
        "returned invalid object: must have the same name: a != z",
    ),
    (
        lambda a: a["response"]["convertedObjects"][0]["metadata"].update(labels={"a": 1}),
        "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object",
    ),
]


async def test_bad_answers_are_told_of(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    await order(api, "a", "one:80")
    for spoil, text in SPOILT:
        webhook.spoil = spoil
        answer = await api.get(f"{V2}/a")
        assert (answer.code, answer.reason) == (500, "")
        assert answer.message.startswith(_failed(text)), answer.message
    webhook.spoil = lambda a: a["response"]["convertedObjects"][0]["metadata"].update(
        labels={"b": "c"}, finalizers=["x/y"], generation=9
    )
    meta = (await api.get(f"{V2}/a")).body["metadata"]
    assert (meta["labels"], meta["generation"], "finalizers" in meta) == ({"b": "c"}, 1, False)


async def test_a_webhook_that_cannot_be_reached(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_service))
    await order(api, "a", "one:80")
    text = 'failed: Post "https://converter.default.svc:443/convert?timeout=30s": service "converter" not found'
    for path in (V2, f"{V2}/a"):
        answer = await api.get(path)
        assert (answer.code, answer.reason, answer.message) == (500, "", _failed(text))
    async with api.watch(V2) as events:
        event = await events.next()
        assert (event["type"], event["object"]["message"]) == ("ERROR", _failed(text))
    assert (await api.get(f"{V1}/a")).code == 200


async def test_the_storage_version_can_change(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    await order(api, "a", "one:80")
    await order(api, "c", "three:3")
    before = (await api.get(f"/apis/{GROUP}/v1")).body["resources"][0]["storageVersionHash"]
    stored = (await api.get(f"{CRDS}/orders.{GROUP}")).body
    stored["spec"] = {**stored["spec"], "versions": definition(webhook.by_url, storage="v2")["spec"]["versions"]}
    changed = await api.put(f"{CRDS}/orders.{GROUP}", stored)
    assert (changed.code, changed.body["status"]["storedVersions"]) == (200, ["v1", "v2"])
    async with asyncio.timeout(10):
        while True:
            now = (await api.get(f"/apis/{GROUP}/v1")).body["resources"][0]["storageVersionHash"]
            if now != before:
                break
            await asyncio.sleep(0.02)
    old = (await api.get(f"{V1}/a")).body
    assert old["spec"] == {"host": "one:80"}
    assert (await api.get(f"{V2}/a")).body["spec"] == {"name": "one", "port": 80}
    await order(api, "b", "two:2")  # stored as v2 from now on
    both = (await api.get(V1)).body["items"]
    assert [item["spec"]["host"] for item in both] == ["one:80", "two:2", "three:3"]
    both = (await api.get(V2)).body["items"]
    assert [item["spec"]["port"] for item in both] == [80, 2, 3]
    # A write that changes nothing moves the object to the new version, once.
    moved = await api.put(f"{V1}/a", old)
    assert moved.body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
    again = await api.put(f"{V1}/a", moved.body)
    assert again.body["metadata"]["resourceVersion"] == moved.body["metadata"]["resourceVersion"]
    webhook.calls.clear()
    await api.get(f"{V2}/a")
    assert not webhook.calls


async def test_without_a_webhook_only_what_both_schemas_know_goes_over(api: Api) -> None:
    made = definition({"strategy": "None"})
    for version, name in zip(made["spec"]["versions"], ("own1", "own2"), strict=True):
        fields = {"both": {"type": "string"}, name: {"type": "string"}}
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] = fields
        version.pop("subresources", None)
        version.pop("selectableFields", None)
        version.pop("additionalPrinterColumns", None)
    await define(api, made)
    body = {"kind": "Order", "apiVersion": f"{GROUP}/v1", "metadata": {"name": "a"}, "spec": {"both": "x", "own1": "y"}}
    assert (await api.post(V1, body)).code == 201
    assert (await api.get(f"{V2}/a")).body["spec"] == {"both": "x"}
    body = {"kind": "Order", "apiVersion": f"{GROUP}/v2", "metadata": {"name": "b"}, "spec": {"both": "x", "own2": "y"}}
    assert (await api.post(V2, body)).code == 201
    assert (await api.get(f"{V2}/b")).body["spec"] == {"both": "x"}


async def test_a_definition_says_how_its_webhook_is_reached(api: Api, webhook: Webhook) -> None:
    at = "spec.conversion.webhookClientConfig"

    async def refused(client: Obj) -> list[tuple[str, str]]:
        answer = await api.post(CRDS, definition(Webhook._conversion(client)))
        assert answer.code == 422, answer.raw
        return [(cause["field"], cause["message"]) for cause in answer.body["details"]["causes"]]

    assert await refused({}) == [(at, "Required value: exactly one of url or service is required")]
    form = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
    assert await refused({"url": "http://x/"}) == [(f"{at}.url", f'Invalid value: "http": {form}')]
    service = {"namespace": "default", "name": "x", "path": "no"}
    told = "Invalid value: \"no\": must start with a '/'"
    assert (f"{at}.service.path", told) in await refused({"service": service})


async def test_a_definition_with_a_torn_bundle_is_not_established(api: Api, webhook: Webhook) -> None:
    made = definition(webhook.by_url)
    made["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = "bm9uZQ=="
    assert (await api.post(CRDS, made)).code == 201
    path = f"{CRDS}/orders.{GROUP}"
    async with asyncio.timeout(10):
        while True:
            found = (await api.get(path)).body
            conditions = {each["type"]: each for each in found["status"].get("conditions") or ()}
            if conditions.get("Established", {}).get("reason") == "InvalidCABundle":
                break
            await asyncio.sleep(0.02)
    assert (await api.get(V2)).code == 404
    client = {"clientConfig": {"caBundle": webhook.bundle}}
    assert (await api.patch(path, {"spec": {"conversion": {"webhook": client}}})).code == 200
    await served(api, V2)
    spoilt = await api.patch(path, {"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": "bm9uZQ=="}}}}})
    assert spoilt.code == 422
    assert spoilt.message.endswith("unable to load root certificates: unable to parse bytes as PEM block")


async def test_a_dry_run_asks_too(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    made = {"kind": "Order", "apiVersion": f"{GROUP}/v2", "metadata": {"name": "b"}, "spec": {"name": "two", "port": 8}}
    rehearsed = await api.post(V2, made, dryRun="All")
    assert (rehearsed.code, rehearsed.body["spec"], len(webhook.calls)) == (201, {"name": "two", "port": 8}, 2)
    webhook.spoil = lambda a: a.pop("response")
    refused = await api.post(V2, made, dryRun="All")
    text = f"conversion webhook for {GROUP}/v2, Kind=Order failed: no response provided"
    assert (refused.code, refused.message) == (500, text)


async def test_validation_is_that_of_the_version_written(api: Api, webhook: Webhook) -> None:
    made = definition(webhook.by_url)
    properties = made["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["port"]["maximum"] = 100
    properties["name"]["default"] = "unnamed"
    await define(api, made)
    body: Obj = {"kind": "Order", "apiVersion": f"{GROUP}/v2", "metadata": {"name": "b"}, "spec": {"port": 101}}
    refused = await api.post(V2, body)
    assert (refused.code, refused.body["details"]["causes"][0]["field"]) == (422, "spec.port")
    body["spec"]["port"] = 99
    assert (await api.post(V2, body)).body["spec"] == {"port": 99, "name": "unnamed"}
    assert (await api.get(f"{V1}/b")).body["spec"] == {"host": "unnamed:99"}
    strict = await api.post(V1, {**body, "apiVersion": f"{GROUP}/v1"}, fieldValidation="Strict")
    assert (strict.code, 'unknown field "spec.port"' in strict.message) == (400, True)
    await order(api, "big", "x:500")  # v1 does not know the limit
    assert (await api.get(f"{V2}/big")).body["spec"]["port"] == 500


async def test_an_object_may_come_with_managers_of_another_version(api: Api, webhook: Webhook) -> None:
    await define(api, definition(webhook.by_url))
    entry = {
        "manager": "restored",
        "operation": "Update",
        "apiVersion": f"{GROUP}/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:host": {}}},
    }
    body: Obj = {"kind": "Order", "apiVersion": f"{GROUP}/v2", "metadata": {"name": "b", "managedFields": [entry]}}
    made = await api.post(V2, {**body, "spec": {"name": "two", "port": 8}}, fieldManager="restorer")
    assert made.code == 201, made.raw
    owners = {found["manager"]: found["apiVersion"] for found in made.body["metadata"]["managedFields"]}
    assert owners["restorer"] == f"{GROUP}/v2"
