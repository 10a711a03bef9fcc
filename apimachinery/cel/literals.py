"""The values of literals: numbers within 64 bits, strings and bytes with their escapes undone."""

from __future__ import annotations

import math
import re
from typing import Any

from apimachinery.cel.values import MAX_INT, MAX_UINT, MIN_INT, Uint

_MAX_DIGITS = 1000  # Python refuses to read numbers of more than a few thousand; leading zeros are allowed


class LiteralError(ValueError):
    """A literal without value; the text is the original's."""


def read(kind: str, text: str) -> Any:
    """kind: the token's. text: as written, with a minus where there was one."""
    if kind == "NUM_INT":
        return _int(text)
    if kind == "NUM_UINT":
        if len(text) > _MAX_DIGITS or (number := int(text[:-1], 16 if text.startswith("0x") else 10)) > MAX_UINT:
            raise LiteralError("invalid uint literal")
        return Uint(number)
    if kind == "NUM_FLOAT":
        value = float(text)
        if math.isinf(value):
            raise LiteralError("invalid double literal")
        return value
    if kind == "STRING":
        return _unquote(text, _code_point)
    if kind == "BYTES":
        return _unquote(text[1:], _byte).encode("utf-8", "surrogateescape")
    return {"true": True, "false": False, "null": None}[kind]


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS or not MIN_INT <= (number := int(text, 16 if "0x" in text else 10)) <= MAX_INT:
        raise LiteralError("invalid int literal")
    return number


_ESCAPE_RE = re.compile(r"\\(?:([xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_NAMED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _code_point(found: re.Match[str]) -> str:
    code = int(found[1][1:], 16) if found[1] else int(found[2], 8)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise LiteralError("invalid unicode code point")
    return chr(code)


def _byte(found: re.Match[str]) -> str:
    """A byte, kept as a surrogate until the whole is encoded; \\u has no meaning in bytes."""
    if found[1] and found[1][0] in "uU":
        raise LiteralError("unable to unescape string")
    code = int(found[1][1:], 16) if found[1] else int(found[2], 8)
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def _unquote(text: str, coded: Any) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    raw = text[0] in "rR"
    if raw:
        text = text[1:]
    quotes = 3 if len(text) >= 6 and text[:3] in ('"""', "'''") else 1
    body = text[quotes:-quotes]
    if raw or "\\" not in body:
        return body

    def undo(found: re.Match[str]) -> str:
        char: str | None = found[3]
        return _NAMED.get(char, char) if char is not None else coded(found)

    return _ESCAPE_RE.sub(undo, body)
