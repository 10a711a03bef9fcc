"""JSON as text: for the few places where the API tells texts of one value apart, as Go's raw messages do.

member(text, name) is a member's value as it was written; compact(text) is how Go's encoder passes such a text on: without white
space, and with the characters escaped that HTML minds. Both take text that is known to be valid.
"""

from __future__ import annotations

import json
import re

_SPACE = re.compile(r"[ \t\r\n]*")
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[ \t\r\n]+')
_ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_DECODER = json.JSONDecoder()


def member(text: str, name: str) -> str | None:
    """The value of a member of the outermost object, the last of that name; None if there is none."""
    found = None
    position = _skip(text, 0)
    while text[position : position + 1] in ("{", ","):
        position = _skip(text, position + 1)
        if text[position : position + 1] == "}":
            break
        key, position = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)
        _, end = _DECODER.raw_decode(text, start)
        if key == name:
            found = text[start:end]
        position = _skip(text, end)
    return found


def _skip(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    assert space is not None  # it matches nothing, too
    return space.end()


def compact(text: str) -> str:
    """The text as an encoder passes it on."""
    return _PIECE.sub(lambda piece: piece[0].translate(_ESCAPED) if piece[0][0] == '"' else "", text)
