"""A node's certificates: asked for when there are none, renewed in time, asked for again when that failed."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from apimachinery.clock import ControlledClock
from client.api import Client
from client.resources import CERTIFICATE_SIGNING_REQUESTS as REQUESTS
from controllers.certificates.requests import read_request
from controllers.certificates.signing import Authority
from nodeagent import certificates
from nodeagent.certificates import CertificateRefused, Renewal
from nodeagent.config import Config
from tests.support import memoryapi
from tests.support.certificates import authority
from tests.support.memoryapi import TOKEN, MemoryApi

Obj = dict[str, Any]
DAY = 86_400.0


class Cluster:
    """Answers certificate signing requests by hand."""

    def __init__(self, api: MemoryApi, client: Client, clock: ControlledClock) -> None:
        self.api, self.client, self.clock = api, client, clock
        ca = authority()
        key = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._authority = Authority(ca.pem, ca.key.private_bytes(*key))

    async def asked(self, count: int) -> Obj:
        """The request of that number, once it was made."""
        await until(lambda: len(self.api.all(REQUESTS)) >= count)
        assert len(self.api.all(REQUESTS)) == count
        return self.api.all(REQUESTS)[count - 1]

    def sign(self, request: Obj, seconds: float = DAY) -> None:
        spec = request["spec"]
        _, parsed = read_request(base64.b64decode(spec["request"]))
        signed = self._authority.sign(parsed, spec["usages"], seconds, self.clock.time())
        self.api.put(REQUESTS, {**request, "status": {"certificate": base64.b64encode(signed).decode()}})

    def deny(self, request: Obj) -> None:
        condition = {"type": "Denied", "status": "True", "reason": "No", "message": "not you"}
        self.api.put(REQUESTS, {**request, "status": {"conditions": [condition]}})


async def until(holds: Callable[[], bool]) -> None:
    """Keys are made and files written in threads, which nothing else announces."""
    async with asyncio.timeout(30):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    clock = ControlledClock()
    async with memoryapi.serve(tmp_path, clock) as (api, client):
        yield Cluster(api, client, clock)


@asynccontextmanager
async def renewing(renewal: Renewal) -> AsyncIterator[None]:
    task = asyncio.create_task(renewal.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def serial(file: Path) -> int:
    """Of the certificate in the file, whose key is in it too."""
    data = file.read_bytes()
    certificate, key = x509.load_pem_x509_certificate(data), serialization.load_pem_private_key(data, None)
    assert certificate.public_key() == key.public_key()
    return certificate.serial_number


async def test_a_certificate_is_renewed_before_it_ends(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "pki" / "client.pem"
    renewed: list[int] = []

    async def tell() -> None:
        renewed.append(serial(file))

    wanted = certificates.client_wanted("n1")
    async with renewing(Renewal(cluster.client, file, lambda: wanted, tell)):
        first = await cluster.asked(1)
        assert first["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet"
        assert first["spec"]["usages"] == ["digital signature", "client auth"]
        asked, _ = read_request(base64.b64decode(first["spec"]["request"]))
        assert (asked.common_name, list(asked.organizations)) == ("system:node:n1", ["system:nodes"])
        cluster.sign(first)
        await until(lambda: len(renewed) == 1)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        due = certificates._renew_at(file, wanted)
        await cluster.clock.advance(due - cluster.clock.time() - 1)
        assert len(cluster.api.all(REQUESTS)) == 1
        await cluster.clock.advance(1)
        cluster.sign(await cluster.asked(2))
        await until(lambda: len(renewed) == 2)
        assert len(set(renewed)) == 2


async def test_other_addresses_want_another_certificate(cluster: Cluster, tmp_path: Path) -> None:
    file, addresses = tmp_path / "server.pem", ["10.0.0.2", "fe80::1"]
    async with renewing(Renewal(cluster.client, file, lambda: certificates.serving_wanted("n1", addresses))):
        first = await cluster.asked(1)
        asked, _ = read_request(base64.b64decode(first["spec"]["request"]))
        assert (asked.dns_names, asked.addresses) == (["n1"], ["10.0.0.2", "fe80::1"])
        cluster.sign(first, 300 * DAY)
        await until(file.exists)
        addresses.append("10.0.0.3")
        await cluster.clock.advance(3600)
        again, _ = read_request(base64.b64decode((await cluster.asked(2))["spec"]["request"]))
        assert again.addresses == ["10.0.0.2", "10.0.0.3", "fe80::1"]


async def test_a_refusal_or_a_file_that_cannot_be_written_is_not_the_end(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pki" / "client.pem"
    file.parent.write_text("in the way")
    wanted = certificates.client_wanted("n1")
    async with renewing(Renewal(cluster.client, file, lambda: wanted)):
        # The folder is none, which shows when the certificate in it is to be read.
        await until(lambda: "renewing client.pem" in caplog.text)
        file.parent.unlink()
        await cluster.clock.advance(30)
        cluster.deny(await cluster.asked(1))
        await until(lambda: "the certificate signing request was denied: not you" in caplog.text)
        await cluster.clock.advance(30)
        cluster.sign(await cluster.asked(2))
        await until(file.exists)


@pytest.mark.parametrize("life", [3600.0, DAY, 365 * DAY])
def test_the_moment_is_the_certificates_own(cluster_authority: Authority, tmp_path: Path, life: float) -> None:
    wanted, begin = certificates.client_wanted("n1"), 1_700_000_000.0
    file, moments = tmp_path / "c.pem", set()
    for _ in range(20):
        _, pem = certificates._new_request(wanted)
        file.write_bytes(cluster_authority.sign(read_request(pem)[1], wanted.usages, life, begin))
        due = certificates._renew_at(file, wanted)
        assert due == certificates._renew_at(file, wanted)
        assert 0.7 <= (due - begin + 300) / (life + 300) <= 0.9
        moments.add(due)
    assert len(moments) > 10  # not all nodes at once


@pytest.fixture
def cluster_authority() -> Authority:
    ca = authority()
    key = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Authority(ca.pem, ca.key.private_bytes(*key))


async def test_a_node_joins_with_its_bootstrap_token_once(cluster: Cluster, tmp_path: Path) -> None:
    credentials = cluster.client.credentials
    assert credentials.ca is not None
    bootstrap = tmp_path / "bootstrap.yaml"
    ca = base64.b64encode(credentials.ca).decode()
    bootstrap.write_text(
        yaml.safe_dump(
            {
                "clusters": [
                    {"name": "c", "cluster": {"server": credentials.server, "certificate-authority-data": ca}}
                ],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    made = tmp_path / "kubeconfig" / "nodeagent.yaml"
    config = Config(kubeconfig=made, bootstrap_kubeconfig=bootstrap, root_dir=tmp_path / "node", clock=cluster.clock)
    joining = asyncio.create_task(certificates.join_cluster(config, "n1", "test"))
    cluster.sign(await cluster.asked(1))
    await joining
    assert os.stat(made).st_mode & 0o777 == 0o600
    user = yaml.safe_load(made.read_text())["users"][0]["user"]
    assert serial(Path(user["client-certificate"])) == serial(Path(user["client-key"]))
    assert "token" not in user
    await certificates.join_cluster(config, "n1", "test")
    assert len(cluster.api.all(REQUESTS)) == 1
    await cluster.clock.advance(2 * DAY)
    again = asyncio.create_task(certificates.join_cluster(config, "n1", "test"))
    cluster.deny(await cluster.asked(2))
    with pytest.raises(CertificateRefused, match="denied: not you"):
        await again
