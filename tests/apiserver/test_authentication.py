"""Authentication through a whole server: anonymous paths, files that are replaced while it runs, metrics, other issuers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import certificates
from tests.support.apiserver import Api, running
from tests.support.devserver import config_for
from tests.support.issuer import issuing

HEAD = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Ask again and again: what is waited for is a file's change, which nothing else announces."""
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


async def code(api: Api, path: str, *, token: str = "", tls: ssl.SSLContext | None = None) -> int:
    """What a client of its own connection is answered."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(ssl=tls or api.tls)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(api.url + path, headers=headers) as answer,
    ):
        return answer.status


async def test_anonymous_only_where_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "authentication.yaml"
    conditions = [{"path": "/livez"}, {"path": "/readyz"}]
    path.write_text(yaml.safe_dump({**HEAD, "anonymous": {"enabled": True, "conditions": conditions}}))
    config = config_for(tmp_path, 0, storage="memory:")
    async with running(tmp_path, authn=replace(config.authn, authentication_config=path)) as api:
        answers = {where: await code(api, where) for where in ("/livez", "/readyz", "/healthz", "/livez/ping", "/api")}
        assert answers == {"/livez": 200, "/readyz": 200, "/healthz": 401, "/livez/ping": 401, "/api": 401}
        assert await code(api, "/livez", token="wrong") == 401
        assert await code(api, "/healthz", token=api.token) == 200


async def test_tokens_of_another_issuer(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        told = {"url": issuer.url, "certificateAuthority": issuer.authority, "audiences": ["client"]}
        mappings = {"username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": "groups", "prefix": ""}}
        path = tmp_path / "authentication.yaml"
        path.write_text(yaml.safe_dump({**HEAD, "jwt": [{"issuer": told, "claimMappings": mappings}]}))
        config = config_for(tmp_path, 0, storage="memory:")
        async with running(tmp_path, authn=replace(config.authn, authentication_config=path)) as api:
            token = issuer.token(groups=["system:masters"])

            async def known() -> bool:
                return await code(api, "/api/v1/namespaces", token=token) == 200

            await until(known)
            api.token = token
            body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
            review = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
            assert review.body["status"]["userInfo"] == {
                "username": "oidc:jane",
                "groups": ["system:masters", "system:authenticated"],
            }
            metrics = (await api.get("/metrics")).raw.decode()
            for line in (
                "apiserver_authentication_config_controller_last_config_info{",
                'apiserver_authentication_jwt_authenticator_latency_seconds_count{result="success",',
                "apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info{",
                'authentication_token_cache_request_total{status="hit"}',
            ):
                assert line in metrics


async def test_attempts_are_counted(api: Api) -> None:
    await code(api, "/livez")
    await code(api, "/livez", token="wrong")
    await api.get("/livez")
    lines = (await api.get("/metrics")).raw.decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("authenticat"))
    assert found['authentication_attempts{result="error"}'] == "1"
    assert int(found['authentication_attempts{result="success"}']) >= 3
    assert int(found['authenticated_user_requests{username="admin"}']) >= 1
    assert int(found['authenticated_user_requests{username="other"}']) >= 1
    assert int(found['authentication_duration_seconds_count{result="error"}']) == 1


async def test_a_second_space_hides_a_token(api: Api) -> None:
    answer = await api.ask("GET", "/livez", headers={"Authorization": "Bearer  admintoken"})
    text = "the provided Authorization header contains extra space before the bearer token, and is ignored"
    assert answer.code == 200
    assert answer.headers["Warning"] == f'299 - "{text}"'


def client_context(folder: Path, authority: certificates.Authority, name: str, *, days: int = 1) -> ssl.SSLContext:
    """TLS with a client certificate of that authority. days: for which it is still good."""
    key = ec.generate_private_key(ec.SECP256R1())
    end = certificates.NOW + days * certificates.DAY
    leaf = certificates.client_pem(authority, key, name, ("system:masters",), end=end)
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(leaf + private)
    context = ssl.create_default_context(cafile=str(folder / "pki" / "ca.crt"))
    context.load_cert_chain(path)
    return context


async def test_another_client_ca_is_believed_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(tmp_path, 0, storage="memory:")
    old, new = certificates.authority("old"), certificates.authority("new")
    bundle = tmp_path / "clients.crt"
    bundle.write_bytes(old.pem + certificates.authority("third").pem)
    async with running(tmp_path, authn=replace(config.authn, client_ca_file=bundle)) as api:
        jane, joe = client_context(tmp_path, old, "jane"), client_context(tmp_path, new, "joe")
        assert await code(api, "/api/v1/namespaces", tls=jane) == 200
        replaced = tmp_path / "clients.new"
        replaced.write_bytes(new.pem)
        replaced.replace(bundle)

        async def believed() -> bool:
            try:
                return await code(api, "/api/v1/namespaces", tls=joe) == 200
            except aiohttp.ClientError:
                return False

        await until(believed)
        assert await code(api, "/api/v1/namespaces", tls=jane) == 401
        published = await api.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
        assert published.body["data"]["client-ca-file"] == new.pem.decode()
        bundle.write_text("no certificates")

        async def refused() -> bool:
            return "cannot be used, the old one stays" in caplog.text

        await until(refused)
        assert await code(api, "/api/v1/namespaces", tls=joe) == 200


async def test_a_certificate_that_has_expired_does_not_hinder_a_good_token(tmp_path: Path) -> None:
    config = config_for(tmp_path, 0, storage="memory:")
    authority = certificates.authority("clients")
    bundle = tmp_path / "clients.crt"
    bundle.write_bytes(authority.pem)
    async with running(tmp_path, authn=replace(config.authn, client_ca_file=bundle)) as api:
        expired = client_context(tmp_path, authority, "jane", days=-1)
        assert await code(api, "/api/v1/namespaces", tls=expired) == 401
        assert await code(api, "/livez", tls=expired) == 401
        assert await code(api, "/api/v1/namespaces", tls=expired, token=api.token) == 200


async def test_another_serving_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    config = config_for(tmp_path, 0, storage="memory:")
    assert config.tls_cert_file is not None
    assert config.tls_private_key_file is not None
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificate.write_bytes(config.tls_cert_file.read_bytes())
    key.write_bytes(config.tls_private_key_file.read_bytes())
    async with running(tmp_path, tls_cert_file=certificate, tls_private_key_file=key) as api:
        before = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", api.server.port))
        authority = certificates.authority("others")
        renewed, private = certificates.server(authority, "127.0.0.1")
        key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        certificate.write_bytes(renewed)

        async def shown() -> bool:
            now = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", api.server.port))
            return now != before and now.strip().encode() == renewed.strip()

        await until(shown)
        assert await code(api, "/livez", tls=ssl.create_default_context(cadata=authority.pem.decode())) == 200
