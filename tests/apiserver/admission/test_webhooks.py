"""Webhooks: a real HTTPS server that answers reviews, and everything that can go wrong with one."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from apimachinery.clock import RealClock
from apimachinery.errors import ApiError
from apiserver import admission
from apiserver.registry.kind import Kind
from tests.apiserver.admission.support import Obj, World
from tests.support import certificates

Review = dict[str, Any]
GROUP = "admissionregistration.k8s.io"


class Hook:
    """The server behind the webhooks. answers: path -> what a review is answered with. asked: the reviews, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: dict[str, Callable[[Review], Awaitable[Any]]] = {}
        self.asked: list[tuple[str, Review]] = []
        self.url = self.bundle = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        review = await request.json()
        self.asked.append((request.path, review))
        answer = await self.answers[request.path](review)
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)

    def allow(self, path: str, allowed: bool = True, patch: list[Any] | None = None, **more: Any) -> None:
        async def answer(review: Review) -> Any:
            response = {"uid": review["request"]["uid"], "allowed": allowed, **more}
            if patch is not None:
                response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
            return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}

        self.answers[path] = answer

    def configure(self, kind: str, *webhooks: Obj, name: str = "w") -> None:
        complete = []
        for webhook in webhooks:
            path = webhook.pop("path", "/a")
            every = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "scope": "*"}
            base = {
                "name": f"{path[1:]}.example.com",
                "clientConfig": {"url": self.url + path, "caBundle": self.bundle},
                "rules": [every],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
            complete.append({**base, **webhook})
        obj = {"metadata": {"name": name}, "webhooks": complete}
        self.world.put(f"{kind}webhookconfigurations", obj, GROUP)


class ConfigMap(Kind):
    kind, plural = "ConfigMap", "configmaps"


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    world = World("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook", only=True)
    world.chain = admission.build(
        admission.Config(
            disable_admission_plugins=[e.name for e in admission.ORDER if e.default and "Webhook" not in e.name]
        ),
        reader=world.objects,
        writer=world.objects,
        authorizer=world.authz,
        clock=RealClock(),
    )
    hook = Hook(world)
    ca = certificates.authority("webhook-ca")
    cert, key = certificates.server(ca, "127.0.0.1", "hook.ns.svc")
    (tmp_path / "cert").write_bytes(cert)
    (tmp_path / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    app = web.Application()
    app.router.add_post("/{path:.*}", hook.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    hook.url, hook.bundle = f"https://127.0.0.1:{port}", base64.b64encode(ca.pem).decode()
    yield hook
    await world.chain.close()
    await runner.cleanup()


def configmap(**data: str) -> Obj:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", "namespace": "ns"}, "data": data}


async def create(hook: Hook, obj: Obj | None = None, **rest: Any) -> Any:
    return await hook.world.run("CREATE", "configmaps", obj or configmap(a="1"), **rest)


async def refusal(hook: Hook, code: int, **rest: Any) -> str:
    with pytest.raises(ApiError) as caught:
        await create(hook, **rest)
    assert caught.value.code == code
    return caught.value.message


async def test_what_a_webhook_sees(hook: Hook) -> None:
    hook.allow("/a", warnings=["careful"], auditAnnotations={"k": "v"})
    hook.configure("validating", {})
    a = await create(hook)
    ((_, review),) = hook.asked
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    request = review["request"]
    uid = request.pop("uid")
    assert len(uid) == 36
    assert request == {
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "c",
        "namespace": "ns",
        "operation": "CREATE",
        "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
        "object": configmap(a="1"),
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    assert a.warnings == ["careful"]
    assert a.annotations["a.example.com/k"] == "v"


async def test_refusals(hook: Hook) -> None:
    hook.configure("validating", {})
    hook.allow("/a", False, status={"message": "no", "code": 403, "reason": "Forbidden"})
    assert await refusal(hook, 403) == 'admission webhook "a.example.com" denied the request: no'
    hook.allow("/a", False)
    assert await refusal(hook, 400) == 'admission webhook "a.example.com" denied the request without explanation'


async def test_patches_one_after_the_other(hook: Hook) -> None:
    hook.allow("/a", patch=[{"op": "add", "path": "/data/b", "value": "2"}])
    hook.allow("/b", patch=[{"op": "replace", "path": "/data/b", "value": "3"}])
    hook.configure("mutating", {"path": "/a"}, {"path": "/b"})
    a = await create(hook)
    assert a.obj["data"] == {"a": "1", "b": "3"}
    assert hook.asked[1][1]["request"]["object"]["data"] == {"a": "1", "b": "2"}
    assert json.loads(a.annotations["mutation.webhook.admission.k8s.io/round_0_index_0"])["mutated"] is True


async def test_reinvocation(hook: Hook) -> None:
    hook.allow("/a", patch=[{"op": "add", "path": "/data/a", "value": "x"}])
    hook.allow("/b", patch=[{"op": "add", "path": "/data/b", "value": "x"}])
    hook.configure("mutating", {"path": "/a", "reinvocationPolicy": "IfNeeded"}, {"path": "/b"})
    await create(hook)
    assert [path for path, _ in hook.asked] == ["/a", "/b", "/a"]


async def test_a_patch_is_decoded_again(hook: Hook) -> None:
    hook.allow(
        "/a", patch=[{"op": "add", "path": "/nonsense", "value": 1}, {"op": "add", "path": "/data/b", "value": "2"}]
    )
    hook.configure("mutating", {})
    a = await create(hook, kind=ConfigMap())
    assert "nonsense" not in a.obj
    assert a.obj["data"] == {"a": "1", "b": "2"}
    hook.allow("/a", patch=[{"op": "add", "path": "/data/b", "value": 7}])
    with pytest.raises(ApiError) as caught:
        await create(hook, kind=ConfigMap())
    assert caught.value.code == 500


async def test_who_is_asked(hook: Hook) -> None:
    hook.allow("/a")
    rule = {"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    hook.configure("validating", {"rules": [rule]})
    await create(hook)
    assert not hook.asked
    await hook.world.run("UPDATE", "configmaps", configmap(), configmap())
    assert len(hook.asked) == 1
    hook.configure("validating", {"rules": [{**rule, "operations": ["*"], "resources": ["pods/*", "*/status"]}]})
    await create(hook)
    assert len(hook.asked) == 1
    await create(hook, subresource="status")
    assert len(hook.asked) == 2
    hook.configure("validating", {"objectSelector": {"matchLabels": {"a": "b"}}})
    await create(hook)
    assert len(hook.asked) == 2
    labelled = configmap()
    labelled["metadata"]["labels"] = {"a": "b"}
    await create(hook, labelled)
    assert len(hook.asked) == 3
    hook.configure("validating", {"namespaceSelector": {"matchLabels": {"x": "y"}}})
    await create(hook)
    assert len(hook.asked) == 3
    hook.world.put("namespaces", {"metadata": {"name": "ns", "labels": {"x": "y"}}})
    await create(hook)
    assert len(hook.asked) == 4
    hook.configure("validating", {"rules": [{**rule, "operations": ["*"], "resources": ["*"], "scope": "Cluster"}]})
    await create(hook)
    assert len(hook.asked) == 4


async def test_configurations_themselves_are_exempt(hook: Hook) -> None:
    hook.configure("validating", {"clientConfig": {"url": "https://127.0.0.1:1/x"}})
    await hook.world.run(
        "DELETE", "validatingwebhookconfigurations", None, {"metadata": {"name": "w"}}, group=GROUP, namespace=None
    )


async def test_dry_runs_need_a_promise(hook: Hook) -> None:
    hook.allow("/a")
    hook.configure("validating", {"sideEffects": "Some"})
    assert await refusal(hook, 400, dry_run=True) == 'admission webhook "a.example.com" does not support dry run'
    hook.configure("validating", {"sideEffects": "NoneOnDryRun"})
    await create(hook, dry_run=True)
    assert hook.asked[0][1]["request"]["dryRun"] is True


async def test_failures_close_or_open(hook: Hook) -> None:
    dead = {"url": "https://127.0.0.1:1/x"}
    hook.configure("validating", {"clientConfig": dead})
    assert await refusal(hook, 500) == (
        'Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: '
        'Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    hook.configure("validating", {"clientConfig": dead, "failurePolicy": "Ignore"})
    a = await create(hook)
    assert a.annotations["failed-open.validating.webhook.admission.k8s.io/round_0_index_0"] == "a.example.com"
    hook.configure("mutating", {"clientConfig": dead, "failurePolicy": "Ignore"})
    assert await create(hook)


async def test_an_unknown_authority(hook: Hook) -> None:
    stranger = base64.b64encode(certificates.authority("stranger").pem).decode()
    hook.configure("validating", {"clientConfig": {"url": hook.url + "/a", "caBundle": stranger}})
    assert (await refusal(hook, 500)).endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )


async def test_a_slow_webhook(hook: Hook) -> None:
    import asyncio

    released = asyncio.Event()

    async def slow(review: Review) -> Any:
        await released.wait()
        return {}

    hook.answers["/a"] = slow
    hook.configure("validating", {"timeoutSeconds": 1})
    try:
        assert (await refusal(hook, 500)).endswith('?timeout=1s": context deadline exceeded')
    finally:
        released.set()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({}, "received invalid webhook response: webhook response was absent"),
        ({"response": {"uid": "x", "allowed": True}}, 'got "x"'),
        (web.Response(status=404), "failed to call webhook: the server could not find the requested resource"),
        (
            web.Response(status=500, text="oops"),
            'an error on the server ("oops") has prevented the request from succeeding',
        ),
        (web.Response(text="no json"), "json parse error: json: cannot unmarshal string into Go value of type struct"),
        ([], "json: cannot unmarshal array into Go value of type struct"),
        (web.Response(body=b""), "0-length response with status code: 200 and content type: "),
        (
            {"apiVersion": "admission.k8s.io/v1", "kind": "Other"},
            'no kind "Other" is registered for version "admission.k8s.io/v1"',
        ),
        (
            {"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"},
            "converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion",
        ),
        (
            {"response": {"allowed": "yes"}},
            "json: cannot unmarshal string into Go struct field AdmissionResponse.response.allowed of type bool",
        ),
        ({"response": {"patch": "!!!"}}, "illegal base64 data at input byte 0"),
    ],
)
async def test_bad_answers(hook: Hook, answer: Any, text: str) -> None:
    async def bad(review: Review) -> Any:
        return answer

    hook.answers["/a"] = bad
    hook.configure("validating", {})
    assert text in await refusal(hook, 500)


@pytest.mark.parametrize(
    ("patch", "kind", "text"),
    [
        (b"{}", "JSONPatch", "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (b"[1]", "JSONPatch", "json: cannot unmarshal number into Patch.0 of type jsonpatch.Operation"),
        (b"[{}]", "MergePatch", 'unsupported patch type "MergePatch"'),
        (b'[{"op":"remove","path":"/data/x"}]', "JSONPatch", "Unable to remove nonexistent key: x: missing value"),
        (b'[{"op":"grow","path":"/data/x"}]', "JSONPatch", "Unexpected kind: grow"),
        (b'[{"op":"add"}]', "JSONPatch", "add operation failed to decode path: missing value"),
    ],
)
async def test_bad_patches(hook: Hook, patch: bytes, kind: str, text: str) -> None:
    async def answer(review: Review) -> Any:
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": kind}
        response["patch"] = base64.b64encode(patch).decode()
        return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}

    hook.answers["/a"] = answer
    hook.configure("mutating", {})
    assert text in await refusal(hook, 500)


async def test_a_validating_webhook_may_not_patch(hook: Hook) -> None:
    hook.allow("/a", patch=[{"op": "add", "path": "/data/b", "value": "2"}])
    hook.configure("validating", {})
    assert "validating webhook may not return response.patch" in await refusal(hook, 500)


async def test_a_service_is_reached_at_its_endpoints(hook: Hook) -> None:
    hook.allow("/a")
    config = {"service": {"namespace": "ns", "name": "hook", "path": "/a"}, "caBundle": hook.bundle}
    hook.configure("validating", {"clientConfig": config})
    assert 'Post "https://hook.ns.svc:443/a?timeout=10s": service "hook" not found' in await refusal(hook, 500)
    service = {"metadata": {"namespace": "ns", "name": "hook"}, "spec": {"ports": [{"name": "https", "port": 443}]}}
    hook.world.put("services", service)
    assert 'no endpoints available for service "hook"' in await refusal(hook, 500)
    piece = {
        "metadata": {"namespace": "ns", "name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "ports": [{"name": "https", "port": int(hook.url.rpartition(":")[2])}],
        "endpoints": [{"addresses": ["127.0.0.1"]}],
    }
    hook.world.put("endpointslices", piece, "discovery.k8s.io")
    await create(hook)
    assert len(hook.asked) == 1


async def test_the_first_refusal_counts(hook: Hook) -> None:
    hook.allow("/a", False, status={"message": "first"})
    hook.allow("/b", False, status={"message": "second"})
    hook.configure("validating", {"path": "/a"}, {"path": "/b"})
    assert "first" in await refusal(hook, 400)
    assert len(hook.asked) == 2


# -- match conditions


async def test_match_conditions_decide_whether_a_webhook_is_called(hook: Hook) -> None:
    hook.allow("/a", allowed=False)
    conditions = [
        {"name": "named", "expression": "object.data.call == 'yes'"},
        {
            "name": "who",
            "expression": "request.userInfo.username == 'admin' && authorizer.path('/x').check('get').allowed()",
        },
    ]
    hook.configure("validating", {"matchConditions": conditions})
    await create(hook, configmap(call="no"))
    assert hook.asked == []
    await refusal(hook, 400, obj=configmap(call="yes"))
    text = await refusal(hook, 403, obj=configmap(a="1"))
    assert "expression 'object.data.call == 'yes'' resulted in error: no such key: call" in text
    hook.configure("validating", {"matchConditions": conditions, "failurePolicy": "Ignore"})
    await create(hook, configmap(a="1"))
    assert len(hook.asked) == 1
