"""The string functions (version 2 of cel-go's library): positions count characters."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.library.stringformat import format_string
from apimachinery.cel.values import type_name

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_QUOTED = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def _out_of_range(position: int) -> EvalError:
    return EvalError(f"index out of range: {position}")


def _char_at(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise _out_of_range(position)
    return text[position : position + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if not part:
        return offset
    if offset < 0:
        raise _out_of_range(offset)
    return text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if offset is None:
        return text.rfind(part) if part else len(text)
    if not part:
        return offset
    if offset < 0:
        raise _out_of_range(offset)
    if offset >= len(text):
        return -1
    return text.rfind(part, 0, offset + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count > len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        end = len(text)
    elif start > end:
        raise EvalError(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    if not 0 <= end <= len(text):
        raise _out_of_range(end)
    return text[start:end]


def _join(items: list[Any], separator: str = "") -> str:
    for item in items:
        if item.__class__ is not str:
            raise EvalError(f"join: invalid input: {item if type_name(item) != 'bool' else str(item).lower()}")
    return separator.join(items)


def _quote(text: str) -> str:
    return f'"{text.translate(_QUOTED)}"'


OVERLOADS = [
    Overload("charAt", "string_char_at_int", "string.(int) string", _char_at),
    Overload("indexOf", "string_index_of_string", "string.(string) int", _index_of),
    Overload("indexOf", "string_index_of_string_int", "string.(string, int) int", _index_of),
    Overload("lastIndexOf", "string_last_index_of_string", "string.(string) int", _last_index_of),
    Overload("lastIndexOf", "string_last_index_of_string_int", "string.(string, int) int", _last_index_of),
    Overload("lowerAscii", "string_lower_ascii", "string.() string", lambda text: text.translate(_LOWER)),
    Overload("upperAscii", "string_upper_ascii", "string.() string", lambda text: text.translate(_UPPER)),
    Overload("replace", "string_replace_string_string", "string.(string, string) string", _replace),
    Overload("replace", "string_replace_string_string_int", "string.(string, string, int) string", _replace),
    Overload("split", "string_split_string", "string.(string) list(string)", _split),
    Overload("split", "string_split_string_int", "string.(string, int) list(string)", _split),
    Overload("substring", "string_substring_int", "string.(int) string", _substring),
    Overload("substring", "string_substring_int_int", "string.(int, int) string", _substring),
    Overload("trim", "string_trim", "string.() string", lambda text: text.strip(_SPACE)),
    Overload("format", "string_format", "string.(list(dyn)) string", format_string),
    Overload("strings.quote", "strings_quote", "(string) string", _quote),
    Overload("join", "list_join", "list(string).() string", _join),
    Overload("join", "list_join_string", "list(string).(string) string", _join),
]
