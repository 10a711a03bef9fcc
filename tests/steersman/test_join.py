"""Joining a cluster with a token and a CA's hash: whom a machine believes, against a server over TLS."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from apimachinery import bootstraptokens
from apimachinery.clock import ControlledClock, RealClock
from client.api import Client
from client.resources import CONFIG_MAPS
from steersman import join, joining
from steersman.join import JoinError
from steersman.options import OptionError
from steersman.paths import DataDir
from steersman.tokens import ca_hashes
from tests.support import memoryapi
from tests.support.certificates import authority
from tests.support.memoryapi import MemoryApi

TOKEN = "abcdef", "0123456789abcdef"


class Cluster:
    """A server whose cluster-info anybody may read."""

    def __init__(self, api: MemoryApi, client: Client) -> None:
        self.api, self.url = api, client.credentials.server
        assert client.credentials.ca is not None
        self.ca = client.credentials.ca
        api.tokens.add("")

    def publish(self, content: str, *tokens: tuple[str, str]) -> None:
        signed = {
            bootstraptokens.SIGNATURE_PREFIX + token_id: bootstraptokens.sign(content, token_id, secret)
            for token_id, secret in tokens
        }
        metadata = {"name": bootstraptokens.CLUSTER_INFO, "namespace": bootstraptokens.CLUSTER_INFO_NAMESPACE}
        self.api.put(CONFIG_MAPS, {"metadata": metadata, "data": {bootstraptokens.KUBECONFIG_KEY: content, **signed}})


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with memoryapi.serve(tmp_path) as (api, client):
        yield Cluster(api, client)


async def test_a_cluster_that_token_and_hash_vouch_for_is_believed(cluster: Cluster) -> None:
    cluster.publish(joining.cluster_info("https://cluster:6443", cluster.ca), ("zzzzzz", "f" * 16), TOKEN)
    found = await join.discover(cluster.url, TOKEN, ca_hashes(cluster.ca), ControlledClock())
    assert (found.server, found.ca) == ("https://cluster:6443", cluster.ca)
    user = yaml.safe_load(join.bootstrap_kubeconfig(found, ".".join(TOKEN)))["users"][0]["user"]
    assert user == {"token": "abcdef.0123456789abcdef"}


async def test_a_cluster_that_does_not_know_the_token_is_not(cluster: Cluster) -> None:
    cluster.publish(joining.cluster_info(cluster.url, cluster.ca), (TOKEN[0], "f" * 16))
    with pytest.raises(JoinError, match="is not signed with it"):
        await join.discover(cluster.url, TOKEN, ca_hashes(cluster.ca), ControlledClock())


async def test_a_ca_that_is_not_pinned_is_not(cluster: Cluster) -> None:
    cluster.publish(joining.cluster_info(cluster.url, cluster.ca), TOKEN)
    with pytest.raises(JoinError, match="none of the public keys that were pinned"):
        await join.discover(cluster.url, TOKEN, ca_hashes(authority().pem), ControlledClock())


async def test_a_server_without_a_certificate_of_that_ca_is_not(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join, "PATIENCE", 0.001)
    monkeypatch.setattr(join, "_AGAIN", 0.0)
    ca = authority().pem
    cluster.publish(joining.cluster_info(cluster.url, ca), TOKEN)
    with pytest.raises(JoinError, match=r"cannot be joined: .*certificate verify failed"):
        await join.discover(cluster.url, TOKEN, ca_hashes(ca), RealClock())


@pytest.mark.parametrize("content", ["", "clusters: []", "clusters: [{cluster: {server: x}}]", "a: b: c"])
async def test_what_is_no_cluster_info_is_told(cluster: Cluster, content: str) -> None:
    cluster.publish(content, TOKEN)
    with pytest.raises(JoinError, match="cannot be read"):
        await join.discover(cluster.url, TOKEN, ca_hashes(cluster.ca), ControlledClock())


@pytest.mark.parametrize("hashes", [[], ["sha256:abc"], ["md5:" + "a" * 64], ["a" * 64]])
def test_hashes_that_pin_nothing_are_refused(hashes: list[str]) -> None:
    with pytest.raises(OptionError, match="discovery-token-ca-cert-hash"):
        join.checked_hashes(hashes)
    good = "sha256:" + base64.b16encode(b"k" * 32).decode()
    assert join.checked_hashes([good]) == [good.lower()]


def test_the_folder_of_another_cluster_joins_none(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.kubeconfigs.mkdir()
    (data.kubeconfigs / "nodeagent.yaml").write_text("{}")
    arguments = ("https://127.0.0.1:1", ".".join(TOKEN), ["sha256:" + "a" * 64], ControlledClock())
    with pytest.raises(JoinError, match="holds a cluster of its own"):
        join.join(data, *arguments)
    data.bootstrap_kubeconfig.write_text("{}")
    assert not join.join(data, *arguments)
