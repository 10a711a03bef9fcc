"""The language's own functions and operators. Operators that the compiler builds in have no implementation here."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

from apimachinery.cel import types, values
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.library import regex
from apimachinery.cel.timevalues import MAX_UNIX, MIN_UNIX, Duration, Timestamp, zone
from apimachinery.cel.values import MAX_INT, MAX_UINT, MIN_INT, Uint

_SECOND = 10**9
INT_OVERFLOW = "integer overflow"
UINT_OVERFLOW = "unsigned integer overflow"


def _no_overload() -> EvalError:
    return EvalError("no such overload")


# -- arithmetic


def as_int(number: int) -> int:
    """The number, if it fits 64 signed bits."""
    if MIN_INT <= number <= MAX_INT:
        return number
    raise EvalError(INT_OVERFLOW)


def as_uint(number: int) -> Uint:
    """The number, if it fits 64 unsigned bits."""
    if 0 <= number <= MAX_UINT:
        return Uint(number)
    raise EvalError(UINT_OVERFLOW)


def add(left: Any, right: Any) -> Any:
    """left + right, whatever they are."""
    kind, other = left.__class__, right.__class__
    if isinstance(left, list) and isinstance(right, list):
        return left.cel_add(right) if isinstance(left, values.ListView) else [*left, *right]
    if kind is Timestamp and other is Duration:
        return _shift(left, right.nanoseconds)
    if kind is Duration and other is Timestamp:
        return _shift(right, left.nanoseconds)
    if kind is not other:
        raise _no_overload() if kind in _ADDABLE else EvalError("no such overload: _+_")
    if kind is int:
        return as_int(left + right)
    if kind is Uint:
        return as_uint(int(left) + int(right))
    if kind in (str, bytes, float):
        return left + right
    if kind is Duration:
        return Duration(left.nanoseconds + right.nanoseconds)
    raise _no_overload() if kind is Timestamp else EvalError("no such overload: _+_")


_ADDABLE = frozenset({int, Uint, float, str, bytes, list, Timestamp, Duration})


def _shift(moment: Timestamp, nanoseconds: int) -> Timestamp:
    return Timestamp(moment.nanoseconds + nanoseconds, moment.offset)


def subtract(left: Any, right: Any) -> Any:
    """left - right, whatever they are."""
    kind, other = left.__class__, right.__class__
    if kind is Timestamp and other is Duration:
        return _shift(left, -right.nanoseconds)
    if kind is Timestamp and other is Timestamp:
        return Duration(left.nanoseconds - right.nanoseconds)
    if kind is not other or kind not in (int, Uint, float, Duration):
        raise _no_overload()
    if kind is int:
        return as_int(left - right)
    if kind is Uint:
        return as_uint(int(left) - int(right))
    return Duration(left.nanoseconds - right.nanoseconds) if kind is Duration else left - right


def multiply(left: Any, right: Any) -> Any:
    """left * right, whatever they are."""
    if left.__class__ is right.__class__:
        if left.__class__ is int:
            return as_int(left * right)
        if left.__class__ is Uint:
            return as_uint(int(left) * int(right))
        if left.__class__ is float:
            return left * right
    raise _no_overload()


def divide(left: Any, right: Any) -> Any:
    """left / right: integers towards zero, doubles as IEEE has it."""
    if left.__class__ is not right.__class__:
        raise _no_overload()
    if left.__class__ is float:
        return _divide_doubles(left, right)
    if left.__class__ not in (int, Uint):
        raise _no_overload()
    if not right:
        raise EvalError("division by zero")
    quotient = abs(int(left)) // abs(int(right))
    if left.__class__ is Uint:
        return Uint(quotient)
    return as_int(-quotient if (left < 0) != (right < 0) else quotient)


def _divide_doubles(left: float, right: float) -> float:
    if right:
        return left / right
    if not left or left != left:
        return math.nan
    return math.inf * math.copysign(1, left) * math.copysign(1, right)


def modulo(left: Any, right: Any) -> Any:
    """left % right, with the sign of the left side."""
    if left.__class__ is not right.__class__ or left.__class__ not in (int, Uint):
        raise _no_overload()
    if not right:
        raise EvalError("modulus by zero")
    if left.__class__ is Uint:
        return Uint(int(left) % int(right))
    if left == MIN_INT and right == -1:
        raise EvalError(INT_OVERFLOW)
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def negate(value: Any) -> Any:
    if value.__class__ is int:
        return as_int(-value)
    if value.__class__ is float:
        return -value
    if value.__class__ is Duration:
        return Duration(-value.nanoseconds)
    raise EvalError("no such overload: -_")


# -- conversions


def _failed(source: str, target: str) -> EvalError:
    return EvalError(f"type conversion error from '{source}' to '{target}'")


_INT_TEXT = re.compile(r"[+-]?[0-9]{1,1000}")  # Python reads no numbers of more than a few thousand digits
_UINT_TEXT = re.compile(r"[0-9]{1,1000}")


def _string_to_int(text: str) -> int:
    if _INT_TEXT.fullmatch(text) and MIN_INT <= int(text) <= MAX_INT:
        return int(text)
    raise _failed("string", "int")


def _string_to_uint(text: str) -> Uint:
    if _UINT_TEXT.fullmatch(text) and int(text) <= MAX_UINT:
        return Uint(int(text))
    raise _failed("string", "uint")


_DOUBLE_TEXT = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity)|nan", re.IGNORECASE)


def _string_to_double(text: str) -> float:
    if not _DOUBLE_TEXT.fullmatch(text):
        raise _failed("string", "double")
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise _failed("string", "double")
    return value


_BOOLS = {t: True for t in ("1", "t", "T", "TRUE", "true", "True")} | {
    f: False for f in ("0", "f", "F", "FALSE", "false", "False")
}


def _string_to_bool(text: str) -> bool:
    found = _BOOLS.get(text)
    if found is None:
        raise _failed("string", "bool")
    return found


def _double_to_int(value: float) -> int:
    if value != value or not -(2.0**63) < value < 2.0**63:
        raise EvalError(INT_OVERFLOW)
    return int(value)


def _double_to_uint(value: float) -> Uint:
    if value != value or not 0 <= value < 2.0**64:
        raise EvalError(UINT_OVERFLOW)
    return Uint(value)


def _string_to_duration(text: str) -> Duration:
    found = Duration.parse(text)
    if found is None:
        raise _failed("string", "google.protobuf.Duration")
    return found


def _string_to_timestamp(text: str) -> Timestamp:
    found = Timestamp.parse(text)
    if found is None:
        raise _failed("string", "google.protobuf.Timestamp")
    return found


def _int_to_timestamp(seconds: int) -> Timestamp:
    if not MIN_UNIX <= seconds <= MAX_UNIX:
        raise EvalError("timestamp overflow")
    return Timestamp(seconds * _SECOND)


def _bytes_to_string(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvalError("invalid UTF-8 in bytes, cannot convert to string") from None


def draw_double(value: float) -> str:
    """A double as Go's %g draws it: the shortest exact form, with an exponent below -4 and from 21 on."""
    if math.isinf(value) or math.isnan(value):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    digits, _, exponent = f"{value!r}".partition("e")
    if not exponent and abs(value) < 1e21 and (abs(value) >= 1e-4 or not value):
        return digits.removesuffix(".0")
    from decimal import Decimal

    sign, numbers, shift = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(shift, int)
    power = len(numbers) + shift - 1
    if -4 <= power < 21:
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    text = "".join(map(str, numbers))
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _same(value: Any) -> Any:
    return value


def _type(value: Any) -> types.Type:
    return values.type_of(value)


def _size(value: Any) -> int:
    found = values.size(value)
    if found is None:
        raise EvalError("no such overload: size")
    return found


# -- times

_Reading = Callable[[datetime.datetime, Timestamp], int]
_READINGS: dict[str, tuple[str, _Reading]] = {
    "getFullYear": ("year", lambda t, _: t.year),
    "getMonth": ("month", lambda t, _: t.month - 1),
    "getDayOfYear": ("day_of_year", lambda t, _: t.timetuple().tm_yday - 1),
    "getDayOfMonth": ("day_of_month", lambda t, _: t.day - 1),
    "getDate": ("day_of_month_1_based", lambda t, _: t.day),
    "getDayOfWeek": ("day_of_week", lambda t, _: t.isoweekday() % 7),
    "getHours": ("hours", lambda t, _: t.hour),
    "getMinutes": ("minutes", lambda t, _: t.minute),
    "getSeconds": ("seconds", lambda t, _: t.second),
    "getMilliseconds": ("milliseconds", lambda _, stamp: stamp.milliseconds()),
}


def _reader(read: _Reading) -> tuple[Callable[[Timestamp], int], Callable[[Timestamp, str], int]]:
    def in_utc(moment: Timestamp) -> int:
        return read(moment.at(datetime.UTC), moment)

    def in_zone(moment: Timestamp, name: str) -> int:
        return read(moment.at(zone(name)), moment)

    return in_utc, in_zone


def _whole(nanoseconds: int, unit: int) -> int:
    count = abs(nanoseconds) // unit
    return -count if nanoseconds < 0 else count


def _time_overloads() -> list[Overload]:
    out = []
    for function, (id_, read) in _READINGS.items():
        in_utc, in_zone = _reader(read)
        suffix = "tz" if id_ == "seconds" else "with_tz"  # an oddity of the published ids
        out.append(Overload(function, f"timestamp_to_{id_}", "timestamp.() int", in_utc))
        out.append(Overload(function, f"timestamp_to_{id_}_{suffix}", "timestamp.(string) int", in_zone))
    for function, unit in (("Hours", 3600 * _SECOND), ("Minutes", 60 * _SECOND), ("Seconds", _SECOND)):
        out.append(
            Overload(
                f"get{function}",
                f"duration_to_{function.lower()}",
                "duration.() int",
                lambda d, unit=unit: _whole(d.nanoseconds, unit),
            )
        )
    out.append(
        Overload(
            "getMilliseconds",
            "duration_to_milliseconds",
            "duration.() int",
            lambda d: _whole(d.nanoseconds, 10**6),
        )
    )
    return out


# -- declarations


def _comparisons() -> list[Overload]:
    out = []
    names = {"int64": "int", "uint64": "uint", "double": "double"}
    for function, word in (("_<_", "less"), ("_<=_", "less_equals"), ("_>_", "greater"), ("_>=_", "greater_equals")):
        out.append(Overload(function, f"{word}_bool", "(bool, bool) bool"))
        for left, left_type in names.items():
            for right, right_type in [(left, left_type), *((r, t) for r, t in names.items() if r != left)]:
                id_ = f"{word}_{left}" if left == right else f"{word}_{left}_{right}"
                out.append(Overload(function, id_, f"({left_type}, {right_type}) bool"))
        for name in ("string", "bytes", "timestamp", "duration"):
            out.append(Overload(function, f"{word}_{name}", f"({name}, {name}) bool"))
    return out


def _operators() -> list[Overload]:
    table = [
        ("_?_:_", "conditional", "(bool, A, A) A"),
        ("_&&_", "logical_and", "(bool, bool) bool"),
        ("_||_", "logical_or", "(bool, bool) bool"),
        ("!_", "logical_not", "(bool) bool"),
        ("@not_strictly_false", "not_strictly_false", "(bool) bool"),
        ("_==_", "equals", "(A, A) bool"),
        ("_!=_", "not_equals", "(A, A) bool"),
        ("_[_]", "index_list", "(list(A), int) A"),
        ("_[_]", "index_map", "(map(A, B), A) B"),
        ("_[_]", "optional_list_index_int", "(optional(list(V)), int) optional(V)"),
        ("_[_]", "optional_map_index_value", "(optional(map(K, V)), K) optional(V)"),
        ("_[?_]", "list_optindex_optional_int", "(list(V), int) optional(V)"),
        ("_[?_]", "optional_list_optindex_optional_int", "(optional(list(V)), int) optional(V)"),
        ("_[?_]", "map_optindex_optional_value", "(map(K, V), K) optional(V)"),
        ("_[?_]", "optional_map_optindex_optional_value", "(optional(map(K, V)), K) optional(V)"),
        ("@in", "in_list", "(A, list(A)) bool"),
        ("@in", "in_map", "(A, map(A, B)) bool"),
        ("_+_", "add_bytes", "(bytes, bytes) bytes"),
        ("_+_", "add_double", "(double, double) double"),
        ("_+_", "add_duration_duration", "(duration, duration) duration"),
        ("_+_", "add_duration_timestamp", "(duration, timestamp) timestamp"),
        ("_+_", "add_timestamp_duration", "(timestamp, duration) timestamp"),
        ("_+_", "add_int64", "(int, int) int"),
        ("_+_", "add_list", "(list(A), list(A)) list(A)"),
        ("_+_", "add_string", "(string, string) string"),
        ("_+_", "add_uint64", "(uint, uint) uint"),
        ("_-_", "subtract_double", "(double, double) double"),
        ("_-_", "subtract_duration_duration", "(duration, duration) duration"),
        ("_-_", "subtract_int64", "(int, int) int"),
        ("_-_", "subtract_timestamp_duration", "(timestamp, duration) timestamp"),
        ("_-_", "subtract_timestamp_timestamp", "(timestamp, timestamp) duration"),
        ("_-_", "subtract_uint64", "(uint, uint) uint"),
        ("-_", "negate_double", "(double) double"),
        ("-_", "negate_int64", "(int) int"),
    ]
    for function, word in (("_/_", "divide"), ("_*_", "multiply")):
        for name, type_ in (("double", "double"), ("int64", "int"), ("uint64", "uint")):
            table.append((function, f"{word}_{name}", f"({type_}, {type_}) {type_}"))
    table += [("_%_", "modulo_int64", "(int, int) int"), ("_%_", "modulo_uint64", "(uint, uint) uint")]
    return [Overload(*row) for row in table]


def _conversions() -> list[Overload]:
    table: list[tuple[str, str, str, Callable[[Any], Any]]] = [
        ("bool", "bool_to_bool", "(bool) bool", _same),
        ("bool", "string_to_bool", "(string) bool", _string_to_bool),
        ("bytes", "bytes_to_bytes", "(bytes) bytes", _same),
        ("bytes", "string_to_bytes", "(string) bytes", lambda text: text.encode("utf-8", "surrogatepass")),
        ("double", "double_to_double", "(double) double", _same),
        ("double", "int64_to_double", "(int) double", float),
        ("double", "string_to_double", "(string) double", _string_to_double),
        ("double", "uint64_to_double", "(uint) double", float),
        ("duration", "duration_to_duration", "(duration) duration", _same),
        ("duration", "int64_to_duration", "(int) duration", Duration),
        ("duration", "string_to_duration", "(string) duration", _string_to_duration),
        ("dyn", "to_dyn", "(A) dyn", _same),
        ("int", "int64_to_int64", "(int) int", _same),
        ("int", "double_to_int64", "(double) int", _double_to_int),
        ("int", "duration_to_int64", "(duration) int", lambda d: d.nanoseconds),
        ("int", "string_to_int64", "(string) int", _string_to_int),
        ("int", "timestamp_to_int64", "(timestamp) int", lambda t: t.seconds),
        ("int", "uint64_to_int64", "(uint) int", lambda n: as_int(int(n))),
        ("string", "string_to_string", "(string) string", _same),
        ("string", "bool_to_string", "(bool) string", lambda b: "true" if b else "false"),
        ("string", "bytes_to_string", "(bytes) string", _bytes_to_string),
        ("string", "double_to_string", "(double) string", draw_double),
        ("string", "duration_to_string", "(duration) string", str),
        ("string", "int64_to_string", "(int) string", str),
        ("string", "timestamp_to_string", "(timestamp) string", str),
        ("string", "uint64_to_string", "(uint) string", str),
        ("timestamp", "timestamp_to_timestamp", "(timestamp) timestamp", _same),
        ("timestamp", "int64_to_timestamp", "(int) timestamp", _int_to_timestamp),
        ("timestamp", "string_to_timestamp", "(string) timestamp", _string_to_timestamp),
        ("uint", "uint64_to_uint64", "(uint) uint", _same),
        ("uint", "double_to_uint64", "(double) uint", _double_to_uint),
        ("uint", "int64_to_uint64", "(int) uint", as_uint),
        ("uint", "string_to_uint64", "(string) uint", _string_to_uint),
        ("type", "type", "(A) type(A)", _type),
    ]
    return [Overload(*row) for row in table]


def _strings() -> list[Overload]:
    return [
        Overload("contains", "contains_string", "string.(string) bool", lambda s, part: part in s),
        Overload("endsWith", "ends_with_string", "string.(string) bool", lambda s, part: s.endswith(part)),
        Overload("startsWith", "starts_with_string", "string.(string) bool", lambda s, part: s.startswith(part)),
        Overload("matches", "matches", "(string, string) bool", regex.matches),
        Overload("matches", "matches_string", "string.(string) bool", regex.matches),
    ]


def _sizes() -> list[Overload]:
    out = []
    for name, type_ in (("bytes", "bytes"), ("list", "list(A)"), ("map", "map(A, B)"), ("string", "string")):
        out.append(Overload("size", f"size_{name}", f"({type_}) int", _size))
        out.append(Overload("size", f"{name}_size", f"{type_}.() int", _size))
    return out


OVERLOADS: list[Overload] = [
    *_operators(),
    *_comparisons(),
    *_sizes(),
    *_conversions(),
    *_strings(),
    *_time_overloads(),
]
