"""Custom resources: pruning, defaults, nulls, and their schemas' rules."""

from __future__ import annotations

from typing import Any

import pytest

from openapi import regexp, structural
from openapi.structural import CustomType, Structural
from openapi.validate import Validator

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["max"],
    "properties": {
        "max": {"type": "integer", "maximum": 10, "exclusiveMaximum": True},
        "name": {"type": "string", "nullable": True},
        "n": {"type": "integer", "default": 5},
        "list": {
            "type": "array",
            "items": {"type": "object", "properties": {"k": {"type": "string", "default": "x"}}},
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "either": {"x-kubernetes-int-or-string": True},
        "color": {"type": "string", "enum": ["red", "blue"], "maxLength": 4},
        "one": {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        "map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
        "when": {"type": "string", "format": "date-time"},
        "embedded": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}  # fmt: skip
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"spec": SPEC}}


def test_unknown_fields_are_dropped_and_named() -> None:
    kind = CustomType(Structural(SCHEMA), "Foo")
    obj, problems = kind.decode(
        {
            "apiVersion": "g/v1",
            "kind": "Foo",
            "metadata": {"name": "a", "bad": 1},
            "spec": {"junk": 1, "list": [{"k": "1", "z": 2}], "free": {"q": {"r": 1}}},
            "other": 2,
        }
    )
    assert obj == {
        "apiVersion": "g/v1",
        "kind": "Foo",
        "metadata": {"name": "a"},
        "spec": {"list": [{"k": "1"}], "free": {"q": {"r": 1}}},
    }
    assert problems == [
        'unknown field "metadata.bad"',
        'unknown field "other"',
        'unknown field "spec.junk"',
        'unknown field "spec.list[0].z"',
    ]


def test_nulls_and_defaults() -> None:
    schema = Structural(SCHEMA)
    obj: dict[str, Any] = {"spec": {"max": None, "name": None, "n": None, "list": [{}]}}
    structural.prune_nulls(obj, schema)
    structural.default(obj, schema)
    assert obj == {"spec": {"name": None, "n": 5, "list": [{"k": "x"}]}}


def test_integral_floats_and_large_numbers_are_written_as_go_does() -> None:
    from openapi import codec

    kind = CustomType(Structural(SCHEMA), "Foo")
    obj, _ = codec.decode(
        kind, codec.parse(b'{"metadata":{},"spec":{"free":{"a":1e2,"b":18446744073709551616,"c":1.5}}}')
    )
    free = obj["spec"]["free"]
    assert (free["a"], type(free["a"])) == (100, int)
    assert isinstance(free["b"], float)
    assert free["c"] == 1.5


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ({"max": 1}, []),
        ({}, ["spec.max: Required value"]),
        ({"max": "x"}, ['spec.max: Invalid value: "string": spec.max in body must be of type integer: "string"']),
        ({"max": 10}, ["spec.max: Invalid value: 10: spec.max in body should be less than 10"]),
        ({"max": 1, "either": 1.5}, ['spec.either: Invalid value: "number": spec.either in body must be of type integer,string: "number"']),  # noqa: E501
        ({"max": 1, "color": "green"}, [
            "spec.color: Too long: may not be more than 4 bytes",
            'spec.color: Unsupported value: "green": supported values: "red", "blue"',
        ]),
        ({"max": 1, "one": {"a": "x", "b": "y"}}, [
            '<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ]),
        ({"max": 1, "map": {"k": -1}}, ["spec.map.k: Invalid value: -1: spec.map.k in body should be greater than or equal to 0"]),
        ({"max": 1, "when": "soon"}, [
            'spec.when: Invalid value: "soon": spec.when in body must be of type date-time: "soon"',
        ]),
    ],
)  # fmt: skip
def test_rules_in_the_words_of_the_original(spec: Any, texts: list[str]) -> None:
    assert [str(error) for error in Validator(SCHEMA).check({"spec": spec})] == texts


def test_patterns_take_linear_time_and_errors_are_go_s() -> None:
    assert not regexp.matches("^(a+)+$", "a" * 5000 + "b")
    with pytest.raises(regexp.RegexpError) as error:
        regexp.compile("(")
    assert str(error.value) == "error parsing regexp: missing closing ): `(`"
