"""Selections and indexing: x.field, x[key], has(x.field), x.?field, x[?key]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.cel.errors import EvalError
from apimachinery.cel.frame import Closure, Frame
from apimachinery.cel.library.standard import draw_double
from apimachinery.cel.runtimecost import SELECT
from apimachinery.cel.values import MISSING, NONE, Key, Optional, Uint, View, type_name

Wrap = Callable[[Any], Any] | None


def draw(value: Any) -> str:
    """A key as error texts show it."""
    if value.__class__ is bool:
        return "true" if value else "false"
    return draw_double(value) if value.__class__ is float else str(value)


def _missing(key: Any) -> EvalError:
    return EvalError(f"no such key: {draw(key)}")


def select(operand: Closure, key: str, shown: str, wrap: Wrap, *, struct: bool) -> Closure:
    """operand.shown, which the data hold under key. struct: the operand is an object, where null means absent."""
    if not struct:

        def from_any(frame: Frame) -> Any:
            container = operand(frame)
            if container.__class__ is dict:
                try:
                    return container[key]
                except KeyError:
                    raise EvalError(f"no such key: {key}") from None
            return _select(container, key)

        return from_any

    def from_struct(frame: Frame) -> Any:
        container = operand(frame)
        if container.__class__ is dict:
            value = container.get(key)
            if value is None:
                raise EvalError(f"no such key: {shown}")
            return value if wrap is None else wrap(value)
        return _select(container, shown)

    return from_struct


def _select(container: Any, key: Any) -> Any:
    """container.key for everything that is no dict."""
    if container.__class__ is Optional:
        return _chain(container, lambda inner: _find(inner, key))
    value = _find(container, key)
    if value is MISSING:
        raise EvalError(f"index out of bounds: {draw(key)}") if isinstance(container, list) else _missing(key)
    return value


def _chain(optional: Optional, find: Callable[[Any], Any]) -> Optional:
    """A selection from an optional is an optional."""
    if optional.value is MISSING:
        return NONE
    value = find(optional.value)
    return NONE if value is MISSING else Optional(value)


def _find(container: Any, key: Any) -> Any:
    """The value under a key or at a position, MISSING when there is none."""
    if container.__class__ is dict:
        return container.get(key if key.__class__ is str else _number_key(key), MISSING)
    if isinstance(container, View):
        return container.find(key)
    if isinstance(container, list):
        position = _position(key)
        return container[position] if 0 <= position < len(container) else MISSING
    return MISSING


def _number_key(key: Any) -> Any:
    return Key(key) if key.__class__ in (int, Uint, float, bool) else MISSING


def _position(key: Any) -> int:
    if key.__class__ is int:
        return int(key)
    if key.__class__ is Uint or key.__class__ is float:
        if int(key) == key and abs(key) < 2**63:
            return int(key)
        raise EvalError(f"unsupported index value {draw(key)} in list")
    raise EvalError(f"unsupported index type '{type_name(key)}' in list")


def present(operand: Closure, key: str, *, struct: bool) -> Closure:
    """has(operand.key)."""

    def test(frame: Frame) -> bool:
        container = operand(frame)
        if container.__class__ is dict:
            return container.get(key) is not None if struct else key in container
        if container.__class__ is Optional:
            return container.value is not MISSING and _find(container.value, key) is not MISSING
        return _find(container, key) is not MISSING

    return test


def optional_select(operand: Closure, key: str, wrap: Wrap, *, struct: bool) -> Closure:
    """operand.?key; also operand.key of an operand that is optional."""

    def maybe(frame: Frame) -> Optional:
        container = operand(frame)
        if container.__class__ is Optional:
            container = container.value
            if container is MISSING:
                return NONE
        if container.__class__ is dict:
            value = container.get(key, MISSING)
            if value is MISSING or (struct and value is None):
                return NONE
            frame.cost += SELECT
            return Optional(value if wrap is None else wrap(value))
        return _found(frame, _find(container, key))

    return maybe


def _found(frame: Frame, value: Any) -> Optional:
    """What was looked for, if it is there; only then the step has a price."""
    if value is MISSING:
        return NONE
    frame.cost += SELECT
    return Optional(value)


def index(operand: Closure, at: Closure, constant: Any) -> Closure:
    """operand[at]. constant: the key when it is known, else MISSING."""
    if constant.__class__ is str:

        def by_name(frame: Frame) -> Any:
            container = operand(frame)
            if container.__class__ is dict:
                value = container.get(constant, MISSING)
                if value is MISSING:
                    raise EvalError(f"no such key: {constant}")
                return value
            return _select(container, constant)

        return by_name

    def by_value(frame: Frame) -> Any:
        container, key = operand(frame), at(frame)
        if container.__class__ is list and key.__class__ is int:
            if 0 <= key < len(container):
                return container[key]
            raise EvalError(f"index out of bounds: {key}")
        return _select(container, key)

    return by_value


def optional_index(operand: Closure, at: Closure) -> Closure:
    """operand[?at]."""

    def maybe(frame: Frame) -> Optional:
        container, key = operand(frame), at(frame)
        if container.__class__ is Optional:
            container = container.value
            if container is MISSING:
                return NONE
        return _found(frame, _find(container, key))

    return maybe
