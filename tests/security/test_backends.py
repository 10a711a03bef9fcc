"""Webhooks and aggregated servers that mean ill: answers that redirect, do not end, are too large or of the wrong kind, and
patches that touch what is not theirs. None may steer a request elsewhere, hold it for ever, or write past the rules."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support import servers
from tests.support.apiserver import APPLY, Answer, Api, Obj
from tests.support.rights import allow, user
from tests.support.wire import Wire

ROOT = "/apis/ext.example.com/v1"
CMS = "/api/v1/namespaces/default/configmaps"
HOOKS = "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations"
Answering = Callable[[web.BaseRequest, Obj], web.StreamResponse | Obj]


@dataclass
class Backend:
    """A TLS server whose answer is what `answer` makes of a request and its decoded body. asked: the requests' paths."""

    answer: Callable[[web.BaseRequest, Obj], Any] = lambda request, body: {}
    asked: list[str] = field(default_factory=list)
    bodies: list[Obj] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    bundle: str = ""
    port: int = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("X-Remote-User", "").startswith("system:"):  # the aggregator itself
            if request.path != ROOT:
                return web.Response(status=404)
            return web.json_response({"kind": "APIResourceList", "groupVersion": "ext.example.com/v1", "resources": []})
        raw = await request.read()
        body = json.loads(raw) if raw[:1] == b"{" else {}
        self.asked.append(request.path_qs)
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        made = self.answer(request, body)
        if asyncio.iscoroutine(made):
            made = await made
        return made if isinstance(made, web.StreamResponse) else web.json_response(made)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    made = Backend()
    async with servers.listening(tmp_path, made.serve, "127.0.0.1", "ext.default.svc") as listener:
        made.port, made.bundle, made.url = listener.port, listener.bundle, f"https://127.0.0.1:{listener.port}"
        yield made


# -- webhooks


async def hook(api: Api, backend: Backend, kind: str = "mutating", **more: Any) -> None:
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps"], "scope": "*"}
    webhook = {
        "name": "w.example.com",
        "clientConfig": {"url": f"{backend.url}/hook", "caBundle": backend.bundle},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
        **more,
    }
    made = await api.post(HOOKS.format(kind), {"metadata": {"name": kind}, "webhooks": [webhook]})
    assert made.code == 201, made.raw


def patching(*ops: Obj) -> Answering:
    def answer(request: web.BaseRequest, review: Obj) -> Obj:
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch"}
        response["patch"] = base64.b64encode(json.dumps(ops).encode()).decode()
        return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}

    return answer


async def create(api: Api, name: str = "a", **more: Any) -> Answer:
    return await api.post(CMS, {"metadata": {"name": name}, "data": {"a": "1"}}, **more)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_webhook_leads_nowhere(api: Api, backend: Backend, code: int) -> None:
    backend.answer = lambda request, review: web.Response(status=code, headers={"Location": f"{backend.url}/elsewhere"})
    for kind in ("mutating", "validating"):
        await hook(api, backend, kind)
    answer = await create(api)
    assert answer.code == 500
    assert backend.asked == ["/hook?timeout=2s"]
    assert (await api.get(f"{CMS}/a")).code == 404


async def _endless(request: web.BaseRequest, review: Obj) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    await stream.write(b'{"response":{"uid":"')
    while True:
        await stream.write(b"a" * 65536)


async def _slow(request: web.BaseRequest, review: Obj) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    while True:
        await stream.write(b" ")
        await asyncio.sleep(0.1)


def _bomb(request: web.BaseRequest, review: Obj) -> web.StreamResponse:
    packed = gzip.compress(b'{"response":' + b" " * 200_000_000 + b"}", 1)
    return web.Response(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


def _deep(request: web.BaseRequest, review: Obj) -> web.StreamResponse:
    return web.Response(body=b'{"response":' + b"[" * 200_000 + b"]" * 200_000 + b"}", content_type="application/json")


ILL: dict[str, Any] = {
    "endless": _endless,
    "slow": _slow,
    "bomb": _bomb,
    "deep": _deep,
    "upgrade": lambda request, review: web.Response(status=101, headers={"Upgrade": "x", "Connection": "upgrade"}),
    "page": lambda request, review: web.Response(text="<html>canary-of-a-login-page</html>", content_type="text/html"),
    "status": lambda request, review: web.Response(status=200, text='{"kind":"Status","status":"Success"}'),
    "no content": lambda request, review: web.Response(status=204),
    "nothing": lambda request, review: web.Response(body=b""),
    "yaml": lambda request, review: web.Response(body=b"response: {allowed: true}", content_type="application/yaml"),
}


@pytest.mark.parametrize("name", ILL)
async def test_an_ill_answer_is_a_refusal_in_time(api: Api, backend: Backend, name: str) -> None:
    backend.answer = ILL[name]
    await hook(api, backend)
    async with asyncio.timeout(20):
        answer = await create(api)
    assert answer.code == 500
    assert len(answer.raw) < 100_000
    assert (await api.get(f"{CMS}/a")).code == 404
    assert (await api.get("/livez")).code == 200


TOUCHING: list[tuple[list[Obj], int]] = [
    ([{"op": "replace", "path": "/metadata/name", "value": "renamed"}], 0),
    ([{"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}], 0),
    ([{"op": "add", "path": "/metadata/uid", "value": "00000000-0000-0000-0000-000000000001"}], 0),
    ([{"op": "add", "path": "/metadata/resourceVersion", "value": "1"}], 0),
    ([{"op": "add", "path": "/metadata/creationTimestamp", "value": "2000-01-01T00:00:00Z"}], 0),
    ([{"op": "add", "path": "/metadata/managedFields", "value": []}], 0),
    ([{"op": "add", "path": "/metadata/managedFields", "value": [{"manager": "forged", "operation": "Update"}]}], 0),
    ([{"op": "replace", "path": "/kind", "value": "Secret"}], 0),
    ([{"op": "replace", "path": "/apiVersion", "value": "v2"}], 0),
    ([{"op": "replace", "path": "", "value": {}}], 0),
    ([{"op": "replace", "path": "", "value": None}], 0),
    ([{"op": "remove", "path": "/metadata"}], 0),
    ([{"op": "add", "path": "/metadata/labels", "value": {"not a label": "!"}}], 422),
    ([{"op": "add", "path": "/data", "value": {"../x": "y"}}], 422),
    ([{"op": "add", "path": "/data", "value": {"a": "x" * 2_000_000}}], 422),
]


@pytest.mark.parametrize(("ops", "code"), TOUCHING, ids=[str(ops)[:60] for ops, _ in TOUCHING])
async def test_a_patch_keeps_to_what_an_object_may_become(
    api: Api, backend: Backend, ops: list[Obj], code: int
) -> None:
    """Refused, or without what it tried: identity and history of an object are not a webhook's."""
    before = (await create(api, "old")).body
    await hook(api, backend)
    backend.answer = patching(*ops)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1"}}
    for answer in (
        await create(api),
        await api.patch(f"{CMS}/b", {**body, "metadata": {"name": "b"}}, APPLY, fieldManager="m"),
        await api.patch(f"{CMS}/old", {"data": {"b": "2"}}),
        await api.put(f"{CMS}/old", {**before, "data": {"b": "3"}}),
    ):
        assert answer.code == code or (not code and answer.code in (200, 201, 400, 409, 422, 500)), answer.raw
        if answer.code >= 400:
            continue
        meta = answer.body["metadata"]
        assert (answer.body["kind"], answer.body["apiVersion"]) == ("ConfigMap", "v1")
        assert meta["name"] in (
            "a",
            "b",
            "old",
            "renamed",
        )  # a new object's name may be a webhook's, as in the original
        assert meta["namespace"] == "default"
        assert not meta["uid"].startswith("00000000")
        assert meta["creationTimestamp"] > "2020"
        assert int(meta["resourceVersion"]) > 1
        assert "forged" not in json.dumps(meta)
    found = (await api.get(f"{CMS}/old")).body
    assert (found["metadata"]["uid"], found["metadata"]["name"]) == (before["metadata"]["uid"], "old")
    names = {item["metadata"]["name"] for item in (await api.get(CMS)).body["items"]}
    assert names <= {"a", "b", "old", "renamed", "kube-root-ca.crt"}
    assert (await api.get("/api/v1/namespaces/kube-system/configmaps/a")).code == 404


async def test_copies_of_copies_end(api: Api, backend: Backend) -> None:
    copies = [{"op": "add", "path": "/data/x", "value": "y" * 1000}]
    copies += [{"op": "copy", "from": "/data", "path": f"/data/a{at}"} for at in range(60)]
    backend.answer = patching(*copies)
    await hook(api, backend)
    async with asyncio.timeout(20):
        answer = await create(api)
    assert answer.code in (413, 422, 500)
    assert len(answer.raw) < 100_000


# -- aggregated servers


async def register(api: Api, backend: Backend) -> None:
    """An APIService that the backend answers, available."""
    await servers.service(api, "ext", backend.port)
    spec = {
        **{"group": "ext.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 5},
        **{"caBundle": backend.bundle, "service": {"namespace": "default", "name": "ext"}},
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    made = await api.post(path, {"metadata": {"name": "v1.ext.example.com"}, "spec": spec})
    assert made.code == 201, made.raw
    async with api.watch(path, fieldSelector="metadata.name=v1.ext.example.com") as events:
        while True:
            conditions = (await events.next())["object"].get("status", {}).get("conditions") or [{}]
            if conditions[0].get("status") == "True":
                break
    backend.asked.clear()
    backend.headers.clear()


@pytest.fixture
async def remote(api: Api, backend: Backend) -> Backend:
    await register(api, backend)
    return backend


async def test_no_redirect_of_a_server_is_followed_or_told(api: Api, remote: Backend) -> None:
    for code in (301, 302, 303, 307, 308):
        remote.answer = lambda request, body, code=code: web.Response(
            status=code, headers={"Location": "https://127.0.0.1:1/"}
        )
        answer = await api.get(f"{ROOT}/things")
        assert answer.code == 502
        assert "Location" not in answer.headers
    assert remote.asked == [f"{ROOT}/things"] * 5


async def test_what_reaches_a_server_says_who_asks_and_nothing_else(api: Api, remote: Backend) -> None:
    await allow(api, "plain", {"apiGroups": ["ext.example.com"], "resources": ["*"], "verbs": ["*"]})
    lies = (
        *("X-Remote-User: admin", "x-remote-group: system:masters", "X_Remote_User: admin", "X-REMOTE-EXTRA-A: b"),
        *(
            "X-Remote-Uid: 0",
            "Impersonate_User: admin",
            "Proxy-Authorization: Basic YTpi",
            "X_Remote_Group: system:masters",
        ),
    )
    tricks = (
        "X-Remote-User",
        "X-Remote-Group, X-Remote-Uid",
        "close, x-remote-user",
        "keep-alive, Host, X-Forwarded-For",
    )
    async with Wire.to(user(api)) as wire:
        for trick in tricks:
            for more in ((), ("Upgrade: chat",)):
                connection = f"Connection: {trick}" + (", Upgrade" if more else "")
                await wire.ask(wire.request("GET", f"{ROOT}/things", None, connection, *more, *lies))
    assert len(remote.headers) == 8
    for headers in remote.headers:
        stated = {name: value for name, value in headers.items() if name.replace("_", "-").startswith("x-remote")}
        assert stated.pop("x-remote-group") in ("team-a", "system:authenticated")
        assert stated == {"x-remote-user": "plain", "x-remote-uid": "plain-uid"}
        assert not {name for name in headers if "impersonate" in name or "authorization" in name}


async def test_no_path_reaches_a_server_that_was_not_authorised(api: Api, remote: Backend) -> None:
    await allow(
        api,
        "plain",
        {"apiGroups": ["ext.example.com"], "resources": ["things"], "verbs": ["get", "list"]},
        {"nonResourceURLs": ["/apis/*"], "verbs": ["*"]},
    )
    async with Wire.to(user(api)) as wire:
        for tail in (
            *(
                "namespaces/a/things/%2e%2e/secrets",
                "namespaces/a/things/..%2fsecrets",
                "namespaces/a/things/../secrets",
            ),
            *("things%2f..%2fsecrets", "%2e%2e/v2/secrets", "..%2f..%2fapi/v1/secrets", "namespaces/a%2fsecrets/b"),
            *(
                "namespaces//secrets",
                "/secrets",
                "things//secrets",
                "things/./secrets",
                "things;/secrets",
                "%00/secrets",
            ),
            *("namespaces/a/secrets", "secrets", "secrets/x", "things/x/secrets"),
        ):
            answer = await wire.ask(wire.request("GET", f"{ROOT}/{tail}"))
            assert answer.code in (400, 403, 404), tail
        for beginning in ("/apis/ext.example.com%2fv1", "/apis/ext.example.com/v1%2f", "/apis%2fext.example.com/v1"):
            answer = await wire.ask(wire.request("GET", f"{beginning}/secrets"))
            assert answer.code in (400, 403, 404), beginning
    assert not remote.asked


async def test_ill_answers_of_a_server_do_no_harm(api: Api, remote: Backend) -> None:
    for name in ("upgrade", "page", "no content", "nothing", "deep"):
        remote.answer = ILL[name]
        async with asyncio.timeout(20):
            answer = await api.get(f"{ROOT}/things")
        assert answer.code in (200, 204, 502, 503), name
    for name in ("endless", "slow"):
        remote.answer = ILL[name]
        async with (
            asyncio.timeout(20),
            api.session.get(api.url + f"{ROOT}/things", headers={"Authorization": f"Bearer {api.token}"}) as response,
        ):
            assert await response.content.readany()
    assert (await api.get("/livez")).code == 200
    assert (await api.get("/apis")).code == 200
