"""'...'.format([...]): the clauses %s %d %f %e %b %x %X %o, and what the checker can say of them beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from apimachinery.cel import types, values
from apimachinery.cel.errors import EvalError
from apimachinery.cel.library import standard
from apimachinery.cel.syntax import Call, ListNode, Literal, MapNode, Node
from apimachinery.cel.timevalues import Duration, Timestamp
from apimachinery.cel.values import Uint, type_name
from apimachinery.field import go_quote

DEFAULT_PRECISION = 6
MAX_PRECISION = 1000  # ours: the original has no bound, and so none on the memory that a text takes

_STRING_TEXT = (
    "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and "
    "timestamps"
)
_TEXTS = {
    "s": _STRING_TEXT,
    "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles",
    "b": "only integers and bools can be formatted as binary",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
    "o": "octal clause can only be used on integers",
}


def _refusal(clause: str, name: str) -> EvalError:
    return EvalError(f"error during formatting: {_TEXTS[clause]}, was given {name}")


class _Clause:
    """One %-clause: its letter, the precision, and the argument it takes."""

    __slots__ = ("argument", "letter", "precision")

    def __init__(self, letter: str, precision: int, argument: int) -> None:
        self.letter = letter
        self.precision = precision
        self.argument = argument


def _clauses(text: str, count: int) -> Iterator[str | _Clause]:
    """The literal parts and the clauses. count: of the arguments given."""
    position, argument = 0, 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            yield text[position:]
            return
        yield text[position:percent]
        if text[percent + 1 : percent + 2] == "%":
            yield "%"
            position = percent + 2
            continue
        if argument >= count:
            raise EvalError(f"index {argument} out of range")
        if percent + 1 >= len(text):
            raise EvalError("unexpected end of string")
        letter, precision, position = _clause(text, percent + 1)
        yield _Clause(letter, precision, argument)
        argument += 1


def _clause(text: str, position: int) -> tuple[str, int, int]:
    precision = DEFAULT_PRECISION
    if text[position] == ".":
        end = position + 1
        while end < len(text) and text[end] in "0123456789":
            end += 1
        if end >= len(text):
            raise EvalError(
                "could not parse formatting clause: error while parsing precision: could not find end of precision specifier"
            )
        digits = text[position + 1 : end]
        if not digits:
            raise EvalError(
                "could not parse formatting clause: error while parsing precision: error while converting precision to integer: "
                'strconv.Atoi: parsing "": invalid syntax'
            )
        if len(digits) > 6 or int(digits) > MAX_PRECISION:
            raise EvalError(f"could not parse formatting clause: precision of more than {MAX_PRECISION} digits")
        precision, position = int(digits), end
    letter = text[position]
    if letter not in "sdfebxXo":
        raise EvalError(f'could not parse formatting clause: unrecognized formatting clause "{letter}"')
    return letter, precision, position + 1


def format_string(text: str, args: list[Any]) -> str:
    """The text with its clauses replaced by the arguments."""
    return "".join(
        part if part.__class__ is str else _draw(part, args[part.argument])  # type: ignore[union-attr,arg-type]
        for part in _clauses(text, len(args))
    )


def _draw(clause: _Clause, value: Any) -> str:
    letter = clause.letter
    if letter == "s":
        return _string(value)
    if letter == "d":
        return _decimal(value)
    if letter in "fe":
        return _double(clause, value)
    if letter == "b":
        if value.__class__ is bool:
            return "1" if value else "0"
        return _integer(value, "b", "b")
    if letter == "o":
        return _integer(value, "o", "o")
    return _hex(value, letter)


def _integer(value: Any, clause: str, base: str) -> str:
    if value.__class__ not in (int, Uint):
        raise _refusal(clause, type_name(value))
    return format(int(value), base)


def _decimal(value: Any) -> str:
    return _integer(value, "d", "d")


def _hex(value: Any, letter: str) -> str:
    if value.__class__ in (str, bytes):
        data: bytes = value.encode() if isinstance(value, str) else value
        text = data.hex()
        return text.upper() if letter == "X" else text
    return _integer(value, "x", letter)


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _double(clause: _Clause, value: Any) -> str:
    if value.__class__ is str and value in _SPECIAL:
        value = _SPECIAL[value]
    if value.__class__ is not float:
        raise _refusal(clause.letter, type_name(value))
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if clause.letter == "f":
        return f"{value:,.{clause.precision}f}"
    mantissa, exponent = f"{value:.{clause.precision}e}".split("e")
    superscript = f"{int(exponent)}".zfill(2 + (exponent[0] == "-")).translate(_SUPERSCRIPT)
    return f"{mantissa}×10{superscript}"


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _string(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(_nested(item) for item in value)}]"
    if values.is_map(value):
        return _map(value)
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is float:
        return standard.draw_double(value)
    if value.__class__ is bytes:
        return standard._bytes_to_string(value)
    if isinstance(value, types.Type):
        return value.name
    if isinstance(value, str | int | Timestamp | Duration):
        return str(value)
    raise _refusal("s", type_name(value))


def _nested(value: Any) -> str:
    """An element, written so that it could stand in an expression."""
    if value.__class__ is str:
        return go_quote(value)
    if value.__class__ is bytes:
        return f"b{go_quote(standard._bytes_to_string(value))}"
    if value.__class__ is float:
        if math.isnan(value) or math.isinf(value):
            return go_quote(standard.draw_double(value))
        return f"{value:.{DEFAULT_PRECISION}f}"
    if isinstance(value, Timestamp):
        return f"timestamp({go_quote(str(value))})"
    if isinstance(value, Duration):
        return f"duration({go_quote(str(value))})"
    if not _is_plain(value):
        raise EvalError(f"error during formatting: no formatting function for {type_name(value)}")
    return _string(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | list | types.Type) or values.is_map(value)


def _map(value: Any) -> str:
    pairs = []
    for name in values.keys(value):
        if name.__class__ not in (str, bool, int, Uint):
            raise EvalError(f"error during formatting: no formatting function for map key of type {type_name(name)}")
        pairs.append((_nested(name), _nested(values.find(value, name))))
    return "{" + ", ".join(f"{name}:{item}" for name, item in sorted(pairs, key=lambda pair: pair[0])) + "}"


# -- what the checker says

_ALLOWED: dict[str, frozenset[int]] = {
    "d": frozenset({types.INT, types.UINT}),
    "f": frozenset({types.DOUBLE, types.STRING}),
    "e": frozenset({types.DOUBLE, types.STRING}),
    "b": frozenset({types.INT, types.UINT, types.BOOL}),
    "x": frozenset({types.INT, types.UINT, types.STRING, types.BYTES}),
    "o": frozenset({types.INT, types.UINT}),
    "s": frozenset(
        {
            types.LIST,
            types.MAP,
            types.INT,
            types.UINT,
            types.DOUBLE,
            types.BOOL,
            types.STRING,
            types.TIMESTAMP,
            types.BYTES,
            types.DURATION,
            types.TYPE,
            types.NULL,
        }
    ),
}


def check(node: Call, report: Callable[[int, str], None]) -> None:
    """Report what is wrong with a call whose text and list of arguments are written out."""
    if not (
        isinstance(node.target, Literal)
        and isinstance(node.target.value, str)
        and len(node.args) == 1
        and isinstance(node.args[0], ListNode)
    ):
        return
    given = node.args[0].elements
    used = 0
    try:
        for part in _clauses(node.target.value, len(given)):
            if isinstance(part, _Clause):
                used += 1
                clause = part.letter.lower()
                bad = _misfit(given[part.argument], clause)
                if bad is not None:
                    report(bad.at, str(_refusal(clause, bad.type.name)))
                    return
    except EvalError as error:
        report(node.at, str(error))
        return
    if len(given) > used:
        report(node.at, f"too many arguments supplied to string.format (expected {used}, got {len(given)})")


def _misfit(node: Node, clause: str) -> Node | None:
    """The node that the clause cannot draw, perhaps within the argument."""
    if node.type.kind != types.DYN and node.type.kind not in _ALLOWED[clause]:
        return node
    if clause != "s":
        return None
    inner: list[Node] = []
    if isinstance(node, ListNode):
        inner = node.elements
    elif isinstance(node, MapNode):
        inner = [part for entry in node.entries for part in (entry.key, entry.value)]
    return next((bad for bad in (_misfit(part, clause) for part in inner) if bad is not None), None)
