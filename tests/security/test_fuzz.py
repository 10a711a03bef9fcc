"""Thousands of odd requests, the same in every run: whatever is sent, no request finds a bug (a 500 with a logged traceback)."""

from __future__ import annotations

import logging

import pytest

from apiserver.registry.kind import Kind
from tests.support.apiserver import APPLY, JSON_PATCH, MERGE, STRATEGIC, Answer, Api
from tests.support.chaos import WORDS, Chaos, Obj, builtin
from tests.support.wire import Wire

JSON = "application/json"
# Kinds that change how the server treats later requests; they are tried out and not kept.
DISRUPTIVE = (
    "admissionregistration.k8s.io",
    "apiregistration.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "apiextensions.k8s.io",
)
ROUNDS = 6
ACCEPTS = (
    JSON,
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
    "text/plain",
    "*/*",
)


def fault(answer: Answer) -> bool:
    """Whether the answer is that to a bug. Some errors are plain 500s in the original too; those have no reason."""
    return answer.code == 0 or (answer.code == 500 and b"its log says why" in answer.raw)


def paths(kind: Kind, version: str, name: str) -> tuple[str, str]:
    """(collection, object) in the default namespace."""
    root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    collection = f"{root}/namespaces/default/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    return collection, f"{collection}/{name}"


class Run:
    """What is sent, and what came of it."""

    def __init__(self, wire: Wire, seed: int) -> None:
        self.wire = wire
        self.chaos = Chaos(seed)
        self.faults: list[str] = []
        self.codes: dict[int, int] = {}

    async def send(
        self, method: str, path: str, body: bytes | None = None, media_type: str = JSON, query: str = ""
    ) -> Answer:
        pick = self.chaos.random
        headers = [f"Accept: {pick.choice(ACCEPTS) if pick.random() < 0.3 else JSON}"]
        if body is not None:
            headers.append(f"Content-Type: {media_type}")
        target = path + ("?" + query if query else "")
        answer = await self.wire.ask(self.wire.request(method, target, body, *headers), head=method == "HEAD")
        self.codes[answer.code] = self.codes.get(answer.code, 0) + 1
        if fault(answer):
            self.faults.append(f"{answer.code} {method} {target[:300]} {media_type} {(body or b'')[:3000]!r}")
        return answer

    async def kind(self, kind: Kind, version: str, rounds: int) -> None:
        chaos, pick = self.chaos, self.chaos.random
        always = "dryRun=All" if kind.group in DISRUPTIVE else ""
        for number in range(rounds):
            chaos.wrong = (0.0, 0.002, 0.03)[number % 3]
            name = f"{kind.plural}.x.io" if kind.plural == "customresourcedefinitions" else f"n{number}"
            collection, path = paths(kind, version, name)
            obj = chaos.object(kind, version, name)
            query = "&".join(filter(None, (always, chaos.query())))
            await self.send("POST", collection, chaos.body(obj), query=query)
            if not kind.stored:
                continue
            await self.send("POST", collection, chaos.body(self.plain(kind, version, name)), query=always)
            await self.send("PUT", path, chaos.body(obj), query=query)
            patches = (
                (JSON_PATCH, chaos.json_patch(obj)),
                (MERGE, chaos.strategic(obj)),
                (STRATEGIC, chaos.strategic(obj)),
                (APPLY, obj),
            )
            for media_type, patch in patches:
                extra = "fieldManager=f&force=1" if media_type == APPLY and pick.random() < 0.9 else ""
                asked = "&".join(filter(None, (always, extra, chaos.query() if pick.random() < 0.3 else "")))
                await self.send("PATCH", path, chaos.body(patch), media_type, asked)
            for sub in kind.subresources:
                if sub.name in ("exec", "attach", "portforward", "proxy", "log"):
                    continue
                for method in ("GET", "PUT", "POST"):
                    await self.send(
                        method, f"{path}/{sub.name}", chaos.body(obj) if method != "GET" else None, query=always
                    )
            await self.send("GET", path, query=chaos.query())
            await self.send("GET", collection, query=chaos.query())
            await self.send("DELETE", path, chaos.body(chaos.value(None)) if pick.random() < 0.3 else None, query=query)

    @staticmethod
    def plain(kind: Kind, version: str, name: str) -> Obj:
        """The least that some kinds accept, so that patches have something to change."""
        return {"kind": kind.kind, "apiVersion": kind.api_version(version), "metadata": {"name": name}}


@pytest.fixture
def only_errors(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR)
    return caplog


async def test_bodies_of_every_kind_find_no_bug(api: Api, only_errors: pytest.LogCaptureFixture) -> None:
    async with Wire.to(api) as wire:
        run = Run(wire, seed=1)
        for kind, version in builtin():
            await run.kind(kind, version, ROUNDS)
    assert not run.faults, f"{len(run.faults)} faults\n" + "\n".join(run.faults[:5]) + only_errors.text[-4000:]
    assert not only_errors.records
    assert run.codes.get(201, 0) > 50
    assert run.codes.get(200, 0) > 100


METHODS = ("GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO")


async def test_paths_find_no_bug(api: Api, only_errors: pytest.LogCaptureFixture) -> None:
    async with Wire.to(api) as wire:
        run = Run(wire, seed=2)
        pick = run.chaos.random
        known = [
            "api",
            "apis",
            "v1",
            "apps",
            "namespaces",
            "default",
            "pods",
            "deployments",
            "status",
            "scale",
            "watch",
            "proxy",
            "nodes",
        ]
        known += [
            "openapi",
            "v2",
            "v3",
            "healthz",
            "readyz",
            "livez",
            "metrics",
            "version",
            "log",
            "exec",
            "token",
            "binding",
            "eviction",
        ]
        known += ["%2f", "%2e%2e", "..", ".", "", "%00", "%ff", "%zz", "a" * 300, "x:y", "https:x:1", ";a=b", "*"]
        known += [
            word for word in WORDS if word.isascii() and word.isprintable() and " " not in word and len(word) < 600
        ]
        for _ in range(2000):
            path = "/" + "/".join(
                pick.choice(known[:13] if pick.random() < 0.7 else known) for _ in range(pick.randrange(1, 9))
            )
            if "/watch" in path or pick.random() < 0.2:
                query = "timeoutSeconds=1&resourceVersion=99999999999&" + run.chaos.query()
                query = query if "/watch" not in path else "labelSelector=(("
            else:
                query = run.chaos.query()
            method = pick.choice(METHODS)
            if method == "DELETE" and path.count("/") < 6:
                query = "dryRun=All"
            await run.send(
                method, path.replace("#", ""), b"{}" if method in ("POST", "PUT", "PATCH") else None, query=query
            )
    assert not run.faults, f"{len(run.faults)} faults\n" + "\n".join(run.faults[:5]) + only_errors.text[-4000:]
    assert not only_errors.records


async def test_torn_protobuf_finds_no_bug(api: Api, only_errors: pytest.LogCaptureFixture) -> None:
    media_type = "application/vnd.kubernetes.protobuf"
    async with Wire.to(api) as wire:
        run = Run(wire, seed=3)
        pick = run.chaos.random
        for path in (
            "/api/v1/namespaces/default/services",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "/api/v1/namespaces",
        ):
            listed = await wire.ask(wire.request("GET", path + "?limit=1", None, "Accept: application/json"))
            name = listed.body["items"][0]["metadata"]["name"]
            whole = await wire.ask(wire.request("GET", f"{path}/{name}", None, f"Accept: {media_type}"))
            assert whole.raw[:4] == b"k8s\0"
            for _ in range(400):
                torn = bytearray(whole.raw)
                for _ in range(pick.choice((1, 2, 5))):
                    at = pick.randrange(len(torn))
                    torn[at : at + pick.choice((0, 1, 1, 9))] = pick.choice(
                        (b"\xff", b"\x00", b"", pick.randbytes(4), b"\xff" * 10)
                    )
                await run.send("PUT", f"{path}/{name}", bytes(torn), media_type, "dryRun=All")
    assert not run.faults, f"{len(run.faults)} faults\n" + "\n".join(run.faults[:5]) + only_errors.text[-4000:]
    assert not only_errors.records
