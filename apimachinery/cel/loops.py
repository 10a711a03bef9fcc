"""Comprehensions: a Python loop for each kind of macro. Each round pays what the original's general form would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from apimachinery.cel import values
from apimachinery.cel.errors import FAILURES, EvalError
from apimachinery.cel.frame import Closure, Compiled, Frame
from apimachinery.cel.runtimecost import LIST, MAP
from apimachinery.cel.syntax import Comprehension, Literal
from apimachinery.cel.values import find, is_map, key

if TYPE_CHECKING:
    from apimachinery.cel.compiler import Compiler

_GO_TYPES = {
    "int": "types.Int",
    "uint": "types.Uint",
    "double": "types.Double",
    "bool": "types.Bool",
    "string": "types.String",
    "bytes": "types.Bytes",
    "null_type": "types.Null",
}


def compile_loop(compiler: Compiler, node: Comprehension) -> Compiled:
    """The loop, and what it costs before and after its rounds."""
    if node.kind == "bind":
        return _bind(compiler, node)
    over, cost = compiler.compile(node.range)
    slots = [compiler.new_slot()]
    names = [(node.var, slots[0])]
    if node.var2:
        slots.append(compiler.new_slot())
        names.append((node.var2, slots[1]))
    depth = len(compiler.locals)
    compiler.locals.extend(names)
    try:
        maker, start = _MAKERS[node.kind]
        closure = maker(compiler, node, _rounds(over, slots))
    finally:
        del compiler.locals[depth:]
    # An empty list or map to begin with is a constant, which costs nothing once constants are folded.
    return closure, cost + (0 if compiler.optimize else start) + (2 if node.kind == "one" else 1)


Rounds = Callable[[Frame], Iterator[Any]]


def _rounds(over: Closure, slots: list[int]) -> Rounds:
    """Iterates with the loop's variables set; yields the first of them."""
    if len(slots) == 1:
        (slot,) = slots

        def single(frame: Frame) -> Iterator[Any]:
            cells = frame.slots
            for item in _iterable(over(frame)):
                cells[slot] = item
                yield item

        return single

    first, second = slots

    def double(frame: Frame) -> Iterator[Any]:
        cells = frame.slots
        for name, item in _pairs(over(frame)):
            cells[first], cells[second] = name, item
            yield name

    return double


def _iterable(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if is_map(value):
        return values.keys(value)
    shown = _GO_TYPES.get(values.type_name(value), values.type_name(value))
    raise EvalError(f"got '{shown}', expected iterable type")


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list):
        return enumerate(value)
    if is_map(value):
        return ((name, find(value, name)) for name in values.keys(value))
    shown = _GO_TYPES.get(values.type_name(value), values.type_name(value))
    raise EvalError(f"unsupported comprehension range type: {shown}")


def _quantifier(compiler: Compiler, node: Comprehension, rounds: Rounds) -> Closure:
    """all and exists: a round that decides ends the loop; errors count only when none does."""
    decisive = node.kind == "exists"
    predicate, cost = compiler.compile(node.body)
    test = 3 if decisive else 2  # asking whether to go on
    cost += test + 1

    def loop(frame: Frame) -> bool:
        failure: Exception | None = None
        decided = False
        for _ in rounds(frame):
            if decided:
                frame.pay(test)
                return decisive
            frame.pay(cost)
            try:
                value = predicate(frame)
            except FAILURES as error:
                failure = failure or error
                continue
            if value is decisive:
                decided = True
            elif value is not True and value is not False:
                failure = failure or EvalError("no such overload")
        if decided:
            return decisive
        if failure is not None:
            raise failure
        return not decisive

    return loop


def _condition(compiler: Compiler, node: Comprehension) -> tuple[Closure | None, int]:
    return compiler.compile(node.filter) if node.filter is not None else (None, 0)


def _holds(condition: Closure | None, frame: Frame) -> bool:
    if condition is None:
        return True
    value = condition(frame)
    if value is True or value is False:
        return bool(value)
    raise EvalError("no such overload")


def _count(compiler: Compiler, node: Comprehension, rounds: Rounds) -> Closure:
    """exists_one: no round is left out, as an error in any of them counts."""
    condition, cost = _condition(compiler, node)

    def loop(frame: Frame) -> bool:
        count = 0
        for _ in rounds(frame):
            frame.pay(cost)
            if _holds(condition, frame):
                frame.cost += 2
                count += 1
        return count == 1

    return loop


def _list(compiler: Compiler, node: Comprehension, rounds: Rounds) -> Closure:
    condition, cost = _condition(compiler, node)
    value, more = compiler.compile(node.body)
    folded = compiler.optimize and isinstance(node.body, Literal)
    more += 2 if folded else 2 + LIST

    def loop(frame: Frame) -> list[Any]:
        out = []
        for _ in rounds(frame):
            frame.pay(cost)
            if _holds(condition, frame):
                frame.cost += more
                out.append(value(frame))
        return out

    return loop


def _insert(out: dict[Any, Any], name: Any, value: Any) -> None:
    stored = key(name)
    if stored in out:
        raise EvalError(f"insert failed: key {name} already exists")
    out[stored] = value


def _map(compiler: Compiler, node: Comprehension, rounds: Rounds) -> Closure:
    """transformMap and transformMapEntry."""
    condition, cost = _condition(compiler, node)
    value, more = compiler.compile(node.body)
    entries = node.kind == "entry"
    more += 2 if entries else 3

    def loop(frame: Frame) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for name in rounds(frame):
            frame.pay(cost)
            if not _holds(condition, frame):
                continue
            frame.cost += more
            made = value(frame)
            if not entries:
                _insert(out, name, made)
            elif not is_map(made):
                raise EvalError("no such overload: cel.@mapInsert")
            else:
                for inner in values.keys(made):
                    _insert(out, inner, find(made, inner))
        return out

    return loop


def _bind(compiler: Compiler, node: Comprehension) -> Compiled:
    """A name for a value."""
    init, init_cost = compiler.compile(node.init)
    slot = compiler.new_slot()
    compiler.locals.append((node.accu, slot))
    result, cost = compiler.compile(node.result)
    compiler.locals.pop()

    def bound(frame: Frame) -> Any:
        frame.slots[slot] = init(frame)
        return result(frame)

    return bound, init_cost + cost + (0 if compiler.optimize else LIST)


_MAKERS: dict[str, tuple[Callable[[Compiler, Comprehension, Rounds], Closure], int]] = {
    "all": (_quantifier, 0),
    "exists": (_quantifier, 0),
    "one": (_count, 0),
    "list": (_list, LIST),
    "map": (_map, MAP),
    "entry": (_map, MAP),
}
