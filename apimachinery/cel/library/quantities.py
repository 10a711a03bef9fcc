"""quantity("1Gi") and its arithmetic, on apimachinery.quantity."""

from __future__ import annotations

from typing import ClassVar

from apimachinery import quantity
from apimachinery.cel import types
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.values import MAX_INT, MIN_INT, Opaque


class Quantity(Opaque):
    """A quantity as a value of the language."""

    __slots__ = ("value",)
    cel_type: ClassVar[types.Type] = types.QUANTITY

    def __init__(self, value: quantity.Quantity) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


def parse(text: str) -> Quantity:
    try:
        return Quantity(quantity.parse(text))
    except quantity.QuantityError as error:
        raise EvalError(str(error)) from None


def _is(text: str) -> bool:
    try:
        quantity.parse(text)
    except quantity.QuantityError:
        return False
    return True


def _is_integer(item: Quantity) -> bool:
    value = item.value
    if value.scale < 0 and value.mantissa % 10**-value.scale:
        return False
    whole: int = value.mantissa * 10 ** max(value.scale, 0) // 10 ** max(-value.scale, 0)
    return MIN_INT <= whole <= MAX_INT


def _as_integer(item: Quantity) -> int:
    if not _is_integer(item):
        raise EvalError("cannot convert value to integer")
    return item.value.value()


def _plus(left: Quantity, right: Quantity) -> Quantity:
    return Quantity(left.value + right.value)


def _minus(left: Quantity, right: Quantity) -> Quantity:
    return Quantity(left.value - right.value)


def _of(number: int) -> Quantity:
    return Quantity(quantity.Quantity(number, 0, quantity.DECIMAL_EXPONENT))


OVERLOADS = [
    Overload("quantity", "string_to_quantity", "(string) quantity", parse),
    Overload("isQuantity", "is_quantity_string", "(string) bool", _is),
    # The original declares sign as a plain function: sign(quantity("1")).
    Overload("sign", "quantity_sign", "(quantity) int", lambda item: item.value.sign()),
    Overload(
        "isGreaterThan",
        "quantity_is_greater_than",
        "quantity.(quantity) bool",
        lambda a, b: a.value.compare(b.value) > 0,
    ),
    Overload(
        "isLessThan", "quantity_is_less_than", "quantity.(quantity) bool", lambda a, b: a.value.compare(b.value) < 0
    ),
    Overload("compareTo", "quantity_compare_to", "quantity.(quantity) int", lambda a, b: a.value.compare(b.value)),
    Overload("asApproximateFloat", "quantity_get_float", "quantity.() double", lambda item: float(item.value)),
    Overload("asInteger", "quantity_get_int", "quantity.() int", _as_integer),
    Overload("isInteger", "quantity_is_integer", "quantity.() bool", _is_integer),
    Overload("add", "quantity_add", "quantity.(quantity) quantity", _plus),
    Overload("add", "quantity_add_int", "quantity.(int) quantity", lambda item, n: _plus(item, _of(n))),
    Overload("sub", "quantity_sub", "quantity.(quantity) quantity", _minus),
    Overload("sub", "quantity_sub_int", "quantity.(int) quantity", lambda item, n: _minus(item, _of(n))),
]
