"""Lists: Kubernetes' own functions (isSorted, sum, min, max, indexOf, lastIndexOf) and cel-go's (slice, flatten, sort, ...)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from apimachinery.cel import values
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.library.standard import add
from apimachinery.cel.timevalues import Duration
from apimachinery.cel.values import Uint, compare, equal

COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_ZEROS: dict[str, Any] = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}
MAX_RANGE = 10_000_000  # elements; what lists.range may make before the cost of the call is known


def _is_sorted(items: list[Any]) -> bool:
    return all(compare(items[i], items[i + 1]) <= 0 for i in range(len(items) - 1))


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(items: list[Any]) -> Any:
        out = zero
        for item in items:
            out = add(out, item)
        return out

    return total


def _best(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def best(items: list[Any]) -> Any:
        if not items:
            raise EvalError(f"{name} called on empty list")
        out = items[0]
        for item in items[1:]:
            if compare(out, item) == sign:
                out = item
        return out

    return best


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((i for i, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((i for i in range(len(items) - 1, -1, -1) if equal(items[i], wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvalError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvalError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if len(items) < end:
        raise EvalError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvalError("level must be non-negative")
    out: list[Any] = []
    for item in items:
        if isinstance(item, list) and depth > 0:
            out.extend(_flatten(item, depth - 1))
        else:
            out.append(item)
    return out


def _by_key(left: tuple[Any, Any], right: tuple[Any, Any]) -> int:
    return compare(left[0], right[0])


def _sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    if len(items) != len(keys):
        raise EvalError(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got "
            f"{len(items)} and {len(keys)} elements respectively"
        )
    if not items:
        return items
    if values.type_name(keys[0]) not in _SORTABLE:
        raise EvalError("list elements must be comparable")
    if any(key.__class__ is not keys[0].__class__ for key in keys):
        raise EvalError("list elements must have the same type")
    pairs = sorted(zip(keys, items, strict=True), key=cmp_to_key(_by_key))
    return [item for _, item in pairs]


_SORTABLE = frozenset(
    {"int", "uint", "double", "bool", "string", "bytes", "google.protobuf.Duration", "google.protobuf.Timestamp"}
)


def _sort(items: list[Any]) -> list[Any]:
    return _sort_by(items, items)


def _range(count: int) -> list[int]:
    if count > MAX_RANGE:
        raise EvalError("operation cancelled: actual cost limit exceeded")
    return list(range(count))


def _reverse(items: list[Any]) -> list[Any]:
    return items[::-1]


def _distinct(items: list[Any]) -> list[Any]:
    out: list[Any] = []
    plain: set[Any] = set()
    for item in items:
        if item.__class__ is str:  # the common case without comparing all with all
            if item not in plain:
                plain.add(item)
                out.append(item)
        elif not any(equal(item, other) for other in out):
            out.append(item)
    return out


def _kubernetes() -> list[Overload]:
    out = []
    for name in COMPARABLE:
        out.append(Overload("isSorted", f"list_{name}_is_sorted_bool", f"list({name}).() bool", _is_sorted))
        out.append(Overload("max", f"list_{name}_max_{name}", f"list({name}).() {name}", _best("max", -1)))
        out.append(Overload("min", f"list_{name}_min_{name}", f"list({name}).() {name}", _best("min", 1)))
    for name, zero in _ZEROS.items():
        out.append(Overload("sum", f"list_{name}_sum_{name}", f"list({name}).() {name}", _sum(zero)))
    out.append(Overload("indexOf", "list_a_index_of_int", "list(A).(A) int", _index_of))
    out.append(Overload("lastIndexOf", "list_a_last_index_of_int", "list(A).(A) int", _last_index_of))
    return out


def _type_id(name: str) -> str:
    """A type as cel-go writes it into overload ids."""
    return {"duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp"}.get(name, name)


def _cel_go() -> list[Overload]:
    out = [
        Overload("slice", "list_slice", "list(T).(int, int) list(T)", _slice),
        Overload("flatten", "list_flatten", "list(list(T)).() list(T)", _flatten),
        Overload("flatten", "list_flatten_int", "list(dyn).(int) list(dyn)", _flatten),
        Overload("lists.range", "lists_range", "(int) list(int)", _range),
        Overload("reverse", "list_reverse", "list(T).() list(T)", _reverse),
        Overload("distinct", "list_distinct", "list(T).() list(T)", _distinct),
    ]
    for name in COMPARABLE:
        out.append(Overload("sort", f"list_{_type_id(name)}_sort", f"list({name}).() list({name})", _sort))
        out.append(
            Overload(
                "@sortByAssociatedKeys",
                f"list_{_type_id(name)}_sortByAssociatedKeys",
                f"list(T).(list({name})) list(T)",
                _sort_by,
            )
        )
    return out


OVERLOADS = [*_kubernetes(), *_cel_go()]
