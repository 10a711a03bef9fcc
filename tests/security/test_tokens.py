"""Tokens that were not issued: forged, altered, replayed elsewhere, out of their time, or with a header that names its own key.

For service accounts and for another issuer alike, against a whole server. What is right is checked beside what is wrong, so
that no refusal is due to something else.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apiserver.authn import jose
from tests.support.apiserver import Api, running
from tests.support.devserver import config_for
from tests.support.issuer import Issuer, Key, encode, issuing

SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
HEAD = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}


@dataclass
class Forge:
    """Makes tokens that are right but for what a test changes. key: the issuer's own; good: the claims of a right token."""

    key: Key
    good: dict[str, Any]

    def token(self, head: dict[str, Any] | None = None, *, key: Key | None = None, **claims: Any) -> str:
        payload = {name: value for name, value in {**self.good, **claims}.items() if value is not None}
        return self.raw(
            json.dumps({"alg": self.key.algorithm, "kid": self.key.kid, **(head or {})}), json.dumps(payload), key
        )

    def raw(self, head: str, payload: str, key: Key | None = None) -> str:
        signed = f"{encode(head.encode())}.{encode(payload.encode())}"
        return f"{signed}.{encode((key or self.key).signature(signed.encode()))}"

    def by_secret(self, head: dict[str, Any], secret: bytes) -> str:
        """With an HMAC in place of a signature."""
        text = json.dumps({"kid": self.key.kid, **head})
        signed = f"{encode(text.encode())}.{encode(json.dumps(self.good).encode())}"
        return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


async def who(api: Api, token: str) -> str:
    """The user that the server takes a token for; "" when it refuses it."""
    answer = await replace(api, token=token).post(SELF, {})
    assert answer.code in (201, 401), answer.raw
    assert answer.code == 201 or token not in answer.raw.decode()
    return str(answer.body["status"]["userInfo"]["username"]) if answer.code == 201 else ""


@pytest.fixture(params=["service account", "other issuer"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Api, Forge]]:
    config = config_for(tmp_path, 0, storage="memory:")
    if request.param == "service account":
        async with running(tmp_path) as api:
            private = serialization.load_pem_private_key((tmp_path / "pki/sa.key").read_bytes(), None)
            assert isinstance(private, ec.EllipticCurvePrivateKey)
            public = jose.Key.of(private.public_key())
            await api.post(ACCOUNTS, {"metadata": {"name": "bot"}})
            issued = (await api.post(f"{ACCOUNTS}/bot/token", {})).body["status"]["token"]
            claims = json.loads(jose.decode(issued.split(".")[1]))
            yield api, Forge(Key(public.kid, public.algorithm, private), claims)
        return
    async with issuing(tmp_path) as issuer:
        path = await _configured(tmp_path, issuer)
        async with running(tmp_path, authn=replace(config.authn, authentication_config=path)) as api:
            now = int(time.time())
            good = {"iss": issuer.url, "sub": "jane", "aud": "client", "iat": now, "exp": now + 3600}
            forge = Forge(issuer.keys[0], good)
            await _known(api, forge)
            yield api, forge


async def _known(api: Api, forge: Forge) -> None:
    """Until the issuer is discovered, which nothing announces."""
    async with asyncio.timeout(20):
        while True:
            if await who(api, forge.token()):
                return
            await asyncio.sleep(0.05)


async def _configured(folder: Path, issuer: Issuer) -> Path:
    told = {"url": issuer.url, "certificateAuthority": issuer.authority, "audiences": ["client"]}
    mappings = {"username": {"claim": "sub", "prefix": "oidc:"}}
    path = folder / "authentication.yaml"
    path.write_text(yaml.safe_dump({**HEAD, "jwt": [{"issuer": told, "claimMappings": mappings}]}))
    return path


async def test_headers_do_not_choose_the_key(place: tuple[Api, Forge]) -> None:
    api, forge = place
    assert await who(api, forge.token())
    own = Key.make(forge.key.kid)
    jwk = own.jwk()
    pem = forge.key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    der = forge.key.private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert not await who(api, forge.token(key=own))
    for head in (
        {"jwk": jwk},
        {"jwk": jwk, "kid": None},
        {"jku": "https://127.0.0.1:1/jwks"},
        {"x5u": "https://127.0.0.1:1/cert"},
        {"x5c": ["AAAA"]},
        *({"kid": kid} for kid in ("", "../../../dev/null", "/dev/null", "' OR 1=1 --", "x" * 4000, 0, [], {}, True)),
        {"alg": ["ES256"]},
        {"alg": "ES256 "},
        {"typ": "JWT", "cty": "JWT"},
    ):
        assert not await who(api, forge.token(head, key=own)), head
    for head in ({"kid": 0.5}, {"kid": []}, {"kid": {}}, {"alg": ["ES256"]}, {"crit": ["exp"]}, {"b64": False}):
        assert not await who(api, forge.token(head)), head
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, "HS256", "HS512", "EdDSA", "RS256", "ES384", "es256"):
        unsigned = forge.token({"alg": algorithm}).rpartition(".")[0]
        assert not await who(api, forge.token({"alg": algorithm})), algorithm
        assert not await who(api, f"{unsigned}.")
        for secret in (pem, pem.strip(), der, b"", json.dumps(forge.key.jwk()).encode()):
            assert not await who(api, forge.by_secret({"alg": algorithm}, secret))


async def test_claims_out_of_place_or_time(place: tuple[Api, Forge]) -> None:
    api, forge = place
    now = int(time.time())
    for claims in (
        *({"exp": value} for value in (now - 3600, 0, -1, "soon", [], True, 1e400)),
        *({"nbf": value} for value in (now + 3600, [0])),
        *({"aud": value} for value in (["vault"], "vault", 7, [7], [["client"]], {"a": "client"})),
        *({"iss": value} for value in ("https://elsewhere", forge.good["iss"] + "/", "", None, 7, [forge.good["iss"]])),
        {"sub": None},
        {"sub": ["jane"]},
    ):
        if "sub" in claims and "kubernetes.io" in forge.good:
            continue  # which account it is, is said elsewhere
        try:
            token = forge.token(**claims)
        except ValueError:
            continue
        assert not await who(api, token), claims


async def test_altered_and_ambiguous_texts(place: tuple[Api, Forge]) -> None:
    api, forge = place
    good = forge.token()
    user = await who(api, good)
    head, payload, signature = good.split(".")
    other = forge.token(jti="another").split(".")
    claims = json.dumps(forge.good)
    elsewhere = claims.replace("bot", "admin").replace("jane", "admin")
    for bad in (
        *(good[:cut] for cut in (-1, -2, -10, len(head) + 1, len(head), 5)),
        *(f"{good}{more}" for more in ("x", "=", ".", ".x", "%00", ".." + signature)),
        f"{head}.{payload}.{other[2]}",
        f"{head}.{other[1]}.{signature}",
        f"{head}.{encode(elsewhere.encode())}.{signature}",
        f".{payload}.{signature}",
        f"{head}..{signature}",
        f"{head}.{payload}.{encode(bytes(64))}",
        f"{head}.{payload}.{encode(bytes([255]) * 64)}",
        f"{head}.{payload}.{encode(bytes(31) + bytes([1]) + bytes(31) + bytes([1]))}",
        json.dumps({"payload": payload, "protected": head, "signature": signature}).replace(" ", ""),
    ):
        assert not await who(api, bad), bad
    header = json.dumps({"alg": forge.key.algorithm, "kid": forge.key.kid})
    for text in (claims + "x", "[" + claims + "]", '"x"', "null", "", claims[:-1], "\ufeff" + claims, claims + claims):
        assert not await who(api, forge.raw(header, text)), text[:20]
    # Signed by the issuer itself, a claim twice is its own affair: but both sides of it must not be read.
    twice = claims[:-1] + ', "aud": ["vault"]}'
    assert await who(api, forge.raw(header, twice)) in ("", user)
    doubled = header[:-1] + ', "alg": "none"}'
    assert not await who(api, forge.raw(doubled, claims))


async def test_a_review_holds_tokens_to_the_audiences_asked_for(place: tuple[Api, Forge]) -> None:
    api, forge = place
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    good = forge.token()
    for audiences, right in (
        (["vault"], False),
        (["https://kubernetes.default.svc.cluster.local", "vault"], True),
        ([], True),
    ):
        answer = await api.post(path, {"spec": {"token": good, **({"audiences": audiences} if audiences else {})}})
        status = answer.body["status"]
        if right and "kubernetes.io" in forge.good:
            assert status["authenticated"] is True
            assert "vault" not in status.get("audiences", [])
        elif audiences == ["vault"]:
            assert not status.get("authenticated")
    answer = await api.post(path, {"spec": {"token": forge.token(key=Key.make("x"))}})
    assert not answer.body["status"].get("authenticated")
