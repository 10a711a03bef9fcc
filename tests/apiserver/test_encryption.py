"""Encryption at rest through a whole server: turning keys as the documentation says, a missing key, and a KMS's health."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.clock import ControlledClock
from apiserver.storage.base import Unavailable
from apiserver.storage.encryption.kms import FAILING_SECONDS
from tests.support.apiserver import running
from tests.support.kmsplugin import Plugin, serving

ONE, TWO = ({"name": name, "secret": base64.b64encode(name.encode() * 8).decode()} for name in ("key1", "key2"))
SECRETS = "/api/v1/namespaces/default/secrets"
SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"password": "aHVudGVyMg=="}}


def options(folder: Path, *providers: dict[str, Any]) -> dict[str, Any]:
    """The server's, with a store on disk."""
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    file = folder / "encryption.yaml"
    file.write_text(yaml.safe_dump({**head, "resources": [{"resources": ["secrets"], "providers": list(providers)}]}))
    return {"storage": f"sqlite://{folder / 'cluster.db'}", "encryption_provider_config": file}


def on_disk(folder: Path) -> bytes:
    """All that the store's files hold."""
    return b"".join(path.read_bytes() for path in folder.glob("cluster.db*"))


def gcm(*keys: dict[str, str]) -> dict[str, Any]:
    return {"aesgcm": {"keys": list(keys)}}


async def test_an_update_that_changes_nothing_takes_the_new_key(tmp_path: Path) -> None:
    async with running(tmp_path, **options(tmp_path, gcm(ONE))) as api:
        made = await api.post(SECRETS, SECRET)
        assert made.code == 201
        same = await api.put(f"{SECRETS}/a", made.body)
        assert same.body["metadata"]["resourceVersion"] == made.body["metadata"]["resourceVersion"]
    disk = on_disk(tmp_path)
    assert b"k8s:enc:aesgcm:v1:key1:" in disk
    assert b"aHVudGVyMg" not in disk
    async with running(tmp_path, **options(tmp_path, gcm(TWO, ONE))) as api:
        found = await api.get(f"{SECRETS}/a")
        assert found.body["data"] == SECRET["data"]
        again = await api.put(f"{SECRETS}/a", found.body)
        assert again.body["metadata"]["resourceVersion"] != found.body["metadata"]["resourceVersion"]
        settled = await api.put(f"{SECRETS}/a", again.body)
        assert settled.body == again.body
    async with running(tmp_path, **options(tmp_path, gcm(TWO))) as api:
        assert (await api.get(f"{SECRETS}/a")).body["data"] == SECRET["data"]


async def test_a_missing_key_stops_the_start_with_the_name_of_the_object(tmp_path: Path) -> None:
    async with running(tmp_path, **options(tmp_path, gcm(ONE))) as api:
        assert (await api.post(SECRETS, SECRET)).code == 201
    with pytest.raises(Unavailable, match='unable to transform key "/registry/core/secrets/default/a"'):
        async with running(tmp_path, **options(tmp_path, gcm(TWO))):
            pass
    async with running(tmp_path, **options(tmp_path, gcm(ONE))) as api:  # nothing was lost, and nothing is held
        assert (await api.get(f"{SECRETS}/a")).code == 200


async def test_a_kms_shows_in_the_health_of_the_server(tmp_path: Path) -> None:
    socket, clock = tmp_path / "kms.sock", ControlledClock()
    kms = {"kms": {"apiVersion": "v2", "name": "safe", "endpoint": f"unix://{socket}", "timeout": "1s"}}

    async def health() -> int:
        return (await api.get("/healthz/kms-providers")).code

    async with running(tmp_path, clock=clock, **options(tmp_path, kms)) as api:
        assert await health() == 500
        assert (await api.get("/readyz")).code == 500
        refused = await api.post(SECRETS, SECRET)
        assert refused.code == 500
        assert "kmsv2 Provider safe is not healthy" in refused.message
        async with serving(socket, Plugin()), asyncio.timeout(30):
            while await health() != 200:
                await clock.advance(FAILING_SECONDS)
            assert (await api.post(SECRETS, SECRET)).code == 201
