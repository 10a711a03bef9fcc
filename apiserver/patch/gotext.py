"""JSON values as Go's fmt prints them (%v, %+v): for error texts that show a part of a patch."""

from __future__ import annotations

from typing import Any

from openapi import gofloat


def value(item: Any) -> str:
    """map[a:1 b:[x y]], with sorted keys."""
    if isinstance(item, dict):
        return "map[" + " ".join(f"{key}:{value(item[key])}" for key in sorted(item)) + "]"
    if isinstance(item, list):
        return "[" + " ".join(map(value, item)) + "]"
    if item is None:
        return "<nil>"
    if item is True or item is False:
        return "true" if item else "false"
    if isinstance(item, float):
        return gofloat.general(item)
    return str(item)


def string(item: Any) -> str:
    """%s: strings as they are, other types flagged."""
    return item if isinstance(item, str) else f"%!s({type_name(item)}={value(item)})"


def type_name(item: Any) -> str:
    """The Go type of a decoded JSON value."""
    if item is None:
        return "%!s(<nil>)"
    names = {
        dict: "map[string]interface {}",
        list: "[]interface {}",
        str: "string",
        bool: "bool",
        int: "int64",
        float: "float64",
    }
    return names[type(item)]
