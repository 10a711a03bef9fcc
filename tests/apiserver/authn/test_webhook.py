"""Bearer tokens that a webhook is asked about, against a real server over TLS.

The texts of refusals are those that kube-apiserver 1.36.2 gave for the same answers.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery import filewatch
from apimachinery.clock import ControlledClock
from apiserver import authn
from apiserver.authn.service import Authentication
from tests.support import certificates, servers
from tests.support.reader import MemoryObjects

API = "https://kubernetes.default.svc.cluster.local"
BOB = {"authenticated": True, "user": {"username": "bob", "uid": "u", "groups": ["g"], "extra": {"a": ["b"]}}}
REVIEWED = {
    "authenticated": True,
    "user": {"username": "bob", "uid": "u", "groups": ["g", "system:authenticated"], "extra": {"a": ["b"]}},
    "audiences": [API],
}


class Hook:
    """answers: by token; an int is a status, a list gives one after the other. asked: the reviews that came."""

    def __init__(self, version: str = "v1") -> None:
        self.version = version
        self.answers: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.read())
        self.asked.append(review)
        self.headers.append(request.headers.get("Authorization", ""))
        answer = self.answers.get(review["spec"]["token"], {"authenticated": False})
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, int):
            return web.Response(status=answer, text="oops")
        if isinstance(answer, str):
            return web.Response(text=answer)
        return web.json_response(
            {"apiVersion": f"authentication.k8s.io/{self.version}", "kind": "TokenReview", "status": answer}
        )


@asynccontextmanager
async def asking(
    folder: Path, hook: Hook, *, user: dict[str, str] | None = None, client_ca: Path | None = None, **config: Any
) -> AsyncIterator[tuple[Authentication, ControlledClock]]:
    clock = ControlledClock()
    async with servers.listening(folder, hook.answer, client_ca=client_ca) as listener:
        path = folder / "webhook.kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{listener.port}/auth", "certificate-authority-data": listener.bundle}
        path.write_text(
            yaml.safe_dump(
                {
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": user or {"token": "hook-secret"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        made = authn.build(
            authn.Config(
                authentication_token_webhook_config_file=path,
                authentication_token_webhook_version=hook.version,
                **config,
            ),
            MemoryObjects(),
            clock,
        )
        try:
            yield made, clock
        finally:
            await made.close()


async def review(made: Authentication, token: str, **spec: Any) -> dict[str, Any]:
    status: dict[str, Any] = (await made.token_review({"spec": {"token": token, **spec}}))["status"]
    return status


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_what_is_asked_and_answered(tmp_path: Path, version: str) -> None:
    hook = Hook(version)
    hook.answers["good"] = BOB
    async with asking(tmp_path, hook) as (made, _):
        assert await review(made, "good") == REVIEWED
        assert hook.asked == [
            {
                "kind": "TokenReview",
                "apiVersion": f"authentication.k8s.io/{version}",
                "metadata": {},
                "spec": {"token": "good", "audiences": [API]},
                "status": {"user": {}},
            }
        ]
        assert hook.headers == ["Bearer hook-secret"]


async def test_refusals(tmp_path: Path) -> None:
    hook = Hook()
    hook.answers = {
        "error": {"authenticated": False, "error": "bad token"},
        "junk": "{",
        "groups": {"authenticated": True, "user": {"username": "x", "groups": "g"}},
        "other": {**BOB, "audiences": ["z"]},
        "401": 401,
    }
    async with asking(tmp_path, hook) as (made, _):
        assert await review(made, "no") == {"user": {}, "error": "invalid bearer token"}
        assert await review(made, "other") == {"user": {}, "error": "invalid bearer token"}
        assert await review(made, "error") == {"user": {}, "error": "[invalid bearer token, bad token]"}
        assert (await review(made, "groups"))["error"].startswith(
            "[invalid bearer token, json: cannot unmarshal string"
        )
        assert "[invalid bearer token, " in (await review(made, "junk"))["error"]
        asked = (await review(made, "401"))["error"]
        assert asked == "[invalid bearer token, the server has asked for the client to provide credentials]"


async def test_audiences(tmp_path: Path) -> None:
    hook = Hook()
    hook.answers = {"plain": BOB, "aware": {**BOB, "audiences": ["vault", "x"]}}
    async with asking(tmp_path, hook) as (made, _):
        assert (await review(made, "aware", audiences=["vault", "y"]))["audiences"] == ["vault"]
        assert await review(made, "plain", audiences=["vault"]) == {"user": {}, "error": "invalid bearer token"}
        assert (await review(made, "plain", audiences=["vault", API]))["audiences"] == [API]


async def test_what_passes_is_tried_again_and_what_failed_is_not_remembered(tmp_path: Path) -> None:
    hook = Hook()
    hook.answers = {"flaky": [500, 429, BOB], "down": [500] * 5 + [BOB], "gone": [400, BOB]}
    async with asking(tmp_path, hook) as (made, clock):

        async def patiently(token: str) -> dict[str, Any]:
            task = asyncio.create_task(review(made, token))
            while not task.done():  # the pauses are of this clock, the network is not
                await clock.advance(0.05)
                await asyncio.sleep(0.002)
            return task.result()

        assert await patiently("flaky") == REVIEWED
        assert len(hook.asked) == 3
        assert "prevented the request from succeeding" in (await patiently("down"))["error"]
        assert len(hook.asked) == 8
        assert await patiently("down") == REVIEWED
        assert "error" in await patiently("gone")
        assert await patiently("gone") == REVIEWED


async def test_answers_are_remembered_for_a_while(tmp_path: Path) -> None:
    hook = Hook()
    hook.answers["good"] = BOB
    async with asking(tmp_path, hook, authentication_token_webhook_cache_ttl=60) as (made, clock):
        for token in ("good", "bad"):
            for _ in range(3):
                await review(made, token)
        assert [asked["spec"]["token"] for asked in hook.asked] == ["good", "bad"]
        await review(made, "good", audiences=[API, "x"])  # another question
        assert len(hook.asked) == 3
        await clock.advance(61)
        await review(made, "good")
        assert len(hook.asked) == 4
        counts = made.metrics.cache_requests.values
        assert counts == {("miss",): 4, ("hit",): 4}
        assert made.metrics.cache_fetches.values == {("ok",): 4}
        assert set(made.metrics.cache_active.values.values()) == {0}


async def test_a_server_that_wants_a_certificate(tmp_path: Path) -> None:
    authority = certificates.authority("hooks-clients")
    (tmp_path / "clients.crt").write_bytes(authority.pem)
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    user = {
        "client-certificate-data": base64.b64encode(certificates.client_pem(authority, key, "api")).decode(),
        "client-key-data": base64.b64encode(private).decode(),
    }
    hook = Hook()
    hook.answers["good"] = BOB
    async with asking(tmp_path, hook, user=user, client_ca=tmp_path / "clients.crt") as (made, _):
        assert await review(made, "good") == REVIEWED
    async with asking(tmp_path, hook, client_ca=tmp_path / "clients.crt") as (made, _):
        assert "authenticated" not in await review(made, "good")


async def test_certificates_that_are_renewed_are_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority, another = certificates.authority("hooks-clients"), certificates.authority("another")
    (tmp_path / "clients.crt").write_bytes(authority.pem)

    def write(issuer: certificates.Authority, *names: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        held = {"client.crt": certificates.client_pem(issuer, key, "api"), "client.key": private}
        for name in names:
            (tmp_path / name).write_bytes(held[name])

    write(another, "client.crt", "client.key")
    user = {"client-certificate": "client.crt", "client-key": "client.key"}
    hook = Hook()
    hook.answers["good"] = BOB
    async with asking(tmp_path, hook, user=user, client_ca=tmp_path / "clients.crt") as (made, clock):
        assert "authenticated" not in await review(made, "good")
        write(authority, "client.crt")
        await clock.advance(filewatch.USE_SECONDS)
        assert "authenticated" not in await review(made, "good")
        assert "cannot be used, the old one stays" in caplog.text  # a certificate without its key
        write(authority, "client.crt", "client.key")
        await clock.advance(filewatch.USE_SECONDS)
        assert await review(made, "good") == REVIEWED


async def test_no_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook()
    hook.answers["s3cret-token"] = 400
    async with asking(tmp_path, hook) as (made, _):
        await review(made, "s3cret-token")
    assert "Failed to make webhook authenticator request" in caplog.text
    assert "s3cret-token" not in caplog.text
    assert "hook-secret" not in caplog.text
    assert base64.b64encode(b"hook-secret").decode() not in caplog.text
