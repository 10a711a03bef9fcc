"""Bearer tokens: static files, service accounts, bootstrap tokens, and attacks on them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from multidict import CIMultiDict

from apimachinery.clock import ControlledClock
from apimachinery.errors import ApiError
from apiserver import authn
from apiserver.authn import jose
from apiserver.authn.base import Credentials
from apiserver.authn.service import Authentication
from tests.support.reader import MemoryObjects

ISSUER = "https://kubernetes.default.svc.cluster.local"


def bearer(token: str) -> Credentials:
    return Credentials(CIMultiDict({"Authorization": f"Bearer {token}"}))


class World:
    """A service account with a pod on a node, and an Authentication that issues tokens for it."""

    def __init__(self, tmp_path: Path, private: Any = None, **config: Any) -> None:
        self.private = private or ec.generate_private_key(ec.SECP256R1())
        pem = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key_file = tmp_path / "sa.key"
        key_file.write_bytes(pem)
        tokens = tmp_path / "tokens.csv"
        tokens.write_text('secret1,admin,admin-uid,"system:masters,devs"\nsecret2,plain,plain-uid\n')
        self.clock = ControlledClock()
        self.objects = MemoryObjects()
        self.account = self.objects.put("", "serviceaccounts", {"metadata": {"namespace": "ns", "name": "bot"}})
        self.node = self.objects.put("", "nodes", {"metadata": {"name": "n1"}})
        pod = {"metadata": {"namespace": "ns", "name": "p"}, "spec": {"serviceAccountName": "bot", "nodeName": "n1"}}
        self.pod = self.objects.put("", "pods", pod)
        self.secret = self.objects.put("", "secrets", {"metadata": {"namespace": "ns", "name": "s"}})
        self.authn: Authentication = authn.build(
            authn.Config(token_auth_file=tokens, service_account_signing_key_file=key_file, **config),
            self.objects,
            self.clock,
        )

    async def token(self, **spec: Any) -> str:
        assert self.authn.issuer is not None
        answer = await self.authn.issuer.token_request("ns", "bot", {"spec": spec}, warnings=[])
        return str(answer["status"]["token"])

    def sign(self, header: dict[str, Any], **changes: Any) -> str:
        """A token of the account with any header and claims, properly signed with the private key where alg allows."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": [ISSUER],
            "sub": "system:serviceaccount:ns:bot",
            "exp": self.clock.time() + 3600,
            "nbf": self.clock.time(),
            "iat": self.clock.time(),
            "kubernetes.io": {
                "namespace": "ns",
                "serviceaccount": {"name": "bot", "uid": self.account["metadata"]["uid"]},
            },
            **changes,
        }
        body = ".".join(jose.encode(json.dumps(part).encode()) for part in (header, claims))
        if header.get("alg") == "HS256":
            public = self.private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return f"{body}.{jose.encode(hmac.new(public, body.encode(), hashlib.sha256).digest())}"
        if header.get("alg") == "none":
            return f"{body}."
        signed = jose.Signer(self.private).sign(claims)
        head, payload, signature = signed.split(".")
        return f"{head}.{payload}.{signature}" if header.get("alg") == "ES256" else f"{body}.{signature}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def refused(world: World, token: str) -> None:
    with pytest.raises(ApiError) as caught:
        await world.authn.authenticate(bearer(token))
    assert (caught.value.code, caught.value.message) == (401, "Unauthorized")


async def test_static_tokens(world: World) -> None:
    user = await world.authn.authenticate(bearer("secret1"))
    assert (user.name, user.uid) == ("admin", "admin-uid")
    assert tuple(user.groups) == ("system:masters", "devs", "system:authenticated")
    assert (await world.authn.authenticate(bearer("secret2"))).groups == ("system:authenticated",)
    for wrong in ("secret", "secret1x", "SECRET1", "\u00e9"):
        await refused(world, wrong)


async def test_a_bad_token_file_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a,b\n")
    with pytest.raises(ValueError, match="must have at least 3 columns"):
        authn.build(authn.Config(token_auth_file=tmp_path / "t"), MemoryObjects(), ControlledClock())


async def test_without_credentials_one_is_anonymous(tmp_path: Path, world: World) -> None:
    user = await world.authn.authenticate(Credentials(CIMultiDict()))
    assert (user.name, tuple(user.groups)) == ("system:anonymous", ("system:unauthenticated",))
    basic = Credentials(CIMultiDict({"Authorization": "Basic YTpi"}))
    assert (await world.authn.authenticate(basic)).name == "system:anonymous"
    strict = World(tmp_path, anonymous_auth=False)
    with pytest.raises(ApiError, match="Unauthorized"):
        await strict.authn.authenticate(Credentials(CIMultiDict()))


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_a_service_account_token_names_its_account(tmp_path: Path, kind: str) -> None:
    private = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    world = World(tmp_path, private)
    user = await world.authn.authenticate(bearer(await world.token()))
    assert user.name == "system:serviceaccount:ns:bot"
    assert user.uid == world.account["metadata"]["uid"]
    assert tuple(user.groups) == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


async def test_a_pod_token_tells_pod_and_node(world: World) -> None:
    token = await world.token(boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"})
    user = await world.authn.authenticate(bearer(token))
    base = "authentication.kubernetes.io/"
    assert user.extra[base + "pod-name"] == ("p",)
    assert user.extra[base + "pod-uid"] == (world.pod["metadata"]["uid"],)
    assert user.extra[base + "node-name"] == ("n1",)
    assert user.extra[base + "node-uid"] == (world.node["metadata"]["uid"],)


async def test_a_token_expires(world: World) -> None:
    token = await world.token(expirationSeconds=600)
    await world.clock.advance(655)
    assert (await world.authn.authenticate(bearer(token))).name == "system:serviceaccount:ns:bot"
    await world.clock.advance(10)
    await refused(world, token)


async def test_the_pod_volume_token_is_extended(world: World) -> None:
    assert world.authn.issuer is not None
    request = {"spec": {"expirationSeconds": 3607, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}}
    answer = await world.authn.issuer.token_request("ns", "bot", request, warnings=[])
    claims = jose.verify(answer["status"]["token"], [world.authn.issuer.key])
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607


@pytest.mark.parametrize("kind", ["Pod", "Secret", "Node"])
async def test_a_token_dies_with_what_it_is_bound_to(world: World, kind: str) -> None:
    bound = {"Pod": world.pod, "Secret": world.secret, "Node": world.node}[kind]["metadata"]
    token = await world.token(boundObjectRef={"kind": kind, "apiVersion": "v1", "name": bound["name"]})
    assert await world.authn.authenticate(bearer(token))
    world.objects.remove("", kind.lower() + "s", bound.get("namespace"), bound["name"])
    await refused(world, token)
    world.objects.put("", kind.lower() + "s", {"metadata": {k: bound[k] for k in ("namespace", "name") if k in bound}})
    await refused(world, token)


async def test_a_token_dies_with_its_account(world: World) -> None:
    token = await world.token()
    assert await world.authn.authenticate(bearer(token))
    world.objects.remove("", "serviceaccounts", "ns", "bot")
    await refused(world, token)
    world.objects.put("", "serviceaccounts", {"metadata": {"namespace": "ns", "name": "bot"}})
    await refused(world, token)


async def test_audiences(world: World) -> None:
    token = await world.token(audiences=["vault"])
    await refused(world, token)
    review = await world.authn.token_review({"spec": {"token": token, "audiences": ["vault", "other"]}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["audiences"] == ["vault"]
    review = await world.authn.token_review({"spec": {"token": token}})
    assert "authenticated" not in review["status"]
    assert "audience" in review["status"]["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 0},
        {"nbf": 9e9},
        {"iat": 9e9},
        {"exp": "soon"},
        {"aud": ["someone-else"]},
        {"aud": 7},
        {"iss": "https://elsewhere"},
        {"iss": None},
        {"kubernetes.io": None},
        {"kubernetes.io": {"namespace": "kube-system", "serviceaccount": {"name": "bot", "uid": "x"}}},
        {"kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "bot", "uid": "other"}}},
        {"kubernetes.io": {"namespace": "ns", "serviceaccount": "bot"}},
    ],
)
async def test_claims_that_are_refused(world: World, changes: dict[str, Any]) -> None:
    assert await world.authn.authenticate(bearer(world.sign({"alg": "ES256"})))
    await refused(world, world.sign({"alg": "ES256"}, **changes))


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS256"}, {"alg": "ES384"}, {}])
async def test_other_algorithms_are_refused(world: World, header: dict[str, Any]) -> None:
    await refused(world, world.sign(header))


async def test_changed_tokens_are_refused(world: World) -> None:
    token = await world.token()
    head, payload, signature = token.split(".")
    claims = json.loads(jose.decode(payload))
    claims["kubernetes.io"]["serviceaccount"]["name"] = "admin"
    forged = jose.encode(json.dumps(claims).encode())
    zero = jose.encode(bytes(64))
    for bad in (
        f"{head}.{forged}.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}.{zero}",
        f"{head}.{payload}.{signature}x",
        f"{head}.{payload}.{signature}=",
        f"{head}.{payload}",
        f"{token}.{signature}",
        ".".join(["e30"] * 3),
        "...",
        token[:-1],
    ):
        await refused(world, bad)


async def test_a_key_of_another_cluster_is_refused(tmp_path: Path, world: World) -> None:
    other = World(tmp_path / "..")
    await refused(world, other.sign({"alg": "ES256"}))


async def test_token_requests_that_are_refused(world: World) -> None:
    assert world.authn.issuer is not None
    ask = world.authn.issuer.token_request
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"spec": {"expirationSeconds": 599}}, 422, "may not specify a duration less than 10 minutes"),
        ({"spec": {"expirationSeconds": 2**32 + 1}}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"metadata": {"name": "x"}}, 422, "must match the service account name if specified"),
        (
            {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}},
            404,
            'pods "none" not found',
        ),
        (
            {"spec": {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "c"}}},
            400,
            "cannot bind token",
        ),
        (
            {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "x"}}},
            409,
            "does not match the UID in record",
        ),
    ]
    for request, code, text in cases:
        with pytest.raises(ApiError) as caught:
            await ask("ns", "bot", request, warnings=[])
        assert caught.value.code == code
        assert text in caught.value.message
    with pytest.raises(ApiError, match='serviceaccounts "nobody" not found'):
        await ask("ns", "nobody", {}, warnings=[])
    world.objects.put("", "serviceaccounts", {"metadata": {"namespace": "ns", "name": "other"}})
    with pytest.raises(ApiError, match="different serviceaccount name"):
        await ask(
            "ns", "other", {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}}, warnings=[]
        )


async def test_a_secret_token_lives_with_its_secret(world: World) -> None:
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:ns:bot",
        "kubernetes.io/serviceaccount/namespace": "ns",
        "kubernetes.io/serviceaccount/secret.name": "old",
        "kubernetes.io/serviceaccount/service-account.name": "bot",
        "kubernetes.io/serviceaccount/service-account.uid": world.account["metadata"]["uid"],
    }
    token = jose.Signer(world.private).sign(claims)
    await refused(world, token)
    secret = {
        "metadata": {"namespace": "ns", "name": "old"},
        "data": {"token": base64.b64encode(token.encode()).decode()},
    }
    world.objects.put("", "secrets", secret)
    assert (await world.authn.authenticate(bearer(token))).name == "system:serviceaccount:ns:bot"
    world.objects.put("", "secrets", {**secret, "data": {"token": "eA=="}})
    await refused(world, token)


async def test_bootstrap_tokens(tmp_path: Path) -> None:
    world = World(tmp_path, enable_bootstrap_token_auth=True)

    def stored(**changes: str) -> None:
        data = {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:workers",
            **changes,
        }
        world.objects.put(
            "",
            "secrets",
            {
                "metadata": {"namespace": "kube-system", "name": "bootstrap-token-abcdef"},
                "type": "bootstrap.kubernetes.io/token",
                "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
            },
        )

    await refused(world, "abcdef.0123456789abcdef")
    stored()
    user = await world.authn.authenticate(bearer("abcdef.0123456789abcdef"))
    assert user.name == "system:bootstrap:abcdef"
    assert set(user.groups) == {"system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"}
    await refused(world, "abcdef.0123456789abcdee")
    stored(expiration="2001-01-01T00:00:00Z")
    await refused(world, "abcdef.0123456789abcdef")
    stored(**{"usage-bootstrap-authentication": "false"})
    await refused(world, "abcdef.0123456789abcdef")


async def test_a_websocket_may_carry_its_token_as_a_protocol(world: World) -> None:
    def headers(*protocols: str) -> Credentials:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": ", ".join(protocols)}
        return Credentials(CIMultiDict(upgrade))

    carried = "base64url.bearer.authorization.k8s.io." + jose.encode(b"secret1")
    assert (await world.authn.authenticate(headers(carried, "v4.channel.k8s.io"))).name == "admin"
    for bad in ([carried], [carried, carried, "x"], [carried + "!", "x"]):
        with pytest.raises(ApiError):
            await world.authn.authenticate(headers(*bad))


async def test_documents(world: World) -> None:
    document = world.authn.openid_configuration("10.0.0.1:6443")
    assert document is not None
    assert document["issuer"] == ISSUER
    assert document["jwks_uri"] == "https://10.0.0.1:6443/openid/v1/jwks"
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]
    keys = world.authn.jwks()
    assert keys is not None
    assert keys["keys"][0]["kid"] == world.authn.issuer.key.kid if world.authn.issuer else False


async def test_self_subject_review(world: World) -> None:
    user = await world.authn.authenticate(bearer("secret1"))
    answer = world.authn.self_subject_review(user, {})
    assert answer["status"]["userInfo"]["groups"] == ["system:masters", "devs", "system:authenticated"]
