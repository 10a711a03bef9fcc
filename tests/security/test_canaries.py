"""What is secret appears nowhere but where it was asked for: canaries in headers, bodies and files, and a look at every log line,
audit event, metric, Event, crash and error message."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from apiserver import audit
from apiserver.authn import tokenfile
from apiserver.storage.encryption import configuration
from client import kubeconfig
from steersman import kubeconfig as own_kubeconfig
from tests.support import servers
from tests.support.apiserver import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, Obj, running
from tests.support.issuer import encode

CANARY = "kanarienvogel0123456789abcdef"
PROTOCOL = "base64url.bearer.authorization.k8s.io."
PACKED = base64.b64encode(CANARY.encode()).decode()
SECRETS = "/api/v1/namespaces/default/secrets"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
NEEDLES = (CANARY, PACKED, encode(CANARY.encode()), CANARY[:16], CANARY[-16:])


def clean(text: str) -> bool:
    return not any(needle in text for needle in NEEDLES)


async def with_headers(api: Api) -> None:
    """Credentials of every scheme, none of which is right."""
    head, claims = (encode(json.dumps(part).encode()) for part in ({"alg": "ES256"}, {"iss": "x", "jti": CANARY}))
    forged = f"{head}.{claims}.{CANARY}"
    socket = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    told: list[dict[str, str]] = [
        {"Authorization": f"Bearer {CANARY}"},
        {"Authorization": f"Bearer {forged}"},
        {"Authorization": f"Bearer abcdef.{CANARY[:16]}"},
        {"Authorization": f"Bearer  {CANARY}"},
        {"Authorization": f"Basic {PACKED}"},
        {"Authorization": CANARY},
        {"Cookie": f"session={CANARY}", "Proxy-Authorization": f"Bearer {CANARY}"},
        {**socket, "Authorization": "", "Sec-WebSocket-Protocol": f"{PROTOCOL}{encode(CANARY.encode())}, v4"},
        {"X-Remote-User": CANARY, "X-Api-Key": CANARY},
    ]
    for headers in told:
        await api.ask("GET", "/api/v1/namespaces", headers=headers)
        await api.ask("GET", f"{SECRETS}/none", headers=headers)
    for line in (
        f"GET / HTTP/1.1\r\nAuthorization: Bearer {CANARY}\r\nBad Header {CANARY}\r\n\r\n",
        f"GE\x00T {CANARY}\r\n\r\n",
    ):
        await api.raw(line.encode())


async def with_bodies(api: Api) -> list[str]:
    """Secrets that are taken and that are refused, in every form. The texts of refusals."""
    data = {"a": PACKED}
    good: Obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}
    bodies: list[Any] = [
        good,
        {**good, "metadata": {"name": "Bad_Name"}},
        {**good, "data": {"../x": PACKED}},
        {**good, "data": {"a": CANARY + "!"}},
        {**good, "data": [PACKED]},
        {**good, "data": PACKED},
        {**good, "stringData": {"a": [CANARY]}},
        {**good, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": PACKED}},
        {**good, "type": "kubernetes.io/tls"},
        {**good, "type": "kubernetes.io/basic-auth", "stringData": {"password": CANARY}},
        {**good, "unknown": {"password": CANARY}},
        json.dumps(good).encode()[:-2],
        json.dumps(good).encode() + PACKED.encode(),
        json.dumps(good).replace('"data"', '"data": {"b": "' + PACKED + '"}, "data"').encode(),
        b'{"kind":"Secret","data":{"a":"' + PACKED.encode() + b'\xff"}}',
    ]
    texts = []
    for body in bodies:
        for more in ({"fieldValidation": "Strict"}, {"dryRun": "All"}, {}):
            texts.append(_text(await api.post(SECRETS, body, **more)))
    for head, content in (
        ("application/yaml", f"kind: Secret\ndata: {{a: {PACKED}\nb: ]".encode()),
        ("application/vnd.kubernetes.protobuf", b"k8s\x00\x0a\x04\x0a\x02v1" + CANARY.encode()),
        ("application/cbor", CANARY.encode()),
        (f"application/{CANARY}", b"{}"),
    ):
        answer = await api.ask("POST", SECRETS, content, headers={"Content-Type": head})
        texts.append(_text(answer) if CANARY not in head else "")
    ops = [{"op": "test", "path": "/data/a", "value": CANARY}, {"op": "add", "path": "/data/a/b", "value": CANARY}]
    for media_type, patch in (
        *((JSON_PATCH, [op]) for op in ops),
        (JSON_PATCH, [{"op": "add", "path": "/data/b", "value": {"x": CANARY}}]),
        *((kind, {"data": {"a": {"x": CANARY}}}) for kind in (MERGE, STRATEGIC)),
        *((kind, {"data": {"..": PACKED}}) for kind in (MERGE, STRATEGIC)),
        (APPLY, {**good, "data": {"a": {"x": CANARY}}}),
        (APPLY, {**good, "data": {"a": PACKED + "x"}}),
        (APPLY, f"data: {{a: {PACKED}\nb: ]".encode()),
        (MERGE, b'{"data": {"a": "' + PACKED.encode()),
    ):
        more = {"fieldManager": "m"} if media_type == APPLY else {}
        await api.patch(
            f"{SECRETS}/s", patch, media_type, **more
        )  # who may patch is shown the outcome, in refusals too
    await api.patch(f"{SECRETS}/s", {"immutable": True})
    texts.append(_text(await api.patch(f"{SECRETS}/s", {"stringData": {"a": CANARY + "x"}})))
    return texts


def _text(answer: Any) -> str:
    return answer.raw.decode("utf-8", "replace") if answer.code >= 400 else ""


async def with_tokens(api: Api) -> list[str]:
    """Tokens that were issued, and reviews of others. The signatures to look for."""
    await api.post(ACCOUNTS, {"metadata": {"name": "bot"}})
    issued = (await api.post(f"{ACCOUNTS}/bot/token", {})).body["status"]["token"]
    await api.ask("GET", "/api", headers={"Authorization": f"Bearer {issued}"})
    await api.ask("GET", "/api", headers={"Authorization": f"Bearer {issued}x"})
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    for token in (CANARY, issued, f"{issued[:-3]}{CANARY}"):
        answer = await api.post(reviews, {"spec": {"token": token}})
        assert token not in answer.body["status"].get("error", "")
        await api.post(reviews, {"spec": {"token": [token]}})
    return [issued.rpartition(".")[2]]


async def with_webhook(api: Api, folder: Path) -> None:
    """A webhook that is shown Secrets and fails, one that refuses, and one that cannot be read."""

    async def failing(request: web.BaseRequest) -> web.StreamResponse:
        assert CANARY in (await request.text()) or PACKED in (await request.text())
        return web.Response(status=500) if request.path == "/fail" else web.json_response([])

    async with servers.listening(folder, failing, "127.0.0.1") as listener:
        for name in ("fail", "odd"):
            rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["secrets"]}
            webhook = {
                "name": f"{name}.example.com",
                "clientConfig": {"url": f"https://127.0.0.1:{listener.port}/{name}", "caBundle": listener.bundle},
                "rules": [rule],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
            path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
            assert (await api.post(path, {"metadata": {"name": name}, "webhooks": [webhook]})).code == 201
            refused = await api.post(SECRETS, {"metadata": {"name": "w"}, "stringData": {"a": CANARY}})
            assert refused.code == 500
            assert clean(_text(refused))
            await api.delete(f"{path}/{name}")


async def with_crash(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the midst of a write of a Secret."""

    def broken(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("apiserver.kinds.core.secret.SecretKind.validate", broken)
    headers = {"X-Canary": CANARY}
    answer = await api.ask(
        "POST", f"{SECRETS}?x=1", {"metadata": {"name": "c"}, "stringData": {"a": CANARY}}, headers=headers
    )
    assert answer.code == 500
    assert clean(_text(answer))
    monkeypatch.undo()


async def test_no_canary_sings(
    server_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    rules = [{"level": "Metadata"}]
    policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
    config = audit.Config(audit_policy_file=policy, audit_log_path=str(log))
    async with running(server_folder, audit=config) as api:
        await with_headers(api)
        for text in await with_bodies(api):
            assert clean(text), text
        signatures = await with_tokens(api)
        await with_webhook(api, tmp_path)
        await with_crash(api, monkeypatch)
        seen = {
            "metrics": (await api.get("/metrics")).raw.decode(),
            "events": (await api.get("/api/v1/events")).raw.decode(),
            "flow control": (
                await api.get("/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1")
            ).raw.decode(),
            "configuration": (await api.get("/configz")).raw.decode(),
        }
    assert "RuntimeError: a bug" in caplog.text
    seen["logs"] = caplog.text
    seen["audit"] = await asyncio.to_thread(log.read_text)
    assert seen["audit"].count("\n") > 50
    for where, text in seen.items():
        for line in text.splitlines():
            assert clean(line), (where, line)
            assert not any(signature in line for signature in signatures), (where, line)
            assert "admintoken" not in line, (where, line)


# -- files that cannot be loaded

AES = {"aescbc": {"keys": [{"name": "k", "secret": PACKED}]}}


@pytest.mark.parametrize(
    "text",
    [
        f"kind: EncryptionConfiguration\nsecret: '{PACKED}\n",
        f"secret: {PACKED}\n",
        f"{PACKED}\n",
        f"{{secret: {PACKED}: [}}",
        f'{{"secret": "{PACKED}"',
        *(
            yaml.safe_dump(
                {
                    "apiVersion": "apiserver.config.k8s.io/v1",
                    "kind": "EncryptionConfiguration",
                    "resources": [{"resources": ["secrets"], "providers": [provider]}],
                }
            )
            for provider in (
                AES,
                {"aescbc": {"keys": [{"name": "k", "secret": CANARY + "!"}]}},
                {"aescbc": {"keys": [{"name": "k", "secret": [CANARY]}]}},
                {"aescbc": {"keys": {"secret": CANARY}}},
                {"aescbc": {"secrets": CANARY}},
                {"secretbox": {"keys": [{"name": "k", "secret": PACKED}, {"name": "k", "secret": PACKED}]}},
                {"aesgcm": CANARY},
            )
        ),
    ],
)
def test_keys_are_in_no_error_of_their_file(text: str) -> None:
    with pytest.raises(configuration.ConfigError) as caught:
        configuration.load(text.encode())
    assert clean(str(caught.value))
    assert clean(repr(caught.value.__cause__))


KUBECONFIGS = (
    f"users:\n- name: a\n  user: {{token: '{CANARY}\n",
    f"users: [{{name: a, user: {{token: {CANARY}}}]",
    f"{CANARY}",
    f"users: {CANARY}",
    f"users:\n- user: {{client-key-data: '{CANARY}!'}}\n  name: a\ncurrent-context: a\n"
    "contexts: [{name: a, context: {user: a, cluster: a}}]\nclusters: [{name: a, cluster: {server: 'https://a'}}]\n",
)


@pytest.mark.parametrize("text", KUBECONFIGS)
def test_credentials_are_in_no_error_of_a_kubeconfig(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    errors = (kubeconfig.KubeconfigError, own_kubeconfig.KubeconfigError)
    with pytest.raises(errors) as caught:
        kubeconfig.load(path)
    assert clean(str(caught.value))
    told = ""
    try:
        _merged(path)
    except errors as error:
        told = str(error)
    assert clean(told)


def _merged(path: Path) -> None:
    own_kubeconfig.merge(path, {"clusters": [], "users": [], "contexts": [], "current-context": "a"})


def test_tokens_are_in_no_error_of_their_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tokens.csv"
    for text in (f"{CANARY},a\n", f'"{CANARY},a,b\n', f'{CANARY},"a"b,c\n', f"{CANARY},a,b\n{CANARY},c,d\n", CANARY):
        path.write_text(text)
        told = ""
        try:
            tokenfile.read_csv(path)
        except ValueError as error:
            told = str(error)
        assert clean(told)
    assert clean(caplog.text)
