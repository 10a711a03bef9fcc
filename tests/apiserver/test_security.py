"""Attacks on a running API server, byte by byte: paths that mean something else, headers that lie, tokens and certificates
that should not work."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apimachinery.clock import RealClock
from apiserver.authn import jose
from apiserver.server import ApiServer
from tests.support import devserver
from tests.support.certificates import DAY, NOW

Obj = dict[str, Any]


@dataclass
class Place:
    server: ApiServer
    folder: Path

    async def raw(self, head: str, *, cert: tuple[Path, Path] | None = None) -> tuple[int, str]:
        """(status, body) of a request written as it stands; status 0 when the connection just ends."""
        context = ssl.create_default_context(cafile=str(self.folder / "pki/ca.crt"))
        context.check_hostname = False
        if cert is not None:
            context.load_cert_chain(*cert)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, ssl=context)
        except (ConnectionError, ssl.SSLError):
            return 0, ""
        try:
            writer.write(head.encode("latin-1"))
            answer = await reader.read(-1)
        except (ConnectionError, ssl.SSLError):
            return 0, ""
        finally:
            writer.close()
        line, _, body = answer.partition(b"\r\n")
        return (int(line.split()[1]), body.decode("utf-8", "replace")) if line else (0, "")

    async def ask(
        self, path: str, token: str = "", method: str = "GET", body: Obj | None = None, **headers: str
    ) -> tuple[int, str]:
        data = json.dumps(body) if body is not None else ""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(data)}"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += ["Content-Type: application/json"] if data else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return await self.raw("\r\n".join(lines) + "\r\n\r\n" + data)

    async def who(self, token: str = "", *, cert: tuple[Path, Path] | None = None, **headers: str) -> str:
        """The user that the server takes the request to be of; "" for 401 and 403."""
        lines = ["POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1", "Host: x", "Connection: close"]
        lines += ["Content-Type: application/json", "Content-Length: 2"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        status, answer = await self.raw("\r\n".join(lines) + "\r\n\r\n{}", cert=cert)
        if status != 201:
            return ""
        body = answer.partition("\r\n\r\n")[2]
        return str(json.loads(body[body.index("{") :])["status"]["userInfo"]["username"])

    def certificate(self, name: str, issuer: str = "ca", **changes: Any) -> tuple[Path, Path]:
        """A client certificate of one of the cluster's CAs, as files."""
        ca = x509.load_pem_x509_certificate((self.folder / f"pki/{issuer}.crt").read_bytes())
        ca_key = serialization.load_pem_private_key((self.folder / f"pki/{issuer}.key").read_bytes(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        usage = changes.get("usage", ExtendedKeyUsageOID.CLIENT_AUTH)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(changes.get("start", NOW - DAY))
            .not_valid_after(changes.get("end", NOW + DAY))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return files


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    config = devserver.config_for(tmp_path, 0, storage="memory:")
    server = ApiServer(config, RealClock())
    await server.start()
    place = Place(server, tmp_path)
    allowed: list[tuple[str, Obj]] = [
        ("roles", {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]}),
        ("rolebindings", {"roleRef": _role_ref(), "subjects": [{"kind": "User", "name": "plain"}]}),
    ]
    for plural, obj in allowed:
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/{plural}"
        status, answer = await place.ask(path, "admintoken", "POST", {"metadata": {"name": "r"}, **obj})
        assert status == 201, answer
    for kind, data in (("configmaps", {"data": {"a": "open"}}), ("secrets", {"stringData": {"a": "hush-hush"}})):
        path = f"/api/v1/namespaces/default/{kind}"
        status, answer = await place.ask(path, "admintoken", "POST", {"metadata": {"name": "x"}, **data})
        assert status == 201, answer
    yield place
    await server.end()


def _role_ref() -> Obj:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}


MAY = "/api/v1/namespaces/default/configmaps"


async def test_the_set_up_is_right(place: Place) -> None:
    assert (await place.ask(f"{MAY}/x", "plaintoken"))[0] == 200
    assert (await place.ask("/api/v1/namespaces/default/secrets/x", "plaintoken"))[0] == 403
    assert (await place.ask(f"{MAY}/x"))[0] == 403


PATHS = (
    f"{MAY}/../secrets/x",
    f"{MAY}/x/../../secrets/x",
    f"{MAY}/%2e%2e/secrets/x",
    f"{MAY}%2f..%2fsecrets/x",
    f"{MAY}/..%2fsecrets%2fx",
    f"{MAY}/x%2f..%2f..%2fsecrets%2fx",
    f"{MAY}/x%00/../secrets/x",
    "/api/v1/namespaces/default/./secrets/x",
    "//api/v1/namespaces/default/secrets/x",
    "/api/v1//namespaces/default/secrets/x",
    "/api//v1/namespaces/default/secrets/x",
    "/api/v1/namespaces/default/secrets/x/",
    "/api/v1/namespaces/default/SECRETS/x",
    "/api/v1/namespaces/default/configmaps;x/../secrets/x",
    "/api/v1/namespaces/default/configmaps\\..\\secrets\\x",
    "/api/v1/watch/namespaces/default/secrets/x",
    "/api/v1/namespaces/default/secrets",
    "/api/v1/secrets",
    "/api/v1/proxy/namespaces/default/secrets/x",
    "/healthz/../api/v1/namespaces/default/secrets/x",
    "/version/../api/v1/namespaces/default/secrets/x",
    "https://x/api/v1/namespaces/default/secrets/x",
    "http://plain@x/api/v1/namespaces/default/secrets/x",
    f"{MAY}/x#/../../secrets/x",
    f"{MAY}?fieldSelector=metadata.name%3Dx/../../secrets/x",
    "/api/v1/namespaces/default/secrets/x?fieldSelector=metadata.name=x",
    "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name=x",
    "/api/v1/namespaces/kube-system/configmaps",
    "/api/v1/configmaps",
)


async def test_no_path_leads_around_authorisation(place: Place) -> None:
    for path in PATHS:
        own = path.startswith(f"{MAY}/x#") or "?fieldSelector=metadata.name%3D" in path
        for token in ("plaintoken", ""):
            status, body = await place.ask(path, token)
            assert "hush" not in body, path
            assert "aHVzaC1odXNo" not in body, path
            assert status != 200 or (token and own), path


HEADERS: tuple[dict[str, Any], ...] = (
    {"X_Remote_User": "admin", "X_Remote_Group": "system:masters"},
    {"Impersonate_User": "admin", "Impersonate_Group": "system:masters"},
    {"X_HTTP_Method_Override": "GET", "X_Forwarded_User": "admin"},
    {"X_Original_URL": "/version"},
)


async def test_headers_make_nobody_greater(place: Place) -> None:
    for header in HEADERS:
        for token in ("plaintoken", ""):
            status, body = await place.ask("/api/v1/namespaces/default/secrets/x", token, **header)
            assert status == 403
            assert "aHVzaC1odXNo" not in body


async def test_a_bad_token_is_never_anonymous(place: Place) -> None:
    for bad in ("x", "admintoke", "admintoken1", "a.b.c", "null", "Bearer admintoken", "%61dmintoken"):
        assert (await place.ask("/version", bad))[0] == 401
    assert (await place.ask("/version"))[0] == 200
    assert (await place.ask("/version", Authorization="Bearer"))[0] in (200, 401)
    assert (await place.ask("/api/v1/secrets", Authorization="Basic YWRtaW46YWRtaW4="))[0] == 403


async def test_two_authorization_headers(place: Place) -> None:
    head = (
        "GET /api/v1/namespaces/default/secrets/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Authorization: Bearer plaintoken\r\nAuthorization: Bearer admintoken\r\n\r\n"
    )
    assert (await place.raw(head))[0] in (400, 401, 403)


async def test_service_account_tokens(place: Place) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts"
    await place.ask(path, "admintoken", "POST", {"metadata": {"name": "bot"}})
    status, answer = await place.ask(f"{path}/bot/token", "admintoken", "POST", {"spec": {}})
    assert status == 201
    body = answer.partition("\r\n\r\n")[2]
    token = json.loads(body[body.index("{") :])["status"]["token"]
    assert await place.who(token) == "system:serviceaccount:default:bot"
    head, payload, signature = token.split(".")
    claims = json.loads(jose.decode(payload))
    claims["kubernetes.io"]["serviceaccount"]["name"] = claims["sub"] = "admin"
    forged = jose.encode(json.dumps(claims).encode())
    none = jose.encode(b'{"alg":"none"}')
    for bad in (f"{head}.{forged}.{signature}", f"{none}.{payload}.", f"{none}.{forged}.", f"{head}.{payload}."):
        assert await place.who(bad) == ""
    status, _ = await place.ask(f"{path}/bot/token", "admintoken", "POST", {"spec": {"audiences": ["vault"]}})
    assert status == 201
    assert (await place.ask(f"{path}/bot", "admintoken", "DELETE"))[0] == 200
    assert await place.who(token) == ""


async def test_certificates(place: Place) -> None:
    assert await place.who(cert=place.certificate("jane")) == "jane"
    assert await place.who(cert=place.certificate("old", start=NOW - 2 * DAY, end=NOW - DAY)) == ""
    assert await place.who(cert=place.certificate("early", start=NOW + DAY, end=NOW + 2 * DAY)) == ""
    assert await place.who(cert=place.certificate("server", usage=ExtendedKeyUsageOID.SERVER_AUTH)) == ""
    assert await place.who(cert=place.certificate("system:admin", "front-proxy-ca")) == ""


async def test_only_a_front_proxy_speaks_for_others(place: Place) -> None:
    proxy = place.folder / "pki/front-proxy-client.crt", place.folder / "pki/front-proxy-client.key"
    assert await place.who(cert=proxy, X_Remote_User="jane", X_Remote_Group="system:authenticated") == "jane"
    other = place.certificate("somebody", "front-proxy-ca")
    assert await place.who(cert=other, X_Remote_User="jane", X_Remote_Group="system:authenticated") == ""
    client = place.certificate("mallory")
    assert await place.who(cert=client, X_Remote_User="admin", X_Remote_Group="system:masters") in ("mallory", "")


async def test_nobody_grants_more_than_they_hold(place: Place) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
    verbs = ["get", "create", "update"]
    rule = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": verbs}
    role = {"metadata": {"name": "manager"}, "rules": [rule]}
    assert (await place.ask(path + "roles", "admintoken", "POST", role))[0] == 201
    binding: Obj = {
        "metadata": {"name": "manager"},
        "roleRef": {**_role_ref(), "name": "manager"},
        "subjects": [{"kind": "User", "name": "plain"}],
    }
    assert (await place.ask(path + "rolebindings", "admintoken", "POST", binding))[0] == 201
    fair = {"metadata": {"name": "fair"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]}
    assert (await place.ask(path + "roles", "plaintoken", "POST", fair))[0] == 201
    greedy = {
        "metadata": {"name": "greedy"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    status, body = await place.ask(path + "roles", "plaintoken", "POST", greedy)
    assert status == 403
    assert "is attempting to grant RBAC permissions not currently held" in body
    status, _ = await place.ask(path + "roles/fair", "plaintoken", "PUT", {**greedy, "metadata": {"name": "fair"}})
    assert status == 403
    admin = {
        **binding,
        "metadata": {"name": "up"},
        "roleRef": {**_role_ref(), "kind": "ClusterRole", "name": "cluster-admin"},
    }
    assert (await place.ask(path + "rolebindings", "plaintoken", "POST", admin))[0] == 403
