"""What calls cost while an expression runs: cel-go's model with Kubernetes' costs for its function libraries.

call_cost() is asked when an expression is compiled and answers a number, or a function of the arguments and the result.
The units are the original's, and so are the roundings (products of floats, rounded up), because limits are part of the API.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from apimachinery.cel import values
from apimachinery.cel.library.formats import Format
from apimachinery.cel.values import Opaque, cost_size

PER_CALL_LIMIT = 1_000_000  # of one evaluation: about a tenth of a second in the original
SELECT = 1
LIST, MAP, STRUCT = 10, 30, 40  # making one
TRAVERSAL = 0.1  # per character read
REGEX_LENGTH = 0.25  # per character of a pattern
AUTHORIZATION = 350_000  # a check: two fit one evaluation

Measure = Callable[[tuple[Any, ...], Any], int]
ceil = math.ceil


def _first(args: tuple[Any, ...], _: Any) -> int:
    return ceil(cost_size(args[0]) * TRAVERSAL)


def _first_twice(args: tuple[Any, ...], _: Any) -> int:
    return ceil(cost_size(args[0]) * 2 * TRAVERSAL)


def _result_twice(_: tuple[Any, ...], result: Any) -> int:
    return ceil(cost_size(result) * 2 * TRAVERSAL)


def regex_cost(text_size: int, pattern_size: int) -> int:
    return ceil((1.0 + text_size) * TRAVERSAL) * ceil(pattern_size * REGEX_LENGTH)


def _find(args: tuple[Any, ...], _: Any) -> int:
    return regex_cost(cost_size(args[0]), cost_size(args[1]))


def _validate(args: tuple[Any, ...], _: Any) -> int:
    format_ = args[0]
    assert isinstance(format_, Format)
    return regex_cost(cost_size(args[1]), format_.regexp_size)


def _contains(args: tuple[Any, ...], _: Any) -> int:
    return ceil(cost_size(args[0]) * TRAVERSAL) * ceil(cost_size(args[1]) * TRAVERSAL)


def _shorter(args: tuple[Any, ...], _: Any) -> int:
    if isinstance(args[0], Opaque):
        return 1
    return ceil(min(cost_size(args[0]), cost_size(args[1])) * TRAVERSAL)


def _both(args: tuple[Any, ...], _: Any) -> int:
    return ceil((cost_size(args[0]) + cost_size(args[1])) * TRAVERSAL)


def _second_size(args: tuple[Any, ...], _: Any) -> int:
    return cost_size(args[1])


def _traversal(args: tuple[Any, ...], _: Any) -> int:
    return traverse(args[0])


def traverse(value: Any) -> int:
    """The cost of reading a value through, strings by their bytes."""
    if value.__class__ is str:
        return int(len(value.encode("utf-8", "surrogatepass")) * TRAVERSAL)
    if value.__class__ is bytes:
        return int(len(value) * TRAVERSAL)
    if isinstance(value, list):
        return sum(map(traverse, value))
    if values.is_map(value):
        return sum(traverse(name) + traverse(values.find(value, name)) for name in values.keys(value))
    return 1


def selector_cost(length: int) -> int:
    """Of parsing a label or field selector of so many characters."""
    requirements = ceil(length * 0.5)
    return LIST + ceil(length * TRAVERSAL) + ceil(requirements * float(LIST + STRUCT))


def _selector(args: tuple[Any, ...], _: Any) -> int:
    return selector_cost(cost_size(args[1]))


def _contains_ip(args: tuple[Any, ...], _: Any) -> int:
    size = cost_size(args[0])
    cost = ceil((size + size) * TRAVERSAL)
    return cost + ceil(len(args[1]) * TRAVERSAL) if args[1].__class__ is str else cost


def _contains_cidr(args: tuple[Any, ...], _: Any) -> int:
    return _contains_ip(args, _) + ceil(cost_size(args[0]) * TRAVERSAL) + 1


def _sets(factor: int) -> Measure:
    return lambda args, _: 1 + cost_size(args[0]) * cost_size(args[1]) * factor


def _made_list(_: tuple[Any, ...], result: Any) -> int:
    return cost_size(result) + 1 + LIST


def _flatten(args: tuple[Any, ...], _: Any) -> int:
    depth = args[1] if len(args) == 2 else 1
    return int(cost_size(args[0]) * float(depth)) + 1 + LIST


def _self_compare(items: list[Any]) -> int:
    size = len(items)
    factor = 2.0 + (TRAVERSAL if size and items[0].__class__ in (str, bytes) else 0)
    return int(float(size * size) * factor) + 1 + LIST


# By overload id: these come first.
_BY_OVERLOAD: dict[str, Measure] = {
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
    "list_slice": _made_list,
    "lists_range": _made_list,
    "list_reverse": _made_list,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "list_distinct": lambda args, _: _self_compare(args[0]),
}
# By function name: Kubernetes' costs.
_BY_FUNCTION: dict[str, Measure | int] = {
    "check": AUTHORIZATION,
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversal),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey"), _first),
    **dict.fromkeys(("replace", "split"), _first_twice),
    "join": _result_twice,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip"), _first),
    "ip.isCanonical": _first_twice,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver"), _first),
    "validate": _validate,
}
# By overload id: cel-go's own costs.
_DEFAULTS: dict[str, Measure] = {
    **dict.fromkeys(
        (
            "starts_with_string",
            "ends_with_string",
            "string_to_bytes",
            "bytes_to_string",
            "strings_quote",
            "string_format",
        ),
        _first,
    ),
    "in_list": _second_size,
    **{
        f"{word}_{kind}": _shorter
        for word in ("less", "greater", "less_equals", "greater_equals")
        for kind in ("string", "bytes")
    },
    "equals": _shorter,
    "not_equals": _shorter,
    "add_string": _both,
    "add_bytes": _both,
    "matches_string": _find,
    "contains_string": _contains,
}


def call_cost(function: str, overload: str) -> int | Measure:
    """The cost of a call. overload: the id when only one fits, or ""."""
    found: int | Measure | None = _BY_OVERLOAD.get(overload)
    if found is None and overload.endswith("_sort"):
        found = lambda args, _: _self_compare(args[0])  # noqa: E731
    if found is None and overload.endswith("_sortByAssociatedKeys"):
        found = lambda args, _: _self_compare(args[1])  # noqa: E731
    if found is None:
        found = 1 if overload == "cidr_ip" else _BY_FUNCTION.get(function)
    if found is None:
        found = _DEFAULTS.get(overload, 1)
    return found
