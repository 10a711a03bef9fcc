"""Bodies in protobuf that are deeper, longer or other than they say."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.support.apiserver import Answer, Api

PROTOBUF = "application/vnd.kubernetes.protobuf"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CMS = "/api/v1/namespaces/default/configmaps"
NOT = 28  # JSONSchemaProps.not, which is another JSONSchemaProps


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def within(number: int, content: bytes) -> bytes:
    """A field of that number that holds a message or a text."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def unknown(version: str, kind: str, raw: bytes) -> bytes:
    """The envelope of all bodies: magic, then a runtime.Unknown."""
    return b"k8s\0" + within(1, within(1, version.encode()) + within(2, kind.encode())) + within(2, raw)


async def post(api: Api, path: str, body: bytes) -> Answer:
    async with asyncio.timeout(20):
        return await api.ask("POST", path, body, headers={"Content-Type": PROTOBUF})


@pytest.mark.parametrize("levels", [500, 20_000])
async def test_schemas_within_schemas(api: Api, levels: int) -> None:
    parts, size = [], 0
    for _ in range(levels):  # from the inside out, with the lengths only: joined, it is in the other order
        head = varint(NOT << 3 | 2) + varint(size)
        parts.append(head)
        size += len(head)
    schema = b"".join(reversed(parts))
    version = within(1, b"v1") + within(4, within(1, schema))
    body = within(1, within(1, b"as.x.example.com")) + within(2, within(1, b"x.example.com") + within(7, version))
    answer = await post(api, CRDS, unknown("apiextensions.k8s.io/v1", "CustomResourceDefinition", body))
    assert 400 <= answer.code < 500, answer.raw[:300]
    assert len(answer.raw) < 200_000
    assert (await api.get("/livez")).code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 100,
        varint(1 << 3 | 2) + b"\xff\xff\xff\xff\x7f",  # a length beyond the end
        varint(1 << 3 | 2) + b"\xff" * 20,  # a number without an end
        varint(1 << 3 | 3) * 50_000,  # groups in groups
        varint(2 << 3 | 2) + varint(3) + b"abc",  # no entry of a map
        within(1, within(1, b"\xff\xfe\xff")),  # no text
        within(1, within(3, b"kube-system") + within(1, b"a")),  # another namespace
        within(1, within(1, b"a") * 200_000),  # a name again and again
        within(2, within(1, b"k") + within(2, b"v")) * 100_000,  # the same key again and again
        within(15, b"x" * 2_000_000),  # a field that nobody knows
    ],
    ids=range(11),
)
async def test_odd_bodies(api: Api, raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    for body in (unknown("v1", "ConfigMap", raw), b"k8s\0" + raw, raw):
        answer = await post(api, CMS, body)
        assert answer.code == 201 or 400 <= answer.code < 500, answer.raw[:300]
        if answer.code == 201:
            assert answer.body["metadata"]["namespace"] == "default"
            await api.delete(f"{CMS}/{answer.body['metadata']['name']}")
    assert not caplog.records
