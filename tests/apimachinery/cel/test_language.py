"""What expressions evaluate to, after the behaviours of the CEL specification and of cel-go."""

from __future__ import annotations

import math
from typing import Any

import pytest

from apimachinery.cel import types
from apimachinery.cel.env import Env
from apimachinery.cel.errors import CostExceeded, EvalError, ProgramError
from apimachinery.cel.values import Uint
from tests.apimachinery.cel.support import DYNAMIC, cost, failure, program, value

DATA: dict[str, Any] = {
    "x": {"a": 1, "nothing": None, "list": [1, 2, 3], "deep": {"b": "c"}},
    "y": ["one", "two", "three"],
    "self": "text",
}

TRUE = """
1 + 2 == 3 && 7 / 2 == 3 && -7 / 2 == -3 && -7 % 3 == -1 && 7 % -3 == 1
1u + 2u == 3u && 7u % 4u == 3u
1.5 * 2.0 == 3.0 && 1.0 / 0.0 > 1e308 && -1.0 / 0.0 < 0.0
'ab' + 'cd' == 'abcd' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]
1 < 2 && 'a' < 'b' && b'a' < b'b' && false < true && 1.0 <= 1.0 && 2u >= 1u && 'B' < 'a'
dyn(1) == 1.0 && dyn(1u) == 1 && dyn(1) < 1.5 && dyn(2u) > 1 && 1 != dyn('1')
dyn(9007199254740993) == 9007199254740992.0
0.0 / 0.0 != 0.0 / 0.0
[1, 2] == [1, 2] && [1, 2] != [2, 1] && [[1], []] == [[1], []]
{'a': 1, 'b': 2} == {'b': 2, 'a': 1} && {'a': 1} != {'a': 2} && {'a': 1} != {'b': 1}
{1: 'a'} == dyn({1u: 'a'}) && dyn({1: 'a'})[1.0] == 'a'
null == null && x.nothing == null && x.a != null
'a' in {'a': 1} && !('b' in {'a': 1}) && 1 in [1, 2] && dyn(1.0) in [1, 2]
has(x.a) && !has(x.b) && has(x.deep.b) && !has(x.deep.c) && has(x.nothing)
x.list[0] == 1 && x['a'] == 1 && y[dyn(1u)] == 'two' && y[dyn(2.0)] == 'three'
true || x.missing && false
x.missing || true
!(x.missing && false)
(1 / 0 > 1 || true) && !(false && 1 / 0 > 1) && !(1 / 0 > 1 && false)
true ? true : x.missing == 1
[1, 2, 3].all(i, i > 0) && ![1, 2].all(i, i > 1) && [].all(i, false)
[1, 0].exists(i, 1 / i == 1) && ![0, 2].all(i, 1 / i == 1)
[1, 2, 2].exists_one(i, i == 1) && ![1, 2, 2].exists_one(i, i == 2)
[1, 2, 3].map(i, i * i) == [1, 4, 9] && [1, 2, 3].map(i, i > 1, i * 10) == [20, 30]
[1, 2, 3, 4].filter(i, i % 2 == 0) == [2, 4]
{'a': 1, 'b': 2}.all(k, k in ['a', 'b']) && {'a': 1}.map(k, k + '!') == ['a!']
[[1, 2], [3]].all(l, l.all(i, i > 0)) && [1, 2].map(x, [x].map(x, x + 1)[0]) == [2, 3]
[10, 20].all(i, v, v == (i + 1) * 10) && {'a': 1}.exists(k, v, k == 'a' && v == 1)
[1, 2].transformList(i, v, i + v) == [1, 3] && [1, 2].transformList(i, v, i > 0, v) == [2]
{'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && {'a': 1, 'b': 2}.transformMap(k, v, v > 1, v) == {'b': 2}
{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'} && [1, 2].existsOne(i, v, v == 2)
x.?a.orValue(5) == 1 && x.?b.orValue(5) == 5 && x.?b.c.d.orValue('none') == 'none'
x[?'a'].value() == 1 && y[?7].orValue('out') == 'out' && y[?0].hasValue()
optional.none() == optional.none() && optional.of(1) != optional.none() && optional.of(1) == optional.of(1)
optional.ofNonZeroValue('').or(optional.of('b')).value() == 'b' && optional.ofNonZeroValue('a').value() == 'a'
x.?a.optMap(v, v + 1).value() == 2 && !x.?b.optMap(v, v + 1).hasValue()
x.?a.optFlatMap(v, v > 5 ? optional.of(v) : optional.none()).orValue(0) == 0
[optional.of(1), optional.none()].unwrapOpt() == [1] && [1, 2].first().value() == 1 && ![].last().hasValue()
type(1) == int && type(1u) == uint && type('') == string && type(b'') == bytes && type(1.0) == double
type([]) == list && type({}) == map && type(null) == null_type && type(type(1)) == type && type(true) == bool
type(timestamp(0)) == google.protobuf.Timestamp && type(duration('1s')) == google.protobuf.Duration
int('42') == 42 && int(1.9) == 1 && int(-1.9) == -1 && int(7u) == 7 && int(timestamp('1970-01-01T00:01:00Z')) == 60
uint('7') == 7u && uint(3.2) == 3u && double('1.5') == 1.5 && double(2) == 2.0 && bool('true') && !bool('0')
string(1) == '1' && string(1.5) == '1.5' && string(1e300) == '1e+300' && string(true) == 'true' && string(b'a') == 'a'
string(duration('90s')) == '90s' && string(timestamp('2020-01-02T03:04:05.60Z')) == '2020-01-02T03:04:05.6Z'
bytes('é') == b'é' && size('é😀') == 2 && size(b'é') == 2 && 'é😀'.size() == 2 && size([1]) == 1 && {}.size() == 0
'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.contains('ell') && 'hello'.matches('^h.*o$')
timestamp('2023-02-28T23:59:59Z') + duration('1s') == timestamp('2023-03-01T00:00:00Z')
timestamp('2024-01-01T00:00:00Z') - timestamp('2023-01-01T00:00:00Z') == duration('8760h')
duration('1h30m').getMinutes() == 90 && duration('1.5s').getMilliseconds() == 1500 && duration('-1h') < duration('1ns')
timestamp('2009-02-13T23:31:30Z').getDayOfWeek() == 5 && timestamp('2009-02-13T23:31:30Z').getDayOfYear() == 43
timestamp('2009-02-13T23:31:30Z').getHours('+05:30') == 5 && timestamp('2009-02-13T23:31:30Z').getDate('Asia/Tokyo') == 14
timestamp('2009-02-13T23:31:30Z').getMonth() == 1 && timestamp('2009-02-13T23:31:30Z').getFullYear() == 2009
timestamp('2009-02-13T23:31:30.123456789Z').getMilliseconds() == 123 && duration('1ns') + duration('1ns') == duration('2ns')
"""


@pytest.mark.parametrize("text", TRUE.strip().splitlines())
def test_these_hold(text: str) -> None:
    assert value(text, **DATA) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("-(-9223372036854775808)", "integer overflow"),
        ("-9223372036854775808 / -1", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("18446744073709551615u + 1u", "unsigned integer overflow"),
        ("int(1e19)", "integer overflow"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
        ("uint(-1)", "unsigned integer overflow"),
        ("uint(-1.0)", "unsigned integer overflow"),
        ("double('x')", "type conversion error from 'string' to 'double'"),
        ("bool('maybe')", "type conversion error from 'string' to 'bool'"),
        ("x.missing", "no such key: missing"),
        ("x['missing']", "no such key: missing"),
        ("x.deep.gone.further", "no such key: gone"),
        ("y[3]", "index out of bounds: 3"),
        ("y[-1]", "index out of bounds: -1"),
        ("y['a']", "unsupported index type 'string' in list"),
        ("y[0.5]", "unsupported index value 0.5 in list"),
        ("x + 1", "no such overload: _+_"),
        ("self && true", "no such overload"),
        ("!self", "no such overload"),
        ("self ? 1 : 2", "no such overload"),
        ("self < 1", "no such overload"),
        ("x.a.all(i, true)", "got 'types.Int', expected iterable type"),
        ("dyn(1).startsWith('a')", "no such overload"),
        ("optional.none().value()", "optional.none() dereference"),
        ("timestamp(self)", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
        ("duration(self)", "type conversion error from 'string' to 'google.protobuf.Duration'"),
        ("timestamp(0).getHours('Nowhere/Here')", "unknown time zone Nowhere/Here"),
        ("string(b'\\xff')", "invalid UTF-8 in bytes, cannot convert to string"),
        ("[1, 2].all(i, i / 0 == 1)", "division by zero"),
        ("['a', 'a'].transformMapEntry(i, v, {v: i})", "insert failed: key a already exists"),
    ],
)
def test_these_fail(text: str, expected: str) -> None:
    assert expected in failure(text, **DATA)


def test_values_come_as_plain_python() -> None:
    found = value("[dyn(1), dyn(2u), dyn(1.5), dyn(['a']), dyn(null), dyn(b'x'), dyn({'k': 1})]")
    assert found == [1, Uint(2), 1.5, ["a"], None, b"x", {"k": 1}]
    assert math.isnan(value("0.0 / 0.0"))


def test_data_that_are_not_of_their_type_are_an_error_that_can_be_absorbed() -> None:
    env = Env({"names": types.list_of(types.STRING_TYPE), "n": types.INT_TYPE})
    assert failure("names[0].startsWith('a')", env, names=[None], n=1) == "no such overload"
    assert value("names[0].startsWith('a') || n == 1", env, names=[None], n=1) is True
    assert value("names.exists(s, s.startsWith('b'))", env, names=[None, "b"], n=1) is True
    assert failure("n + 1", env, names=[], n="x") == "no such overload"


def test_null_where_an_optional_is_expected() -> None:
    assert "no such overload" in failure("null.value()")


def test_an_undefined_variable() -> None:
    assert failure("x.a") == "no such attribute(s): x"


def test_constant_parts_are_checked_when_the_program_is_made() -> None:
    with pytest.raises(ProgramError):
        program("x in [int('one')]")


def test_evaluation_stops_when_it_costs_too_much() -> None:
    long = list(range(1000))
    with pytest.raises(CostExceeded) as caught:
        program("x.all(i, x.all(j, i + j >= 0))").eval({"x": long}, limit=5000)
    assert 5000 < caught.value.cost < 6000
    assert str(caught.value) == "operation cancelled: actual cost limit exceeded"


def test_failures_know_their_cost() -> None:
    with pytest.raises(EvalError) as caught:
        program("x.a + x.b + 1").eval({"x": {"a": 1}})
    assert caught.value.cost > 0


def test_a_program_is_evaluated_again_and_again() -> None:
    checked = program("x.filter(i, i > y).size()")
    assert [checked.eval({"x": [1, 2, 3], "y": y})[0] for y in (0, 1, 2, 3)] == [3, 2, 1, 0]


def test_what_an_expression_reads() -> None:
    assert DYNAMIC.compile("x.map(z, z + 1)").uses == {"x"}
    assert DYNAMIC.compile("x.a + self.size()").uses == {"x", "self"}


def test_looking_at_data_does_not_copy_them() -> None:
    data: dict[str, Any] = {"list": [{"a": 1}]}
    found = value("x.list", x=data)
    assert found is data["list"]
    assert cost("x.list[0].a == 1", x=data) == 5
