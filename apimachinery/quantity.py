"""resource.Quantity: exact decimal arithmetic with the three suffix families, and the canonical form.

Called by validation, quota, the scheduler and the node agent. Quantities are immutable and parsing is cached, so the
common `parse("100m").milli_value()` is two look-ups. Rules (rounding, caps, when a written form is kept as it is) are
those of apimachinery's pkg/api/resource.

Two bounds are ours: decimal exponents above 1,000 are refused (the original computes with them for minutes), and a
DecimalSI value beyond exa keeps its zeros (the original drops the suffix and with it the magnitude).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import total_ordering

from apimachinery import memo

DECIMAL_SI, BINARY_SI, DECIMAL_EXPONENT = "DecimalSI", "BinarySI", "DecimalExponent"
NANO, MICRO, MILLI = -9, -6, -3
MAX_INT64 = 2**63 - 1

ERR_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
ERR_SUFFIX = "unable to parse quantity's suffix"

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAMES = {exponent: name for name, exponent in _DECIMAL.items()}
_BINARY_NAMES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_QUANTITY_RE = re.compile(r"([+-]?)0*([0-9]*)(\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)\Z")
_MAX_DIGITS = 4000  # Python reads no longer integers; the original would round such a number to 9 decimals
_EXPONENT_RE = re.compile(r"[eE]([+-]?[0-9]+)\Z")
_MAX_EXPONENT = 1000
_INT64_DIGITS = 18  # digits that surely fit an int64


class QuantityError(ValueError):
    """Not a quantity; the text is the original's."""


@total_ordering
class Quantity:
    """mantissa × 10**scale, with the suffix family it is printed in. Immutable.

    Comparison and equality are by value alone: Quantity 1 equals 1000m.
    """

    __slots__ = ("_text", "format", "mantissa", "scale")

    def __init__(self, mantissa: int, scale: int = 0, format: str = DECIMAL_SI, text: str = "") -> None:
        self.mantissa = mantissa
        self.scale = scale
        self.format = format
        self._text = text

    # -- reading

    def value(self) -> int:
        """The integer, rounded away from zero, within int64."""
        return self.scaled_value(0)

    def milli_value(self) -> int:
        """Thousandths, rounded away from zero, within int64."""
        return self.scaled_value(MILLI)

    def scaled_value(self, scale: int) -> int:
        """Units of 10**scale, rounded away from zero, within int64."""
        mantissa, shift = self.mantissa, self.scale - scale
        if shift >= 0:
            result = 0 if not mantissa else mantissa * 10 ** min(shift, 40)
        else:
            result = _divide_up(mantissa, shift)
        return max(-MAX_INT64 - 1, min(MAX_INT64, result))

    def is_zero(self) -> bool:
        return not self.mantissa

    def sign(self) -> int:
        return (self.mantissa > 0) - (self.mantissa < 0)

    def __float__(self) -> float:
        if self.scale >= 0:
            return float(self.mantissa) * 10.0 ** min(self.scale, 300)
        return float(self.mantissa / 10**-self.scale)

    def __bool__(self) -> bool:
        return bool(self.mantissa)

    def __str__(self) -> str:
        if not self._text:
            self._text = self._draw()
        return self._text

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    # -- comparing

    def compare(self, other: Quantity) -> int:
        """-1, 0 or 1."""
        if self.scale == other.scale:
            left, right = self.mantissa, other.mantissa
        else:
            base = min(self.scale, other.scale)
            left = self.mantissa * 10 ** (self.scale - base)
            right = other.mantissa * 10 ** (other.scale - base)
        return (left > right) - (left < right)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.compare(other) == 0

    def __lt__(self, other: Quantity) -> bool:
        return self.compare(other) < 0

    def __hash__(self) -> int:
        mantissa, times = _strip(self.mantissa, 10)
        return hash((mantissa, times + self.scale if mantissa else 0))

    # -- arithmetic: the result has the left side's suffix family, or the right's when the left is zero

    def __add__(self, other: Quantity) -> Quantity:
        return self._sum(other, 1)

    def __sub__(self, other: Quantity) -> Quantity:
        return self._sum(other, -1)

    def __neg__(self) -> Quantity:
        return Quantity(-self.mantissa, self.scale, self.format)

    def __abs__(self) -> Quantity:
        return self if self.mantissa >= 0 else -self

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(self.mantissa * factor, self.scale, self.format)

    def _sum(self, other: Quantity, sign: int) -> Quantity:
        base = min(self.scale, other.scale)
        left = self.mantissa * 10 ** (self.scale - base)
        right = other.mantissa * 10 ** (other.scale - base)
        return Quantity(left + sign * right, base, self.format if self.mantissa else other.format)

    def round_up(self, scale: int) -> Quantity:
        """At most as precise as 10**scale, rounded away from zero; itself when it is already."""
        if self.scale >= scale:
            return self
        return Quantity(_divide_up(self.mantissa, self.scale - scale), scale, self.format)

    # -- the canonical form

    def _draw(self) -> str:
        if not self.mantissa:
            return "0"
        if self.format == BINARY_SI and (self.compare(_LOW) <= 0 or self.compare(_HIGH) >= 0):
            shift = self.scale
            whole = self.mantissa * 10**shift if shift >= 0 else self.mantissa // 10**-shift
            if shift >= 0 or self.mantissa % 10**-shift == 0:
                number, times = _strip(whole, 1024)
                while times >= len(_BINARY_NAMES):
                    number, times = number * 1024, times - 1
                return f"{number}{_BINARY_NAMES[times]}"
        number, times = _strip(self.mantissa, 10)
        exponent = times + self.scale
        rest = exponent % 3
        number, exponent = number * 10**rest, exponent - rest
        if self.format == DECIMAL_EXPONENT:
            return f"{number}e{exponent}" if exponent else str(number)
        if exponent > 18:
            number, exponent = number * 10 ** (exponent - 18), 18
        return f"{number}{_DECIMAL_NAMES[exponent]}"


def _divide_up(mantissa: int, shift: int) -> int:
    """mantissa × 10**shift for a negative shift, rounded away from zero."""
    if -shift > 4000:
        return (mantissa > 0) - (mantissa < 0)
    divisor: int = 10**-shift
    return -(-mantissa // divisor) if mantissa > 0 else mantissa // divisor


def _strip(number: int, factor: int) -> tuple[int, int]:
    """The number without its factors of that base, and how many there were."""
    times = 0
    while number and number % factor == 0:
        number //= factor
        times += 1
    return number, times


ZERO = Quantity(0, text="0")
_LOW, _HIGH = Quantity(-1024), Quantity(1024)


@memo.short(16384, 64)
def _parse(text: str) -> Quantity:
    if not text:
        raise QuantityError(ERR_FORMAT)
    match = _QUANTITY_RE.match(text)
    if not match:
        raise QuantityError(ERR_FORMAT)
    sign, digits, fraction, suffix = match[1], match[2] or "0", match[4] or "", match[5]
    family, base, exponent = _suffix(suffix)
    shifted = digits + fraction
    if len(shifted) > _MAX_DIGITS:
        raise QuantityError(ERR_FORMAT)
    mantissa = int(shifted)
    if sign == "-":
        mantissa = -mantissa
    kept = _kept_as_written(text, family, exponent, digits, fraction)
    if base == 2:
        mantissa, scale = mantissa * 2**exponent, -len(fraction)
    else:
        scale = exponent - len(fraction)
    if kept is not None and abs(mantissa) <= MAX_INT64:
        return Quantity(mantissa, scale, family, text if kept else "")
    return _bounded(mantissa, scale, family)


def _suffix(suffix: str) -> tuple[str, int, int]:
    """(family, base, exponent) of a suffix."""
    if suffix in _DECIMAL:
        return DECIMAL_SI, 10, _DECIMAL[suffix]
    if suffix in _BINARY:
        return BINARY_SI, 2, _BINARY[suffix]
    match = _EXPONENT_RE.match(suffix)
    if not match or len(match[1].lstrip("+-0")) > 10 or abs(int(match[1].lstrip("+-0") or "0")) >= 2**31:
        raise QuantityError(ERR_SUFFIX)
    exponent = int(match[1].lstrip("+-0") or "0") * (-1 if match[1][0] == "-" else 1)
    if exponent > _MAX_EXPONENT:
        raise QuantityError(ERR_SUFFIX)
    return DECIMAL_EXPONENT, 10, max(exponent, -_MAX_EXPONENT)


def _kept_as_written(text: str, family: str, exponent: int, digits: str, fraction: str) -> bool | None:
    """Whether the original prints the text again as it was written (it looks canonical to it); None when the number
    does not take the original's fast path, in which case bounds apply and nothing is kept."""
    shifted = digits + fraction
    if family == BINARY_SI:
        if fraction or 15 - len(digits) - exponent * 3 // 10 - 1 < 0:
            return None
        return int(shifted) & 7 != 0
    scale = exponent - len(fraction)
    if len(shifted) > _INT64_DIGITS or scale < NANO:
        return None
    return scale % 3 == 0 and not shifted.endswith("000") and shifted[0] != "0"


def _bounded(mantissa: int, scale: int, family: str) -> Quantity:
    """Rounded away from zero to nanos, and for BinarySI capped at the greatest int64."""
    if scale < NANO:
        mantissa, scale = _divide_up(mantissa, scale - NANO), NANO
    result = Quantity(mantissa, scale, family)
    if family == BINARY_SI:
        if abs(result) > _MAX:
            result = Quantity(MAX_INT64 if mantissa > 0 else -MAX_INT64, 0, family)
        elif mantissa and abs(result) < _ONE:
            result = Quantity(mantissa, scale, DECIMAL_SI)
    return result


_MAX, _ONE = Quantity(MAX_INT64), Quantity(1)

ResourceList = dict[str, Quantity]


def parse(value: str | int | float) -> Quantity:
    """The quantity that a JSON string or number means; QuantityError in the original's words."""
    if type(value) is str:
        return _parse(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QuantityError(ERR_FORMAT)
    if isinstance(value, float) and value.is_integer() and -1e15 < value < 1e15:
        value = int(value)
    return _parse(str(value))


def canonical(value: str | int | float) -> str:
    """The form in which the API server writes it back."""
    return str(parse(value))


def parse_list(resources: Mapping[str, str | int | float] | None) -> ResourceList:
    """A ResourceList (requests, limits, capacity, ...) with its values parsed."""
    return {name: parse(value) for name, value in resources.items()} if resources else {}


def draw_list(resources: Mapping[str, Quantity]) -> dict[str, str]:
    """The ResourceList in JSON shape."""
    return {name: str(value) for name, value in resources.items()}


def add_list(total: ResourceList, other: Mapping[str, Quantity]) -> None:
    """Add the other's values into `total`, resource by resource."""
    for name, value in other.items():
        present = total.get(name)
        total[name] = value if present is None else present + value


def max_list(total: ResourceList, other: Mapping[str, Quantity]) -> None:
    """Raise the values in `total` to at least the other's."""
    for name, value in other.items():
        present = total.get(name)
        if present is None or present < value:
            total[name] = value


def from_bytes(count: int) -> Quantity:
    """A number of bytes, printed with a binary suffix."""
    return Quantity(count, 0, BINARY_SI)


def total(quantities: Iterable[Quantity]) -> Quantity:
    """The sum; zero of none."""
    result = ZERO
    for quantity in quantities:
        result = result + quantity
    return result
