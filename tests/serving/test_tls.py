"""Serving certificates that are renewed under a running server, and who may read a component's metrics."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery.clock import ControlledClock
from serving import tls
from serving.component import ComponentEndpoint
from tests.support import certificates
from tests.support.certificates import DAY, NOW, Authority
from tests.support.machine import free_port


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Place:
    """A component's files, and clients of its CA."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, certificates.authority()
        self.certificate, self.key, self.bundle = folder / "server.crt", folder / "server.key", folder / "ca.crt"
        self.bundle.write_bytes(self.ca.pem)
        for path, content in zip((self.certificate, self.key), self.issue(), strict=True):
            path.write_bytes(content)

    def issue(self) -> tuple[bytes, bytes]:
        certificate, key = certificates.server(self.ca, "127.0.0.1")
        return certificate, pem(key)

    def client(self, issuer: Authority | None = None, end: datetime.datetime = NOW + DAY) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.bundle))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        key = ec.generate_private_key(ec.SECP256R1())
        path = self.folder / "client.pem"
        path.write_bytes(certificates.client_pem(issuer or self.ca, key, "jane", end=end) + pem(key))
        context.load_cert_chain(path)
        return context

    @asynccontextmanager
    async def serving(self, clock: ControlledClock) -> AsyncIterator[int]:
        port = free_port()
        endpoint = ComponentEndpoint(
            bind_address="127.0.0.1",
            port=port,
            certificate=self.certificate,
            key=self.key,
            client_ca=self.bundle,
            render_metrics=lambda: b"metrics 1\n",
            clock=clock,
        )
        await endpoint.start()
        try:
            yield port
        finally:
            await endpoint.stop()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def serial(data: bytes) -> int:
    return x509.load_pem_x509_certificate(data).serial_number


async def shown(port: int, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        return x509.load_der_x509_certificate(der).serial_number
    finally:
        writer.close()
        await writer.wait_closed()


async def until(clock: ControlledClock, holds: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again: files are read in threads."""
    async with asyncio.timeout(30):
        while not await holds():
            await clock.advance(tls.PERIOD)


async def test_a_certificate_without_its_key_does_not_spoil_the_one_in_use(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    clock, context = ControlledClock(), place.client()
    first = serial(place.certificate.read_bytes())
    async with place.serving(clock) as port:
        assert await shown(port, context) == first
        certificate, key = place.issue()
        place.certificate.write_bytes(certificate)

        async def complained() -> bool:
            return "cannot be used" in caplog.text

        await until(clock, complained)
        assert await shown(port, context) == first
        place.key.write_bytes(key)

        async def renewed() -> bool:
            return await shown(port, context) == serial(certificate)

        await until(clock, renewed)


async def test_what_changed_between_start_and_the_first_look_is_taken(place: Place) -> None:
    context = tls.server_context(place.certificate, place.key)
    clock, before = ControlledClock(), context.get_ca_certs()
    place.bundle.write_bytes(certificates.authority("another").pem)  # no file has changed once it is followed
    task = asyncio.create_task(tls.follow(context, place.certificate, place.key, [place.bundle], clock))

    async def taken() -> bool:
        return context.get_ca_certs() != before

    try:
        await until(clock, taken)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_metrics_are_for_holders_of_certificates_that_are_good_now(place: Place) -> None:
    async with place.serving(ControlledClock()) as port, aiohttp.ClientSession() as session:

        async def status(context: ssl.SSLContext, path: str = "metrics") -> int:
            async with session.get(f"https://127.0.0.1:{port}/{path}", ssl=context) as response:
                return response.status

        nobody = ssl.create_default_context(cafile=str(place.bundle))
        nobody.verify_flags &= ~ssl.VERIFY_X509_STRICT
        assert await status(place.client()) == 200
        assert await status(nobody) == 401
        assert await status(nobody, "healthz") == 200
        assert await status(place.client(end=NOW - DAY)) == 401
        with pytest.raises(aiohttp.ClientError):
            await status(place.client(certificates.authority("another")))
