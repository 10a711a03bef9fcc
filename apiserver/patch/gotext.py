"""JSON values as Go's fmt prints them (%v, %+v): for error texts that show a part of a patch."""

from __future__ import annotations

from typing import Any


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
        return _float(item)
    return str(item)


def _float(number: float) -> str:
    """%v of a float64: the shortest form, with an exponent from 1e21 on and below 1e-4."""
    if number == int(number) and abs(number) < 1e21:
        return str(int(number))
    text = repr(number)
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').rjust(2, '0')}"


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
