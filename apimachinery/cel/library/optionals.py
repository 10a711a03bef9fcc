"""Optional values. `or`, `orValue` and the ?-operators evaluate lazily and are built into the compiler."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.values import MISSING, NONE, Optional, is_zero


def value(optional: Optional) -> Any:
    if optional.value is MISSING:
        raise EvalError("optional.none() dereference")
    return optional.value


def _unwrap(optionals: list[Optional]) -> list[Any]:
    return [item.value for item in optionals if item.value is not MISSING]


def _none() -> Optional:
    return NONE


OVERLOADS = [
    Overload("optional.of", "optional_of", "(V) optional(V)", Optional),
    Overload(
        "optional.ofNonZeroValue",
        "optional_ofNonZeroValue",
        "(V) optional(V)",
        lambda item: NONE if is_zero(item) else Optional(item),
    ),
    Overload("optional.none", "optional_none", "() optional(V)", _none),
    Overload("value", "optional_value", "optional(V).() V", value),
    Overload("hasValue", "optional_hasValue", "optional(V).() bool", lambda item: item.value is not MISSING),
    Overload("or", "optional_or_optional", "optional(V).(optional(V)) optional(V)"),
    Overload("orValue", "optional_orValue_value", "optional(V).(V) V"),
    Overload("first", "list_first", "list(V).() optional(V)", lambda items: Optional(items[0]) if items else NONE),
    Overload("last", "list_last", "list(V).() optional(V)", lambda items: Optional(items[-1]) if items else NONE),
    Overload("optional.unwrap", "optional_unwrap", "(list(optional(V))) list(V)", _unwrap),
    Overload("unwrapOpt", "optional_unwrapOpt", "list(optional(V)).() list(V)", _unwrap),
]
