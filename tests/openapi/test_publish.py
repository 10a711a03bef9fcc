"""The published documents: whole, consistent, and withdrawn when a kind goes."""

from __future__ import annotations

import json
from typing import Any

from openapi import publish
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
    assert set(before) == {"apis/apps/v1", "apis/stable.example.com/v1"}
    made.replace([DEPLOYMENTS], {})
    after = made.index()["paths"]
    assert after == {"apis/apps/v1": before["apis/apps/v1"]}
    assert made.v3("apis/stable.example.com/v1") is None
