"""Literals, precedence and what is no expression."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.cel.errors import CompileError
from apimachinery.cel.values import Uint
from tests.apimachinery.cel.support import DYNAMIC, complaint, complaints, value

LITERALS: list[tuple[str, Any]] = [
    ("42", 42),
    ("-9223372036854775808", -(2**63)),
    ("9223372036854775807", 2**63 - 1),
    ("0xFf", 255),
    ("-0x10", -16),
    ("42u", Uint(42)),
    ("0x1fU", Uint(31)),
    ("18446744073709551615u", Uint(2**64 - 1)),
    ("1.5", 1.5),
    (".25", 0.25),
    ("1e3", 1000.0),
    ("-2.5E-1", -0.25),
    ("true", True),
    ("null", None),
    ("'it\\'s'", "it's"),
    ('"tab\\there"', "tab\there"),
    (r"'\x41\u00e9\U0001F600\101'", "Aé😀A"),
    (r"r'raw\n'", "raw\\n"),
    ("'''three\n'lines'\nlong'''", "three\n'lines'\nlong"),
    (r"b'\xff\101'", b"\xffA"),
    (r"b'é'", "é".encode()),
    (r"br'\n'", b"\\n"),
    ("[1, 2, 3,]", [1, 2, 3]),
    ("{'a': [1], 'b': [2],}", {"a": [1], "b": [2]}),
    ("[?optional.none(), ?optional.of(2), 3]", [2, 3]),
    ("{?'gone': optional.none(), ?'here': optional.of(1)}", {"here": 1}),
    ("1 // a comment\n + 1", 2),
]


@pytest.mark.parametrize(("text", "expected"), LITERALS)
def test_literals(text: str, expected: Any) -> None:
    found = value(text)
    assert type(found) is type(expected)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 - 4 / 2 % 3", 5),
        ("10 - 4 - 3", 3),
        ("-2 * -3", 6),
        ("- - 5", 5),
        ("!false || false && false", True),
        ("!!true", True),
        ("1 < 2 == true", True),
        ("false ? 1 : true ? 2 : 3", 2),
        ("1 in [1] && !(2 in [1])", True),
        ("{'a': {'b': [7]}}.a.b[0]", 7),
        (".x + x", 2),
    ],
)
def test_operators_bind_as_they_should(text: str, expected: Any) -> None:
    assert value(text, x=1) == expected


def test_a_complaint_shows_the_place() -> None:
    assert complaint("x +\n  nope.y") == (
        "ERROR: <input>:2:3: undeclared reference to 'nope' (in container '')\n |   nope.y\n | ..^"
    )


def test_wide_characters_are_underlined_wide() -> None:
    assert complaint("'你好' + z").endswith("\n | '你好' + z\n | .．．....^")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Syntax error: mismatched input '<EOF>' expecting"),
        ("1 +", "Syntax error: mismatched input '<EOF>' expecting"),
        ("1 1", "Syntax error: extraneous input '1' expecting <EOF>"),
        ("(1", "Syntax error: missing ')' at '<EOF>'"),
        ("a$b", "Syntax error: token recognition error at: '$'"),
        ("'open", "Syntax error: token recognition error at: ''open'"),
        ("9223372036854775808", "invalid int literal"),
        ("18446744073709551616u", "invalid uint literal"),
        ("while", "reserved identifier: while"),
        ("has(x)", "invalid argument to has() macro"),
        ("[1].map(1, 2)", "argument is not an identifier"),
        ("[1].all(x.y, true)", "argument must be a simple name"),
        ("[1].exists(@x, true)", "Syntax error: token recognition error at: '@'"),
        ("!-(1)", "Syntax error: no viable alternative at input '-('"),
        ("{'in-valid': 3}.`in-valid`", "unsupported syntax: '`'"),
        (r"'\q'", "token recognition error"),
        (r"'\ud800'", "invalid unicode code point"),
    ],
)
def test_syntax_errors(text: str, expected: str) -> None:
    assert any(expected in line for line in complaints(text)), complaint(text)


@pytest.mark.parametrize(
    "text", ["(" * 300 + "1" + ")" * 300, "[" * 300 + "]" * 300, "-(" * 260 + "1" + ")" * 260, "1 + " * 300 + "1"]
)
def test_what_nests_too_deep_is_refused(text: str) -> None:
    with pytest.raises(CompileError):
        DYNAMIC.compile(text)


@pytest.mark.parametrize("text", ["true && " * 3000 + "true", "[" + "1, " * 20000 + "1].size()", "-" * 2999 + "1"])
def test_what_is_long_is_not_deep(text: str) -> None:
    value(text)


@pytest.mark.parametrize("digits", ["9" * 5000, "0x" + "f" * 5000, "1e" + "9" * 5000, "9" * 5000 + "u"])
def test_numbers_without_end_are_refused_and_do_not_crash(digits: str) -> None:
    try:
        found = value(digits)
    except CompileError:
        return
    assert found == float("inf")
