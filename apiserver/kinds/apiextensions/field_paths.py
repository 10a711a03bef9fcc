"""Paths like .spec.color or .spec['a.b'], by which rules and selectable fields name a place below their schema.

resolve(text, schema)      (the path as errors show it, the schema there); BadPath
shown(text, schema)        the path as errors show it, "" when it leads nowhere
"""

from __future__ import annotations

import re
from typing import Any

from apimachinery import field

Schema = dict[str, Any]

# A quoted text, a quote that does not end, a delimiter, or what is between delimiters.
_TOKEN = re.compile(r"'.*?(?<!\\)'|'.*|[.\[\]]|[^.\[\]]+", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


class BadPath(ValueError):
    """Says what is wrong with a path."""


def shown(text: str, schema: Schema) -> str:
    """The path as errors show it; "" for one that leads nowhere."""
    try:
        return resolve(text, schema)[0]
    except BadPath:
        return ""


def resolve(text: str, schema: Schema, *, arrays: bool = True) -> tuple[str, Schema]:
    """(the path, the schema that it leads to). arrays: whether names may stand in brackets."""
    path = ""
    tokens = iter(_TOKEN.findall(text))

    def following() -> str:
        for token in tokens:
            return str(token)
        raise BadPath("unexpected end of JSON path")

    for token in tokens:
        if token == "[":
            if not arrays:
                raise BadPath("array notation is not allowed")
            quoted = following()
            if len(quoted) < 2 or quoted[0] != "'" or quoted[-1] != "'":
                raise BadPath(f"expected single quoted string but got {quoted}")
            path, schema = _step(path, schema, re.sub(r"\\(.)", _unescape, quoted[1:-1]))
            if (closing := following()) != "]":
                raise BadPath(f"expected ] but got {closing}")
        elif token == ".":
            path, schema = _step(path, schema, following())
        else:
            raise BadPath(f"expected [ or . but got: {token}")
    return path, schema


def _unescape(found: re.Match[str]) -> str:
    if found[1] not in _ESCAPES:
        raise BadPath(f"invalid string literal: invalid escape char {found[0]}")
    return _ESCAPES[found[1]]


def _step(path: str, schema: Schema, name: str) -> tuple[str, Schema]:
    properties, additional = schema.get("properties"), schema.get("additionalProperties")
    if properties:
        if name not in properties:
            raise BadPath("does not refer to a valid field")
        return field.child(path, name), properties[name]
    if additional is None:
        raise BadPath("does not refer to a valid field")
    return field.key(path, name), additional if isinstance(additional, dict) else {}
