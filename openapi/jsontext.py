"""Go's words for text that is not JSON. Only the failing path comes here."""

from __future__ import annotations

import re

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_END = "unexpected end of JSON input"
MAX_DEPTH = 10000


def error(text: str) -> str | None:
    """What Go's encoding/json says of the text, or None if it is JSON."""
    try:
        _scan(text)
    except _Syntax as found:
        return str(found)
    return None


class _Syntax(Exception):
    """The text stops being JSON here."""


def quote_char(char: str) -> str:
    if char == "'":
        return "'\\''"
    if char == '"':
        return "'\"'"
    if char.isprintable():
        return f"'{char}'"
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
    return f"'{named[char]}'" if char in named else f"'\\x{ord(char):02x}'"


def _fail(text: str, position: int, context: str) -> _Syntax:
    if position >= len(text):
        return _Syntax(_END)
    # Go scans bytes: of a character beyond ASCII it names the first one.
    char = text[position]
    if ord(char) > 0x7F:
        char = chr(char.encode("utf-8", "replace")[0])
    return _Syntax(f"invalid character {quote_char(char)} {context}")


def _scan(text: str) -> None:
    """One pass with an explicit stack of open objects and arrays."""
    stack: list[str] = []
    position = _value_start(text, 0, stack, "looking for beginning of value")
    while stack:
        position = _skip(text, position)
        if stack[-1] == "{":
            position = _after_pair(text, position, stack)
        else:
            position = _after_item(text, position, stack)
    position = _skip(text, position)
    if position < len(text):
        raise _fail(text, position, "after top-level value")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _after_pair(text: str, position: int, stack: list[str]) -> int:
    if position < len(text) and text[position] == "}":
        stack.pop()
        return position + 1
    if position < len(text) and text[position] == ",":
        return _pair(text, _skip(text, position + 1), stack, "looking for beginning of object key string")
    raise _fail(text, position, "after object key:value pair")


def _after_item(text: str, position: int, stack: list[str]) -> int:
    if position < len(text) and text[position] == "]":
        stack.pop()
        return position + 1
    if position < len(text) and text[position] == ",":
        return _value_start(text, position + 1, stack, "looking for beginning of value")
    raise _fail(text, position, "after array element")


def _pair(text: str, position: int, stack: list[str], context: str) -> int:
    if position >= len(text) or text[position] != '"':
        raise _fail(text, position, context)
    position = _skip(text, _string(text, position))
    if position >= len(text) or text[position] != ":":
        raise _fail(text, position, "after object key")
    return _value_start(text, position + 1, stack, "looking for beginning of value")


def _value_start(text: str, position: int, stack: list[str], context: str) -> int:
    """Read a scalar whole, or open an object or array (with its first pair or item)."""
    while True:
        position = _skip(text, position)
        if position >= len(text):
            raise _Syntax(_END)
        char = text[position]
        if char in "{[":
            stack.append(char)
            if len(stack) > MAX_DEPTH:
                raise _Syntax("exceeded max depth")
            inner = _skip(text, position + 1)
            if inner < len(text) and text[inner] == ("}" if char == "{" else "]"):
                stack.pop()
                return inner + 1
            if char == "[":
                position = inner
                continue
            if inner >= len(text) or text[inner] != '"':
                raise _fail(text, inner, "looking for beginning of object key string")
            inner = _skip(text, _string(text, inner))
            if inner >= len(text) or text[inner] != ":":
                raise _fail(text, inner, "after object key")
            position = inner + 1
            continue
        if char == '"':
            return _string(text, position)
        if char in "-0123456789":
            return _number(text, position)
        for word in ("true", "false", "null"):
            if char == word[0]:
                return _word(text, position, word)
        raise _fail(text, position, context)


def _word(text: str, position: int, word: str) -> int:
    for offset, letter in enumerate(word):
        if position + offset >= len(text) or text[position + offset] != letter:
            raise _fail(text, position + offset, f"in literal {word} (expecting {quote_char(letter)})")
    return position + len(word)


def _number(text: str, position: int) -> int:
    match = _NUMBER.match(text, position)
    if match is None:
        raise _fail(text, position + 1, "in numeric literal")
    end = match.end()
    if end < len(text) and text[end] == "." and "." not in match[0] and "e" not in match[0].lower():
        raise _fail(text, end + 1, "after decimal point in numeric literal")
    if end < len(text) and text[end] in "eE" and "e" not in match[0].lower():
        after = end + 1 + (end + 1 < len(text) and text[end + 1] in "+-")
        raise _fail(text, after, "in exponent of numeric literal")
    return end


def _string(text: str, position: int) -> int:
    position += 1
    while position < len(text):
        char = text[position]
        if char == '"':
            return position + 1
        if char < " ":
            raise _fail(text, position, "in string literal")
        if char == "\\":
            position += 1
            if position >= len(text):
                break
            if text[position] == "u":
                for _ in range(4):
                    position += 1
                    if position >= len(text) or text[position] not in "0123456789abcdefABCDEF":
                        raise _fail(text, position, "in \\u hexadecimal character escape")
            elif text[position] not in 'bfnrt\\/"':
                raise _fail(text, position, "in string escape code")
        position += 1
    raise _Syntax(_END)
