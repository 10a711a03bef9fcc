"""What a plain or tagged YAML scalar means, by the rules of the original's Go library; asked by yamltext."""

from __future__ import annotations

import math
import re
from typing import Any

_PREFIX = "tag:yaml.org,2002:"
STR, BOOL, INT, FLOAT, NULL, TIME, BINARY = (
    _PREFIX + name for name in ("str", "bool", "int", "float", "null", "timestamp", "binary")
)
_RESOLVED = {"", STR, BOOL, INT, FLOAT, NULL, TIME}

_WORDS: dict[str, tuple[str, Any]] = {}
for _word in ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"):
    _WORDS[_word] = (BOOL, True)
for _word in ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"):
    _WORDS[_word] = (BOOL, False)
for _word in ("", "~", "null", "Null", "NULL"):
    _WORDS[_word] = (NULL, None)
for _word in (".inf", ".Inf", ".INF"):
    _WORDS[_word] = _WORDS["+" + _word] = (FLOAT, math.inf)
    _WORDS["-" + _word] = (FLOAT, -math.inf)
for _word in (".nan", ".NaN", ".NAN"):
    _WORDS[_word] = (FLOAT, math.nan)

_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[Tt]\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?:Z|[-+]\d\d:\d\d)| \d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?)?",
    re.ASCII,
)
_LONGEST_INTEGER = 200  # digits; none that fits in 64 bits has more than 67


class UnfitError(ValueError):
    """A value that is not what its tag says."""


def resolve(tag: str, text: str) -> Any:
    """The value of a scalar that is plain or has a tag; of tags of others, the text. UnfitError."""
    if tag not in _RESOLVED:
        return text
    found, value = _plain(tag, text)
    if tag in ("", found, STR):
        return value
    if tag == FLOAT and found == INT and value <= 0x7FFFFFFFFFFFFFFF:
        return float(value)
    raise UnfitError(f"cannot decode {_short(found)} `{text}` as a {_short(tag)}")


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_PREFIX) if tag.startswith(_PREFIX) else tag


def _plain(tag: str, text: str) -> tuple[str, Any]:
    if tag == STR:
        return STR, text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        value = _float(text)
        return (STR, text) if value is None else (FLOAT, value)
    if text[0] not in "+-0123456789":
        return STR, text
    if tag in ("", TIME) and _TIME.fullmatch(text):
        return TIME, text
    plain = text.replace("_", "")
    number = _integer(plain)
    if number is not None:
        return INT, number
    value = _float(plain)
    return (STR, text) if value is None else (FLOAT, value)


def _float(text: str) -> float | None:
    if not _FLOAT.fullmatch(text):
        return None
    value = float(text)
    return None if math.isinf(value) else value


def _integer(text: str) -> int | None:
    """A number that fits in 64 bits, with a sign or without one."""
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > _LONGEST_INTEGER:
        return None
    digits = match[2]
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    value = int(digits, 8) if octal else int(digits, 0)
    if match[1] == "-":
        return -value if value <= 0x8000000000000000 else None
    return value if value <= (0x7FFFFFFFFFFFFFFF if match[1] else 0xFFFFFFFFFFFFFFFF) else None
