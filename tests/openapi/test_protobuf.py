"""Protobuf bodies say what their JSON says."""

from __future__ import annotations

from typing import Any

import pytest

from openapi import codec, protobuf, schemas

EXAMPLES: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}, "creationTimestamp": "2001-02-03T04:05:06Z"},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": False}}}],
                    "resources": {"limits": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 3},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                }
            ],
            "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 420}}],
            "activeDeadlineSeconds": 0,
        },
        "status": {},
    },
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
        "spec": {"renewTime": "2001-02-03T04:05:06.000007Z", "leaseTransitions": -1},
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "AAE="}, "type": "Opaque"},
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": "u", "extra": {"k": ["a", "b"]}},
        "status": {"allowed": False},
    },
]


@pytest.mark.parametrize("obj", EXAMPLES, ids=lambda obj: obj["kind"])
def test_there_and_back(obj: dict[str, Any]) -> None:
    info = schemas.load().type(f"{obj['apiVersion']}/{obj['kind']}")
    body = protobuf.write(obj["apiVersion"], obj["kind"], protobuf.encode(info, obj))
    assert codec.decode(info, codec.parse(body, codec.PROTOBUF)) == (obj, [])


def test_what_kubectl_sends_for_a_namespace() -> None:
    body = bytes.fromhex(
        "6b3873000a0f0a02763112094e616d65737061636512190a110a0174120 01a0022002a00320038004200 12001a020a001a002200".replace(
            " ", ""
        )
    )
    obj = codec.parse(body, codec.PROTOBUF).obj
    assert schemas.load().type("v1/Namespace").decode(obj)[0] == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "t"},
        "spec": {},
        "status": {},
    }


@pytest.mark.parametrize("raw", [b"", b"k8s", b"k8s\x00\x0a\xff", b"{}", b"k8s\x00" + b"\x80" * 20])
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(codec.ParseError):
        codec.parse(raw, codec.PROTOBUF)
