"""CustomResourceDefinitions on a whole API server: defined, served, changed, withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apimachinery.clock import RealClock
from apiserver.server import ApiServer
from tests.support import devserver

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FOOS = "/apis/g.example.com/v1/namespaces/default/foos"
Obj = dict[str, Any]


class Api:
    """JSON over HTTP to the server under test."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.base = f"https://127.0.0.1:{port}"

    async def call(
        self, method: str, path: str, body: Any = None, media_type: str = "application/json"
    ) -> tuple[int, Any]:
        headers = {"Authorization": "Bearer admintoken", "Content-Type": media_type}
        async with self.session.request(method, self.base + path, json=body, headers=headers, ssl=False) as answer:
            text = await answer.text()
            return answer.status, (await answer.json(content_type=None)) if text.startswith("{") else text

    async def until_refused(self, body: Obj) -> None:
        """Repeat a dry-run creation until validation refuses it."""
        async with asyncio.timeout(10):
            while True:
                status, _ = await self.call("POST", FOOS + "?dryRun=All", body)
                if status == 422:
                    return
                await asyncio.sleep(0.02)

    async def until(self, path: str, wanted: int) -> Any:
        """Repeat a read until it is answered so."""
        async with asyncio.timeout(10):
            while True:
                status, body = await self.call("GET", path)
                if status == wanted:
                    return body
                await asyncio.sleep(0.02)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    server = ApiServer(devserver.config_for(tmp_path, 0, storage="memory:"), RealClock())
    await server.start()
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        tasks = [group.create_task(work()) for work in server.background.values()]
        yield Api(session, server.port)
        for task in tasks:
            task.cancel()
    await server.end()


def definition(**version: Any) -> Obj:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["a"],
                "properties": {"a": {"type": "string"}, "n": {"type": "integer", "default": 5, "maximum": 9}},
            },
            "status": {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string"}}},
        },
    }
    first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.g.example.com"},
        "spec": {
            "group": "g.example.com",
            "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo", "shortNames": ["fo"]},
            "versions": [first],
        },
    }


def foo(name: str, **spec: Any) -> Obj:
    return {"apiVersion": "g.example.com/v1", "kind": "Foo", "metadata": {"name": name}, "spec": {"a": "x", **spec}}


async def define(api: Api, body: Obj) -> None:
    status, answer = await api.call("POST", CRDS, body)
    assert status == 201, answer
    path = f"{CRDS}/{body['metadata']['name']}"
    while True:
        conditions = (await api.until(path, 200)).get("status", {}).get("conditions") or []
        if any(found["type"] == "Established" and found["status"] == "True" for found in conditions):
            break
        await asyncio.sleep(0.02)
    await api.until(FOOS, 200)


async def test_lifecycle(api: Api) -> None:
    await define(api, definition())
    _, made = await api.call("GET", CRDS + "/foos.g.example.com")
    assert {found["type"]: found["status"] for found in made["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert (
        made["metadata"]["managedFields"][-1]["subresource"] == "status" or len(made["metadata"]["managedFields"]) == 2
    )
    _, resources = await api.call("GET", "/apis/g.example.com/v1")
    assert [(found["name"], found["shortNames"]) for found in resources["resources"]] == [("foos", ["fo"])]
    status, created = await api.call("POST", FOOS, foo("a", junk=1))
    assert (status, created["spec"]) == (201, {"a": "x", "n": 5})
    _, listing = await api.call("GET", FOOS)
    assert [found["metadata"]["name"] for found in listing["items"]] == ["a"]
    status, _ = await api.call("DELETE", CRDS + "/foos.g.example.com")
    assert status == 200
    await api.until(CRDS + "/foos.g.example.com", 404)
    await api.until(FOOS, 404)
    _, index = await api.call("GET", "/openapi/v3")
    assert "apis/g.example.com/v1" not in index["paths"]


async def test_deletion_waits_for_instances_with_finalizers(api: Api) -> None:
    await define(api, definition())
    held = foo("held")
    held["metadata"]["finalizers"] = ["example.com/x"]
    await api.call("POST", FOOS, held)
    await api.call("DELETE", CRDS + "/foos.g.example.com")
    async with asyncio.timeout(10):
        while True:
            _, found = await api.call("GET", FOOS + "/held")
            if found["metadata"].get("deletionTimestamp"):
                break
            await asyncio.sleep(0.02)
    status, answer = await api.call("POST", FOOS, foo("late"))
    assert status == 403
    text = "create not allowed while custom resource definition is terminating"
    assert answer["message"] == f'foos.g.example.com "late" is forbidden: {text}'
    _, definition_ = await api.call("GET", CRDS + "/foos.g.example.com")
    assert [found["status"] for found in definition_["status"]["conditions"] if found["type"] == "Terminating"] == [
        "True"
    ]
    patch = {"metadata": {"finalizers": None}}
    await api.call("PATCH", FOOS + "/held", patch, "application/merge-patch+json")
    await api.until(CRDS + "/foos.g.example.com", 404)


async def test_status_and_scale_and_columns(api: Api) -> None:
    body = definition(
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.n",
                "statusReplicasPath": ".status.n",
                "labelSelectorPath": ".status.s",
            },
        },
        additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
    )
    await define(api, body)
    status, created = await api.call("POST", FOOS, {**foo("a"), "status": {"n": 1}})
    assert (status, "status" in created) == (201, False)
    _, scaled = await api.call(
        "PUT", FOOS + "/a/status", {**created, "spec": {"a": "no"}, "status": {"n": 3, "s": "x=y"}}
    )
    assert (scaled["spec"]["a"], scaled["status"], scaled["metadata"]["generation"]) == ("x", {"n": 3, "s": "x=y"}, 1)
    _, scale = await api.call("GET", FOOS + "/a/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 5}, {"replicas": 3, "selector": "x=y"})
    await api.call("PATCH", FOOS + "/a/scale", {"spec": {"replicas": 2}}, "application/merge-patch+json")
    _, found = await api.call("GET", FOOS + "/a")
    assert (found["spec"]["n"], found["metadata"]["generation"]) == (2, 2)


async def test_values_are_checked_and_old_faults_may_stay(api: Api) -> None:
    await define(api, definition())
    status, answer = await api.call("POST", FOOS, foo("a", n=10))
    assert status == 422
    assert answer["message"] == (
        'Foo.g.example.com "a" is invalid: spec.n: Invalid value: 10: spec.n in body should be less than or equal to 9'
    )
    await api.call("POST", FOOS, foo("a", n=9))
    _, current = await api.call("GET", CRDS + "/foos.g.example.com")
    schema = current["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["n"]["maximum"] = 6
    status, answer = await api.call("PUT", CRDS + "/foos.g.example.com", current)
    assert status == 200, answer
    await api.until_refused(foo("b", n=9))
    status, changed = await api.call("PATCH", FOOS + "/a", {"spec": {"a": "y"}}, "application/merge-patch+json")
    assert (status, changed["spec"]) == (200, {"a": "y", "n": 9})


async def test_names_that_are_taken(api: Api) -> None:
    await define(api, definition())
    other = definition()
    other["metadata"]["name"] = "bars.g.example.com"
    other["spec"]["names"] = {"plural": "bars", "kind": "Foo"}
    await api.call("POST", CRDS, other)
    async with asyncio.timeout(10):
        while True:
            _, found = await api.call("GET", CRDS + "/bars.g.example.com")
            conditions = {one["type"]: one for one in found["status"]["conditions"] or ()}
            if "NamesAccepted" in conditions:
                break
            await asyncio.sleep(0.02)
    assert conditions["NamesAccepted"]["status"] == "False"
    assert conditions["NamesAccepted"]["message"] == '"FooList" is already in use'
    assert conditions["Established"]["reason"] == "NotAccepted"
    await api.call("DELETE", CRDS + "/foos.g.example.com")
    await api.until("/apis/g.example.com/v1/namespaces/default/bars", 200)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"group": ""}, "[metadata.name: Invalid value: \"foos.g.example.com\": must be spec.names.plural+\".\"+spec.group, "
                        "spec.group: Required value]"),
        ({"scope": "X"}, 'spec.scope: Unsupported value: "X": supported values: "Cluster", "Namespaced"'),
        ({"preserveUnknownFields": True},
         "[spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema, "
         "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
         "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead]"),
    ],
)  # fmt: skip
async def test_refused_definitions(api: Api, change: Obj, text: str) -> None:
    body = definition()
    body["spec"].update(change)
    status, answer = await api.call("POST", CRDS, body)
    assert status == 422
    assert answer["message"] == f'CustomResourceDefinition.apiextensions.k8s.io "foos.g.example.com" is invalid: {text}'


async def test_what_unpruned_objects_exclude(api: Api) -> None:
    body = definition()
    properties = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"].setdefault("properties", {})
    properties["fallback"] = {"type": "string", "default": "x"}
    client = {"url": "https://localhost/convert"}
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
    body["spec"] |= {"preserveUnknownFields": True, "conversion": {"strategy": "Webhook", "webhook": webhook}}
    status, answer = await api.call("POST", CRDS, body)
    assert status == 422
    assert sorted(cause["message"].rpartition(": ")[2] for cause in answer["details"]["causes"]) == [
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        "must be None if spec.preserveUnknownFields is true",
        "must be false in order to use defaults in the schema",
    ]
