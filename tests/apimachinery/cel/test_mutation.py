"""Object{...} and JSONPatch{...} of mutating policies."""

from __future__ import annotations

from typing import Any

from apimachinery.cel import mutation, values
from apimachinery.cel.env import Env
from apimachinery.cel.types import DYN_TYPE, Types, list_of
from tests.apimachinery.cel.support import complaints, value

ENV = Env({"object": DYN_TYPE}, Types(mutation.MutationTypes()), mutation=True)
OBJ: dict[str, Any] = {"spec": {"replicas": 2}}


def test_objects() -> None:
    made = value(
        "Object{spec: Object.spec{replicas: object.spec.replicas + 1, items: [Object.spec.items{a: 'b'}]}}",
        ENV,
        object=OBJ,
    )
    assert made.cel_type == mutation.OBJECT
    assert values.to_json(made) == {"spec": {"replicas": 3, "items": [{"a": "b"}]}}
    assert made.misnamed() == []


def test_optional_fields_can_be_left_out() -> None:
    made = value(
        "Object{?spec: object.?status, ?metadata: optional.of(Object.metadata{labels: {'a': 'b'}})}", ENV, object=OBJ
    )
    assert values.to_json(made) == {"metadata": {"labels": {"a": "b"}}}


def test_names_have_to_follow_from_fields() -> None:
    made = value("Object{spec: Object.wrong{a: 1}}", ENV, object=OBJ)
    assert made.misnamed() == [
        'unexpected type name "Object.wrong", expected "Object.spec", which matches field name path from root Object type'
    ]


def test_patches() -> None:
    text = "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b~c'), value: {'x': 1}}]"
    assert ENV.compile(text).type == list_of(mutation.JSON_PATCH)
    (made,) = value(text, ENV, object=OBJ)
    assert values.to_json(made) == {"op": "add", "path": "/metadata/labels/a~1b~0c", "value": {"x": 1}}
    assert complaints("JSONPatch{op: 1}", ENV)
    assert complaints("JSONPatch{nope: 1}", ENV) == ["undefined field 'nope'"]


def test_only_for_mutations() -> None:
    assert complaints("Object{}") == ["undeclared reference to 'Object' (in container '')"]
    assert complaints("jsonpatch.escapeKey('a')")
