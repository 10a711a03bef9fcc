"""Calls of library functions: which overload, with which guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.cel import types, values
from apimachinery.cel.declarations import Function, Implementation, Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.frame import Closure, Frame
from apimachinery.cel.runtimecost import Measure
from apimachinery.cel.types import Type

# These report a wrong type without a signature, as they check for themselves in the original.
_TERSE = frozenset({"contains", "startsWith", "endsWith", "matches", "size"})


def dispatcher(function: Function, ids: tuple[str, ...], arg_types: list[Type]) -> Implementation:
    """What to call with the arguments. ids: the overloads that may fit by the types that are known."""
    chosen = [overload for overload in function.overloads if overload.id in ids]
    if len(chosen) == 1:
        overload = chosen[0]
        assert overload.implementation is not None, overload.id
        if not _doubtful(overload, arg_types):
            return overload.implementation
    return _guarded(function.name, chosen)


def _doubtful(overload: Overload, arg_types: list[Type]) -> bool:
    """Whether an argument's type is known only when the expression runs."""
    return any(
        given.kind in (types.DYN, types.PARAM) and wanted.kind not in (types.DYN, types.PARAM)
        for given, wanted in zip(arg_types, overload.args, strict=True)
    )


def _guarded(name: str, overloads: list[Overload]) -> Implementation:
    implementations = {o.implementation for o in overloads}
    guards = [[_guard(t) for t in o.args] for o in overloads]
    pairs = list(zip(overloads, guards, strict=True))

    def call(*args: Any) -> Any:
        for overload, tests in pairs:
            if all(test(arg) for test, arg in zip(tests, args, strict=True)):
                assert overload.implementation is not None
                return overload.implementation(*args)
        if name in _TERSE:
            raise EvalError("no such overload" if len(implementations) == 1 else f"no such overload: {name}")
        raise EvalError(f"no such overload: {name}({', '.join(values.type_name(arg) for arg in args)})")

    return call


def _guard(t: Type) -> Callable[[Any], bool]:
    """Whether a value is of a type, as far as that shows without looking into it."""
    if t.kind in (types.DYN, types.PARAM):
        return lambda _: True
    if t.kind == types.LIST:
        element = t.params[0]
        if element.kind in (types.DYN, types.PARAM, types.LIST, types.OPAQUE):
            return lambda value: isinstance(value, list)
        inner = _guard(element)
        return lambda value: isinstance(value, list) and (not value or inner(value[0]))
    if t.kind == types.MAP:
        return values.is_map
    if t.kind == types.TYPE:
        return lambda value: isinstance(value, Type)
    if types.is_optional(t):
        return lambda value: value.__class__ is values.Optional
    return lambda value: values.type_of(value) == t


def fixed(implementation: Implementation, args: list[Closure]) -> Closure:
    """A call whose cost is known beforehand."""
    if len(args) == 1:
        (only,) = args
        return lambda frame: implementation(only(frame))
    if len(args) == 2:
        first, second = args
        return lambda frame: implementation(first(frame), second(frame))
    return lambda frame: implementation(*[arg(frame) for arg in args])


def measured(implementation: Implementation, args: list[Closure], measure: Measure) -> Closure:
    """A call that costs by its arguments and its result."""

    def call(frame: Frame) -> Any:
        given = tuple([arg(frame) for arg in args])
        result = implementation(*given)
        frame.pay(measure(given, result))
        return result

    return call
