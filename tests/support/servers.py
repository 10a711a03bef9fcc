"""TLS servers for tests that the API server connects to: webhooks and extension servers, behind Services or URLs."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from tests.support import certificates
from tests.support.apiserver import Api

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Listener:
    """A server that listens on every address of this machine. bundle: its CA, as a caBundle field has it."""

    port: int
    bundle: str


def own_address() -> str:
    """An address of this machine that is not the loopback one: endpoints may not be that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


@asynccontextmanager
async def listening(
    folder: Path, answer: Handler, *names: str, client_ca: Path | None = None
) -> AsyncIterator[Listener]:
    """names: whom the certificate names. client_ca: clients must show a certificate of that CA."""
    authority = certificates.authority("servers")
    certificate, key = certificates.server(authority, *(names or ("127.0.0.1",)))
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(certificate + private)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    if client_ca is not None:
        tls.load_verify_locations(client_ca)
        tls.verify_mode = ssl.CERT_REQUIRED
    runner = web.ServerRunner(web.Server(answer, auto_decompress=False), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0, ssl_context=tls)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield Listener(port, base64.b64encode(authority.pem).decode())
    finally:
        await runner.cleanup()


async def service(api: Api, name: str, port: int, namespace: str = "default", *, address: str = "") -> None:
    """A Service whose only endpoint is that port of this machine."""
    ports = [{"port": 443, "name": "https", "targetPort": port}]
    made = await api.post(
        f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": name}, "spec": {"ports": ports}}
    )
    assert made.code == 201, made.raw
    endpoints = {
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port}],
        "endpoints": [{"addresses": [address or own_address()], "conditions": {"ready": True}}],
    }
    made = await api.post(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", endpoints)
    assert made.code == 201, made.raw
