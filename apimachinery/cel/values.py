"""Values while an expression runs, and what can be done with any of them: equality, order, truth of type, size.

    null None | bool bool | int int (64 bits) | uint Uint | double float | string str | bytes bytes | list list
    map dict, or a MapView | timestamp Timestamp | duration Duration | optional Optional | type types.Type
    quantities, URLs, addresses, ... the classes of apimachinery.cel.library, which derive from Opaque

JSON data go in as they are. Keys of maps made by expressions are wrapped so that 1, true and "1" stay apart (see key()).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from apimachinery.cel import types
from apimachinery.cel.errors import EvalError
from apimachinery.cel.timevalues import Duration, Timestamp

MIN_INT, MAX_INT = -(2**63), 2**63 - 1
MAX_UINT = 2**64 - 1
MISSING: Any = object()


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


class Optional:
    """A value that may be absent (its value is MISSING then)."""

    __slots__ = ("value",)

    def __init__(self, value: Any = MISSING) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "optional.none()" if self.value is MISSING else f"optional({self.value!r})"


NONE = Optional()


class Opaque:
    """A value of a function library. Subclasses say their type, and are equal as == says."""

    __slots__ = ()
    cel_type: ClassVar[types.Type]

    def cel_size(self) -> int | None:
        """The size that costs are computed with; None when it has none."""
        return None


class MapView(Protocol):
    """A map that is not a dict: a lazy or converting view of data."""

    def find(self, key: Any) -> Any:
        """The value under a key, or MISSING."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


class View:
    """Base of the map views: objects of a schema, lazily evaluated variables, structs that expressions make.

    find() answers MISSING for what is not there.
    """

    __slots__ = ()

    def find(self, key: Any) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def raw(self) -> Any:
        """The data behind it, as JSON."""
        raise NotImplementedError


class ListView(list[Any]):
    """A list with an order-blind equality or a merging + (x-kubernetes-list-type set and map)."""

    def cel_equal(self, other: list[Any]) -> bool:
        raise NotImplementedError

    def cel_add(self, other: list[Any]) -> list[Any]:
        raise NotImplementedError


_OF_CLASS = {
    bool: types.BOOL_TYPE,
    int: types.INT_TYPE,
    Uint: types.UINT_TYPE,
    float: types.DOUBLE_TYPE,
    str: types.STRING_TYPE,
    bytes: types.BYTES_TYPE,
    type(None): types.NULL_TYPE,
    dict: types.MAP_TYPE,
    list: types.LIST_TYPE,
    Timestamp: types.TIMESTAMP_TYPE,
    Duration: types.DURATION_TYPE,
    Optional: types.optional_of(types.DYN_TYPE),
    types.Type: types.TYPE_TYPE,
}


def type_of(value: Any) -> types.Type:
    """The run-time type; element types are not told apart."""
    found = _OF_CLASS.get(value.__class__)
    if found is not None:
        return found
    if isinstance(value, Opaque):
        return value.cel_type
    if isinstance(value, View):
        return getattr(value, "cel_type", types.MAP_TYPE)
    if isinstance(value, list):
        return types.LIST_TYPE
    raise EvalError(f"unsupported conversion to ref.Val: ({type(value).__name__}){value}")


def type_name(value: Any) -> str:
    return type_of(value).name


# -- maps


class Key:
    """A map key that is no string: equal numbers are one key, whatever their type; booleans are none of them."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash((self.value.__class__ is bool, self.value))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Key)
            and (self.value.__class__ is bool) == (other.value.__class__ is bool)
            and self.value == other.value
        )

    def __repr__(self) -> str:
        return f"Key({self.value!r})"


def key(value: Any) -> Any:
    """A value as a key of a dict."""
    return value if value.__class__ is str else Key(value)


def unkey(stored: Any) -> Any:
    """The value of a dict's key."""
    return stored.value if stored.__class__ is Key else stored


def find(container: Any, name: Any) -> Any:
    """The value of a map under a key, MISSING when there is none. EvalError for a key of an impossible type."""
    if container.__class__ is dict:
        if name.__class__ is str:
            return container.get(name, MISSING)
        if name.__class__ in (int, Uint, float, bool):
            return container.get(Key(name), MISSING)
        return MISSING
    return container.find(name)


def is_map(value: Any) -> bool:
    return value.__class__ is dict or isinstance(value, View)


def keys(value: Any) -> Iterator[Any]:
    """The keys of a map, as values."""
    return map(unkey, value)


# -- equality and order


def equal(left: Any, right: Any) -> bool:
    """Equality of the language: numbers by value across types, everything else within its type, deep."""
    kind: type[Any] = left.__class__
    if kind is right.__class__:
        if kind is list:
            return len(left) == len(right) and all(map(equal, left, right))
        if kind is dict:
            return _equal_maps(left, right)
        if kind is Optional:
            return _equal_optionals(left, right)
        if not isinstance(left, View | ListView):
            return bool(left == right)
    if kind in _NUMBERS and right.__class__ in _NUMBERS:
        return _equal_numbers(left, right)
    if isinstance(left, list) and isinstance(right, list):
        if isinstance(left, ListView):
            return left.cel_equal(right)
        return len(left) == len(right) and all(map(equal, left, right))
    if is_map(left) and is_map(right):
        return _equal_maps(left, right)
    return False


_NUMBERS = frozenset({int, Uint, float})


def _equal_numbers(left: Any, right: Any) -> bool:
    if left.__class__ is float or right.__class__ is float:
        return float(left) == float(right) and _in_range(left, right)
    return bool(left == right)


def _in_range(left: Any, right: Any) -> bool:
    """Doubles beyond the integers' range equal none of them."""
    if left.__class__ is float and right.__class__ is float:
        return True
    number, integer = (left, right) if left.__class__ is float else (right, left)
    low, high = (0.0, 2.0**64) if integer.__class__ is Uint else (-(2.0**63), 2.0**63)
    return bool(low <= number <= high)


def _equal_maps(left: Any, right: Any) -> bool:
    if len(left) != len(right):
        return False
    for stored in left:
        name = unkey(stored)
        other = find(right, name)
        if other is MISSING or not equal(find(left, name), other):
            return False
    return True


def _equal_optionals(left: Optional, right: Optional) -> bool:
    if left.value is MISSING or right.value is MISSING:
        return left.value is right.value
    return equal(left.value, right.value)


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1; EvalError when the two have no order."""
    kind, other = left.__class__, right.__class__
    if kind is other and kind in _ORDERED:
        if kind is float and (left != left or right != right):
            raise EvalError("NaN values cannot be ordered")
        return int(left > right) - int(left < right)
    if kind in _NUMBERS and other in _NUMBERS:
        return _compare_numbers(left, right)
    raise EvalError("no such overload")


_ORDERED = frozenset({int, Uint, float, str, bytes, bool, Timestamp, Duration})


def _compare_numbers(left: Any, right: Any) -> int:
    if left.__class__ is float or right.__class__ is float:
        if left != left or right != right:
            raise EvalError("NaN values cannot be ordered")
        if _in_range(left, right):
            left, right = float(left), float(right)
    return int(left > right) - int(left < right)


def contains(container: Any, value: Any) -> bool:
    """value in container."""
    if isinstance(container, list):
        return any(equal(value, item) for item in container)
    if is_map(container):
        return find(container, value) is not MISSING
    raise EvalError("no such overload")


# -- size


def size(value: Any) -> int | None:
    """The size() of a value: characters, bytes, elements or entries; None for what has none."""
    kind = value.__class__
    if kind is str or kind is list or kind is dict or kind is bytes:
        return len(value)
    if isinstance(value, list | View):
        return len(value)
    return None


def cost_size(value: Any) -> int:
    """The size that costs are computed with: 1 for what has none."""
    kind = value.__class__
    if kind is str or kind is list or kind is dict or kind is bytes:
        return len(value)
    if kind is Optional:
        return 1 if value.value is MISSING else cost_size(value.value)
    if isinstance(value, list | View):
        return len(value)
    if isinstance(value, Opaque):
        found = value.cel_size()
        return 1 if found is None else found
    return 1


def is_zero(value: Any) -> bool:
    """Whether it is its type's zero value (optional.ofNonZeroValue)."""
    if value is None:
        return True
    if isinstance(value, Optional):
        return value.value is MISSING
    if isinstance(value, bool | int | float | str | bytes | list | dict | View):
        return not value
    if isinstance(value, Timestamp | Duration):
        return value.nanoseconds == 0 if isinstance(value, Duration) else value.is_zero()
    return False


def to_json(value: Any) -> Any:
    """A value as JSON data (mutations, audit annotations). EvalError for what JSON cannot hold."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, View):
        return value.raw()
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        out = {}
        for stored, item in value.items():
            if stored.__class__ is not str:
                raise EvalError(f"map key {unkey(stored)!r} is not a string")
            out[stored] = to_json(item)
        return out
    if isinstance(value, Timestamp | Duration):
        return str(value)
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    raise EvalError(f"cannot convert {type_name(value)} to JSON")
