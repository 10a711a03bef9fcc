"""The published documents: whole, consistent, and withdrawn when a kind goes."""

from __future__ import annotations

import json
from typing import Any

import orjson

from openapi import protobuf, publish
from openapi.paths import Served, Sub
from openapi.publish import Publisher

DEPLOYMENTS = Served(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    True,
    ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.DeploymentList",
    (Sub("scale", ("get", "patch", "update"), ("autoscaling", "v1", "Scale"), "io.k8s.api.autoscaling.v1.Scale"),),
)
CUSTOM = Served(
    "stable.example.com", "v1", "Foo", "foos", True, ("get", "list"), "com.example.stable.v1.Foo", "com.example.stable.v1.FooList",
    custom=True,
)  # fmt: skip
FOO: dict[str, Any] = {"type": "object", "properties": {"spec": {"type": "object", "nullable": True}}}


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def publisher() -> Publisher:
    made = Publisher()
    made.replace([DEPLOYMENTS, CUSTOM], {CUSTOM.definition: FOO, CUSTOM.list_definition: publish.list_schema(CUSTOM)})
    return made


def test_v3_is_closed_under_reference_and_names_operations() -> None:
    document = publisher().v3("apis/apps/v1")
    assert document is not None
    content = json.loads(document.body)
    schemas = content["components"]["schemas"]
    assert all(ref.rpartition("/")[2] in schemas for ref in references(content))
    post = content["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"]
    assert post["operationId"] == "createAppsV1NamespacedDeployment"
    assert post["x-kubernetes-action"] == "post"
    assert any(parameter["name"] == "fieldValidation" for parameter in post["parameters"])
    remove = content["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["delete"]
    assert remove["operationId"] == "deleteAppsV1CollectionNamespacedDeployment"
    assert schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["template"]["default"] == {}


def test_v2_is_closed_under_reference_and_has_a_protobuf_form() -> None:
    made = publisher()
    content = json.loads(made.v2().body)
    assert all(ref.rpartition("/")[2] in content["definitions"] for ref in references(content))
    assert "nullable" not in json.dumps(content["definitions"][CUSTOM.definition])
    assert made.v2_protobuf().body.startswith(b"\x0a\x032.0")


def test_the_index_changes_with_what_is_served() -> None:
    made = publisher()
    before = made.index()["paths"]
    roots = {".well-known/openid-configuration", "api", "apis", "apis/apps", "openid/v1/jwks", "version"}
    assert set(before) == {"apis/apps/v1", "apis/stable.example.com/v1"} | roots
    made.replace([DEPLOYMENTS], {})
    after = made.index()["paths"]
    assert after == {name: address for name, address in before.items() if "stable" not in name}
    assert made.v3("apis/stable.example.com/v1") is None


def _numbers(message: bytes) -> dict[int, list[bytes]]:
    """The fields with a length of a protobuf message, by number."""
    out: dict[int, list[bytes]] = {}
    for number, value in protobuf._fields(message):
        if isinstance(value, bytes):
            out.setdefault(number, []).append(value)
    return out


def _entries(message: bytes, number: int) -> dict[str, bytes]:
    """A map of a gnostic document: named messages."""
    pairs = (_numbers(entry) for entry in _numbers(message).get(number, ()))
    return {pair[1][0].decode(): pair[2][0] for pair in pairs}


def test_v3_as_protobuf_says_what_its_json_says() -> None:
    made = publisher()
    document, binary = made.v3("apis/apps/v1"), made.v3_protobuf("apis/apps/v1")
    assert document is not None
    assert binary is not None
    assert binary.etag == document.etag
    content = orjson.loads(document.body)
    top = _numbers(binary.body)
    assert top[1] == [b"3.0.0"]
    assert set(_entries(top[4][0], 1)) == set(content["paths"])
    schemas = _entries(_numbers(top[5][0])[1][0], 1)
    assert set(schemas) == set(content["components"]["schemas"])
    spec = content["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]
    message = _numbers(_numbers(schemas["io.k8s.api.apps.v1.DeploymentSpec"])[1][0])
    assert [name.decode() for name in message[23]] == spec["required"]
    fields = _entries(message[31][0], 1)
    assert set(fields) == set(spec["properties"])
    template = _numbers(_numbers(fields["template"])[1][0])
    assert b"#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec" in template[26][0]
    assert template[33] == [b""]  # the default {}
    assert made.v3_protobuf("apis/nope/v1") is None


def test_v3_tells_the_values_of_enumerated_fields() -> None:
    made = publisher().v3("apis/apps/v1")
    assert made is not None
    schemas = orjson.loads(made.body)["components"]["schemas"]
    strategy = schemas["io.k8s.api.apps.v1.DeploymentStrategy"]["properties"]["type"]
    assert strategy["enum"] == ["Recreate", "RollingUpdate"]
    assert "enum" not in schemas["io.k8s.api.apps.v1.Deployment"]["properties"]["kind"]
