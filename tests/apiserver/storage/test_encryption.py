"""Encryption at rest: what lies on disk, how keys are turned, and what happens when they are missing; with a real SQLite file."""

from __future__ import annotations

import asyncio
import base64
import os
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.clock import ControlledClock, RealClock
from apiserver.configscheme import ConfigError
from apiserver.storage.base import Backend, Unavailable
from apiserver.storage.encryption import Encryption, configuration
from apiserver.storage.encryption.ciphers import AesCbc, AesGcm, SecretBox, SeededGcm, Unreadable
from apiserver.storage.encryption.kms import Kms
from apiserver.storage.encryption.providers import KeyWanted
from apiserver.storage.sqlite import SQLite
from tests.support.kmsplugin import Plugin, serving

KEY = "/registry/core/secrets/default/a"
VALUE = b'v1\n"metadata":{"name":"a"},"data":{"password":"aHVudGVyMg=="}}'
ONE, TWO = ({"name": name, "secret": base64.b64encode(name.encode() * 8).decode()} for name in ("key1", "key2"))


def rule(*providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> dict[str, Any]:
    return {"resources": list(resources), "providers": list(providers)}


def text(*rules: dict[str, Any]) -> str:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    return yaml.safe_dump({**head, "resources": list(rules)})


def cbc(*keys: dict[str, str]) -> dict[str, Any]:
    return {"aescbc": {"keys": list(keys)}}


class Place:
    """A store on disk and the file that says how it is encrypted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "encryption.yaml"
        self.database = folder / "cluster.db"

    @asynccontextmanager
    async def open(self, *rules: dict[str, Any], clock: Any = None, follow: bool = False) -> AsyncIterator[Encryption]:
        self.file.write_text(text(*rules))
        clock = clock or RealClock()
        encryption = Encryption(self.file, SQLite(self.database, clock), clock, follow=follow)
        await encryption.start()
        await encryption.backend.start()
        try:
            yield encryption
        finally:
            await encryption.backend.close()
            await encryption.close()

    def on_disk(self) -> bytes:
        """All that the files hold."""
        return b"".join(path.read_bytes() for path in self.folder.glob("cluster.db*"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("cipher", [AesCbc(b"k" * 32), AesGcm(b"k" * 16), SecretBox(b"k" * 32), SeededGcm(b"k" * 32)])
def test_ciphers_give_back_what_they_got_and_notice_what_they_can(cipher: Any) -> None:
    for plain in (b"", b"x", os.urandom(16), os.urandom(5000)):
        stored = cipher.encrypt(plain, b"/registry/a")
        assert stored != cipher.encrypt(plain, b"/registry/a")
        assert cipher.decrypt(stored, b"/registry/a") == plain
    if not isinstance(cipher, AesCbc):
        with pytest.raises(Unreadable):
            cipher.decrypt(stored[:-1] + bytes([stored[-1] ^ 1]), b"/registry/a")
    if isinstance(cipher, AesGcm | SeededGcm):
        with pytest.raises(Unreadable):
            cipher.decrypt(stored, b"/registry/b")
    with pytest.raises(Unreadable, match="shorter than the required size"):
        cipher.decrypt(b"short", b"/registry/a")


@pytest.mark.parametrize(
    ("provider", "prefix"),
    [
        (cbc(ONE), b"k8s:enc:aescbc:v1:key1:"),
        ({"aesgcm": {"keys": [ONE]}}, b"k8s:enc:aesgcm:v1:key1:"),
        ({"secretbox": {"keys": [ONE]}}, b"k8s:enc:secretbox:v1:key1:"),
    ],
    ids=["aescbc", "aesgcm", "secretbox"],
)
async def test_what_is_told_to_be_encrypted_is_not_on_disk(
    place: Place, provider: dict[str, Any], prefix: bytes
) -> None:
    told: list[bytes | None] = []
    async with place.open(rule(provider)) as encryption:
        backend: Backend = encryption.backend
        backend.subscribe("/registry/core/secrets/", lambda changes: told.extend(change.value for change in changes))
        first = await backend.create(KEY, VALUE)
        await backend.update(KEY, VALUE + b" ", first)
        await backend.create("/registry/core/configmaps/default/a", b'v1\n"metadata":{},"data":{"open":"yes"}}')
        record = await backend.get(KEY)
        assert record is not None
        assert record.value == VALUE + b" "
        assert [r.value for r in (await backend.list("/registry/core/secrets/")).records] == [VALUE + b" "]
        pages = [page async for page in backend.changes("/registry/core/secrets/", first - 1, backend.revision)]
        assert [(c.value, c.previous_value) for page in pages for c in page] == [(VALUE, None), (VALUE + b" ", VALUE)]
    assert told == [VALUE, VALUE + b" "]
    assert b"aHVudGVyMg" not in place.on_disk()
    assert b'"open":"yes"' in place.on_disk()
    assert prefix in place.on_disk()


async def test_keys_are_turned_without_losing_anything(place: Place) -> None:
    async with place.open(rule({"identity": {}})) as encryption:
        await encryption.backend.create(KEY, VALUE)
    async with place.open(rule(cbc(ONE), {"identity": {}})) as encryption:
        record = await encryption.backend.get(KEY)
        assert record is not None
        assert await encryption.backend.stale(KEY)
        await encryption.backend.update(KEY, record.value, record.revision)
        assert not await encryption.backend.stale(KEY)
    async with place.open(rule(cbc(TWO, ONE))) as encryption:
        record = await encryption.backend.get(KEY)
        assert record is not None
        assert record.value == VALUE
        assert await encryption.backend.stale(KEY)
    async with place.open(rule(cbc(TWO))) as encryption:
        with pytest.raises(
            Unavailable, match='unable to transform key "/registry/core/secrets/default/a": no matching key'
        ):
            await encryption.backend.get(KEY)
    async with place.open(rule({"identity": {}})) as encryption:
        with pytest.raises(Unavailable, match="no matching prefix found"):
            await encryption.backend.get(KEY)


async def test_the_first_rule_that_covers_a_resource_counts(place: Place) -> None:
    rules = [
        rule({"identity": {}}, resources=("events",)),
        rule(cbc(ONE), resources=("*.apps", "pandas.bears.example")),
        rule(cbc(TWO), resources=("*.*",)),
    ]
    async with place.open(*rules) as encryption:
        for key in ("core/events/d/plain", "apps/deployments/d/one", "bears.example/pandas/d/one", "core/pods/d/two"):
            await encryption.backend.create(f"/registry/{key}", b"v1\n" + key.encode())
    stored = place.on_disk()
    assert b"core/events/d/plain" in stored.replace(b"/registry/core/events/d/plain", b"")
    assert stored.count(b"k8s:enc:aescbc:v1:key1:") == 2
    assert stored.count(b"k8s:enc:aescbc:v1:key2:") == 1


async def test_the_file_is_followed_and_a_bad_one_changes_nothing(place: Place) -> None:
    clock = ControlledClock()
    async with place.open(rule({"identity": {}}), clock=clock, follow=True) as encryption:
        running = asyncio.create_task(encryption.run())
        place.file.write_text("resources: [")
        await clock.advance(3)
        await encryption.backend.create(KEY, VALUE)
        place.file.write_text(text(rule(cbc(ONE), {"identity": {}})))
        while not await encryption.backend.stale(KEY):
            await clock.advance(1)
            await asyncio.sleep(0.01)  # the file is read in a thread
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_kms_keeps_the_key_of_the_keys(tmp_path: Path) -> None:
    plugin, clock, socket = Plugin(), ControlledClock(), tmp_path / "kms.sock"
    place = Place(tmp_path)
    kms = {"kms": {"apiVersion": "v2", "name": "safe", "endpoint": f"unix://{socket}"}}
    async with serving(socket, plugin), place.open(rule(kms), clock=clock) as encryption:
        assert encryption.check() is None
        await encryption.backend.create(KEY, VALUE)
        await encryption.backend.create(KEY + "2", VALUE)
        assert plugin.calls == ["Status", "Encrypt"]
    assert b"k8s:enc:kms:v2:safe:" in place.on_disk()
    assert b"aHVudGVyMg" not in place.on_disk()
    plugin.calls.clear()
    plugin.turn("key-2")
    async with serving(socket, plugin), place.open(rule(kms), clock=clock) as encryption:
        assert len((await encryption.backend.list("/registry/core/secrets/")).records) == 2
        assert plugin.calls == ["Status", "Encrypt", "Decrypt"]  # one seed, asked for once
        assert await encryption.backend.stale(KEY)
    del plugin.keys["key-1"]
    async with serving(socket, plugin), place.open(rule(kms), clock=clock) as encryption:
        with pytest.raises(
            Unavailable, match="failed to decrypt DEK, error: rpc error: code = NotFound desc = no such key"
        ):
            await encryption.backend.get(KEY)


async def test_without_its_kms_nothing_is_written_after_three_minutes(tmp_path: Path) -> None:
    plugin, clock, socket = Plugin(), ControlledClock(), tmp_path / "kms.sock"
    place = Place(tmp_path)
    kms = {"kms": {"apiVersion": "v2", "name": "safe", "endpoint": f"unix://{socket}", "timeout": "1s"}}
    async with place.open(rule(kms), clock=clock) as encryption:
        assert "kmsv2 Provider safe is not healthy" in (encryption.check() or "")
        with pytest.raises(Unavailable, match="is not healthy"):
            await encryption.backend.create(KEY, VALUE)
    async with serving(socket, plugin), place.open(rule(kms), clock=clock) as encryption:
        await clock.advance(179)
        first = await encryption.backend.create(KEY, VALUE)
        await clock.advance(2)
        with pytest.raises(Unavailable, match="expired at"):
            await encryption.backend.update(KEY, VALUE, first)
        record = await encryption.backend.get(KEY)
        assert record is not None
        assert record.value == VALUE


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([], "resources: Required value: at least one resources is required"),
        ([rule(cbc(ONE), resources=("Secrets",))], "resource name should not contain capital letters"),
        ([rule(cbc(ONE), resources=("*",))], "use '*.' to encrypt all the resources from core API group"),
        ([rule(cbc(ONE), resources=("secrets", "secrets"))], "the same resource cannot be specified multiple times"),
        ([rule(cbc(ONE), resources=("secrets", "*."))], "using overlapping resources such as"),
        ([rule(cbc(ONE), resources=("*.*",)), rule(cbc(TWO))], 'resource "secrets" is masked by earlier rule "*.*"'),
        ([rule(cbc())], "resources[0].providers[0].aescbc.keys: Required value: at least one keys is required"),
        (
            [rule(cbc({"name": "a", "secret": "!"}))],
            'keys[0].secret: Invalid value: "REDACTED": secrets must be base64',
        ),
        (
            [rule(cbc({"name": "a", "secret": "aGk="}))],
            "secret is not of the expected length, got 2, expected one of [16 24 32]",
        ),
        ([rule({"kms": {"name": "a", "endpoint": "unix:///a"}})], "KMSv1 is deprecated"),
        (
            [rule({"kms": {"apiVersion": "v2", "name": "a:b", "endpoint": "tcp://a"}})],
            "invalid KMS provider name a:b, must not contain ':'",
        ),
        ([rule({})], "provider does not contain any of the expected providers"),
        ([rule({"identity": {}, **cbc(ONE)})], "more than one provider specified in a single element"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused_without_its_secrets(
    rules: list[dict[str, Any]], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.load(text(*rules).encode())
    assert problem in str(caught.value)
    assert ONE["secret"] not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "problem"), [("kind", "Object 'Kind' is missing"), ("apiVersion", "Object 'apiVersion' is missing")]
)
def test_a_file_that_does_not_say_what_it_is_is_not_shown(missing: str, problem: str) -> None:
    stated = yaml.safe_load(text(rule(cbc(ONE))))
    del stated[missing]
    with pytest.raises(ConfigError, match=f"{problem}$") as caught:
        configuration.load(yaml.safe_dump(stated).encode())
    assert ONE["secret"] not in "".join(traceback.format_exception(caught.value))


async def test_a_key_of_a_service_that_is_configured_no_more_cannot_be_had(tmp_path: Path) -> None:
    clock, socket = ControlledClock(), tmp_path / "kms.sock"
    provider = configuration.Provider("kms", name="safe", endpoint=f"unix://{socket}")
    async with serving(socket, Plugin()):
        writer, reader = Kms(provider, clock), Kms(provider, clock)
        await writer.start()
        stored = writer.write(VALUE, KEY.encode())
        with pytest.raises(KeyWanted) as wanted:
            reader.read(stored, KEY.encode())
        await reader.retire()
        with pytest.raises(Unreadable, match="not configured any more"):
            await wanted.value.fetch()
        await writer.close()
