"""Floating-point numbers as Go's fmt and strconv write them."""

from __future__ import annotations

import math
import struct


def general(number: float) -> str:
    """%v of a float64: its shortest digits, with an exponent from 1e+06 on and below 0.0001."""
    return _general(repr(number), number)


def short(number: float) -> str:
    """As general(), of the nearest float32."""
    try:
        single = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return "+Inf" if number > 0 else "-Inf"
    for precision in range(1, 10):
        text = f"{single:.{precision - 1}e}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == single:
            return _general(text, single)
    raise AssertionError("nine digits tell every float32")


def plain(number: float) -> int | float:
    """The number as encoding/json writes it: without a point or an exponent where it can, if 64 bits hold that."""
    if number.is_integer() and abs(number) < 0x7FFFFFFFFFFFFFFF:
        return int(number) if abs(number) < 1e15 else _digits(number)
    return number


def _digits(number: float) -> int:
    """The integer that the shortest digits of a number stand for."""
    from decimal import Decimal

    return int(Decimal(repr(number)))


def json(number: float) -> str:
    """The text that encoding/json writes."""
    return str(number if isinstance(number, int) else plain(number))


def _general(text: str, number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    sign = "-" if text[0] == "-" else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if not digits:
        return sign + "0"
    power = point - 1
    if power < -4 or power >= 6:
        rest = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return sign + digits[:point].ljust(point, "0") + ("." + digits[point:] if len(digits) > point else "")
