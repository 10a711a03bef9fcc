"""Declarations from OpenAPI schemas, and data seen through them."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.cel.env import Env
from apimachinery.cel.schemas import DeclaredSizes, SchemaTypes, declare, escape, max_cardinality, unescape
from tests.apimachinery.cel.support import complaints

Schema = dict[str, Any]
STRING: Schema = {"type": "string"}
INT: Schema = {"type": "integer"}


def obj(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def mapping(values: Schema, **more: Any) -> Schema:
    return {"type": "object", "additionalProperties": values, **more}


def env_of(schema: Schema) -> Env:
    decl = declare(schema)
    assert decl is not None
    return Env({"self": decl.type, "oldSelf": decl.type}, SchemaTypes(decl))


def holds(text: str, schema: Schema, data: Any) -> bool:
    decl = declare(schema)
    assert decl is not None
    found, _ = env_of(schema).compile(text).program().eval({"self": decl.value(data)})
    return bool(found)


def cost(text: str, schema: Schema) -> int:
    decl = declare(schema)
    assert decl is not None
    return env_of(schema).compile(text).cost(DeclaredSizes(decl)).max


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("plain", "plain"),
        ("a-b", "a__dash__b"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
        ("namespace", "__namespace__"),
        ("int", "int"),
        ("with space", None),
        ("9lives", None),
        ("", None),
    ],
)
def test_names_are_escaped(name: str, escaped: str | None) -> None:
    assert escape(name) == escaped
    if escaped is not None:
        assert unescape(escaped) == name


CASES: list[tuple[Schema, Any, str]] = [
    (
        obj(**{"a-b": INT, "import": INT, "in.it": STRING}),
        {"a-b": 1, "import": 2, "in.it": "x"},
        "self.a__dash__b == 1 && self.__import__ == 2 && self.in__dot__it == 'x'",
    ),
    (obj(n={"type": "number"}), {"n": 1}, "self.n == 1.0 && type(self.n) == double"),
    (obj(b={"type": "string", "format": "byte"}), {"b": "QUI="}, "self.b == b'AB'"),
    (obj(d={"type": "string", "format": "duration"}), {"d": "1h2m"}, "self.d.getMinutes() == 62"),
    (obj(d={"type": "string", "format": "date"}), {"d": "2024-02-03"}, "self.d == timestamp('2024-02-03T00:00:00Z')"),
    (obj(d={"type": "string", "format": "date-time"}), {"d": "2024-02-03T04:05:06+01:00"}, "self.d.getHours() == 3"),
    (obj(x={"x-kubernetes-int-or-string": True}), {"x": "25%"}, "type(self.x) == string && self.x != 1 || self.x == 3"),
    (obj(x={"x-kubernetes-int-or-string": True}), {"x": 5}, "self.x == 5 && type(self.x) == int"),
    (
        obj(s=array(STRING, **{"x-kubernetes-list-type": "set"})),
        {"s": ["a", "b"]},
        "self.s == ['b', 'a'] && (self.s + ['b', 'c']).size() == 3",
    ),
    (
        obj(m=array(obj(k=STRING, v=STRING), **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]})),
        {"m": [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}]},
        "self.m == self.m && self.m.exists(e, e.k == 'b' && e.v == '2') && (self.m + self.m).size() == 2",
    ),
    (
        obj(m=mapping(obj(**{"a-b": INT}))),
        {"m": {"x-y": {"a-b": 3}}},
        "self.m['x-y'].a__dash__b == 3 && self.m.all(k, k == 'x-y')",
    ),
    (obj(a=STRING), {}, "!has(self.a) && self.?a.orValue('none') == 'none'"),
    (obj(a={**STRING, "nullable": True}), {"a": None}, "!has(self.a)"),
    (array(obj(f={"type": "number"})), [{"f": 1}, {"f": 2.5}], "self.map(e, e.f).sum() == 3.5"),
    (STRING, "text", "self == 'text'"),
    ({"type": "boolean"}, True, "self"),
]


@pytest.mark.parametrize(("schema", "data", "text"), CASES)
def test_data_are_seen_as_their_schema_says(schema: Schema, data: Any, text: str) -> None:
    assert holds(text, schema, data)


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (obj(a=INT), "self.b == 1", "undefined field 'b'"),
        (obj(a=INT), "self.a == 'x'", "found no matching overload for '_==_' applied to '(int, string)'"),
        (
            obj(a={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
            "self.a.b == 1",
            "undefined field 'b'",
        ),
        (obj(a={"x-kubernetes-preserve-unknown-fields": True}), "self.a == 1", "undefined field 'a'"),
        (obj(**{"two words": INT}), "self.two == 1", "undefined field 'two'"),
    ],
)
def test_what_a_schema_does_not_have(schema: Schema, text: str, expected: str) -> None:
    assert complaints(text, env_of(schema)) == [expected]


def test_a_resource_has_metadata() -> None:
    decl = declare(obj(spec=INT), root=True)
    assert decl is not None
    env = Env({"self": decl.type}, SchemaTypes(decl))
    env.compile("self.metadata.name == self.kind + self.apiVersion + self.metadata.generateName")
    assert complaints("self.metadata.labels == {}", env) == ["undefined field 'labels'"]


def test_free_form_schemas_have_no_type() -> None:
    assert declare({"x-kubernetes-preserve-unknown-fields": True}) is None


# Static costs follow from how large data can be: from limits in the schema, else from what fits into a request.


def test_costs_grow_with_what_the_schema_allows() -> None:
    rule = "self.all(s, s.startsWith('a'))"
    small = cost(rule, array({**STRING, "maxLength": 10}, maxItems=10))
    assert small < 200
    assert cost(rule, array({**STRING, "maxLength": 10}, maxItems=1000)) > 50 * small
    assert cost(rule, array(STRING)) > 5_000_000
    assert cost("self.all(a, self.all(b, a == b))", array(INT, maxItems=100)) > 100 * 100


def test_sizes() -> None:
    def size(schema: Schema, *steps: str) -> int:
        decl = declare(schema)
        assert decl is not None
        found = DeclaredSizes(decl).of(("self", *steps))
        assert found is not None
        return found.max

    assert size({**STRING, "maxLength": 5}) == 20
    assert size({**STRING, "enum": ["a", "four"]}) == 4
    assert size(STRING) == 3 * 1024 * 1024 - 2
    assert size(array(INT, maxItems=7)) == 7
    assert size(mapping({**STRING, "maxLength": 3}, maxProperties=2), "@values") == 12
    assert size(obj(a=array({**STRING, "maxLength": 1})), "a", "@items") == 4
    assert max_cardinality(2) > max_cardinality(20) > 0
