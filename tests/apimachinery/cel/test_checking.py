"""Types: what is found out before anything runs."""

from __future__ import annotations

import pytest

from apimachinery.cel import types
from apimachinery.cel.env import Env
from apimachinery.cel.types import draw
from tests.apimachinery.cel.support import complaint, complaints

INT, STRING, DYN = types.INT_TYPE, types.STRING_TYPE, types.DYN_TYPE
ENV = Env(
    {
        "i": INT,
        "s": STRING,
        "d": DYN,
        "ints": types.list_of(INT),
        "map": types.map_of(STRING, INT),
        "o": types.optional_of(STRING),
        "dotted.name": STRING,
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "int"),
        ("1u", "uint"),
        ("null", "null"),
        ("[]", "list(dyn)"),
        ("[1, 2]", "list(int)"),
        ("{'a': 1}", "map(string, int)"),
        ("{}", "map(dyn, dyn)"),
        ("ints[0]", "int"),
        ("map.a", "int"),
        ("map['a']", "int"),
        ("d.a.b", "dyn"),
        ("ints.map(x, string(x))", "list(string)"),
        ("ints.filter(x, x > 1)", "list(int)"),
        ("ints.all(x, x > 1)", "bool"),
        ("map.transformMap(k, v, k)", "map(string, string)"),
        ("ints.transformList(i, v, [v])", "list(list(int))"),
        ("s == 'a' ? 1 : 2", "int"),
        ("type(i)", "type(int)"),
        ("map.?a", "optional_type(int)"),
        ("ints[?0]", "optional_type(int)"),
        ("map.?a.optMap(x, string(x))", "optional_type(string)"),
        ("o.orValue('')", "string"),
        ("dotted.name", "string"),
        ("timestamp(s) - timestamp(s)", "duration"),
        ("duration(s)", "duration"),
        ("ints.sum()", "int"),
        ("s.split(',')", "list(string)"),
        ("quantity(s)", "kubernetes.Quantity"),
        ("ip(s)", "net.IP"),
        ("format.named(s)", "optional_type(kubernetes.NamedFormat)"),
    ],
)
def test_types(text: str, expected: str) -> None:
    assert draw(ENV.compile(text).type) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i + s", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("i + 1.0", "found no matching overload for '_+_' applied to '(int, double)'"),
        ("i == s", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("!i", "found no matching overload for '!_' applied to '(int)'"),
        ("i && true", "expected type 'bool' but found 'int'"),
        ("i ? 1 : 2", "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("true ? i : s", "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("s.startsWith(1)", "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("nope", "undeclared reference to 'nope' (in container '')"),
        ("nope(1)", "undeclared reference to 'nope' (in container '')"),
        ("s.nope()", "undeclared reference to 'nope' (in container '')"),
        ("i.field", "type 'int' does not support field selection"),
        ("ints.field", "type 'list(int)' does not support field selection"),
        ("i[0]", "found no matching overload for '_[_]' applied to '(int, int)'"),
        ("map[1]", "found no matching overload for '_[_]' applied to '(map(string, int), int)'"),
        ("'a' in i", "found no matching overload for '@in' applied to '(string, int)'"),
        (
            "i.all(x, true)",
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("ints.all(x, x)", "expected type 'bool' but found 'int'"),
        ("{'a': 1}.a.b", "type 'int' does not support field selection"),
        ("Nope{a: 1}", "undeclared reference to 'Nope' (in container '')"),
        ("[1, d]", "expected type 'int' but found 'dyn'"),
        ("[1, 's']", "expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 's'}", "expected type 'int' but found 'string'"),
        ("'x'.matches('(')", "invalid matches argument"),
        ("duration('x')", "invalid duration argument"),
        ("timestamp('x')", "invalid timestamp argument"),
        ("o.orValue(1)", "found no matching overload for 'orValue' applied to 'optional_type(string).(int)'"),
    ],
)
def test_complaints(text: str, expected: str) -> None:
    assert any(expected in line for line in complaints(text, ENV)), complaint(text, ENV)


def test_all_complaints_are_made_at_once() -> None:
    assert complaints("nope + 1 == other", ENV) == [
        "undeclared reference to 'nope' (in container '')",
        "undeclared reference to 'other' (in container '')",
    ]


def test_types_by_callbacks() -> None:
    class Points:
        def has_type(self, name: str) -> bool:
            return name == "Point"

        def field(self, type_name: str, field_name: str) -> types.FieldType | None:
            return types.FieldType(INT, field_name) if field_name in ("x", "y") else None

        def new(self, type_name: str, fields: dict[str, object]) -> object:
            return fields

    env = Env({"p": types.struct("Point")}, Points())
    assert draw(env.compile("p.x").type) == "int"
    assert complaints("p.z", env) == ["undefined field 'z'"]
    assert complaints("p.x == 'a'", env) == ["found no matching overload for '_==_' applied to '(int, string)'"]
    assert env.compile("Point{x: 1}.x").program().eval({}) == (1, env.compile("Point{x: 1}.x").program().eval({})[1])
    assert complaints("Point{x: 'a'}", env) == ["expected type of field 'x' is 'int' but provided type is 'string'"]
    program = env.compile("has(p.x) && p.x == 3 && !has(p.y)").program()
    assert program.eval({"p": {"x": 3}})[0] is True
