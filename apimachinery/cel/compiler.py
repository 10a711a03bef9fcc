"""A checked tree to Python closures that take a Frame and return a value.

Each node compiles to (closure, cost): the cost is what the node costs whenever it is evaluated, as far as that is known
beforehand. Costs are summed up to the next place where evaluation may stop (the right side of &&, a branch, a loop's
body) and added there at once; only what depends on values (strings read, functions) is added as it happens. So a small
rule keeps its books with one addition. An expression that fails may thus have paid for what it did not get to do.

Errors of the language are exceptions; && and || and loops catch and absorb them as the language has it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from apimachinery.cel import calls, loops, types, values
from apimachinery.cel.access import index, optional_index, optional_select, present, select
from apimachinery.cel.declarations import Functions
from apimachinery.cel.errors import FAILURES, EvalError, ProgramError
from apimachinery.cel.frame import Closure, Compiled, Frame
from apimachinery.cel.library import standard
from apimachinery.cel.runtimecost import LIST, MAP, STRUCT, call_cost, ceil
from apimachinery.cel.syntax import (
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
)
from apimachinery.cel.types import STRUCT as STRUCT_KIND
from apimachinery.cel.types import TypeProvider
from apimachinery.cel.values import MISSING, Key, Optional, compare, equal

_CONVERSIONS = frozenset(["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"])
_PLAIN = frozenset({types.INT, types.UINT, types.STRING, types.BOOL, types.BYTES})


class Compiler:
    """One expression. variables: the slot of each declared variable that is used; slots grow with loops.

    optimize: fold constants as the original's server does; its published cost tables are without.
    """

    def __init__(self, functions: Functions, provider: TypeProvider, *, optimize: bool = True) -> None:
        self.functions = functions
        self.provider = provider
        self.optimize = optimize
        self.variables: dict[str, int] = {}
        self.slots = 0
        self.locals: list[tuple[str, int]] = []

    def compile(self, node: Node) -> Compiled:
        return _COMPILE[type(node)](self, node)  # type: ignore[no-any-return]

    def branch(self, node: Node) -> Compiled:
        """A branch of ?: or a key: reading a variable there is free, as the original does not notice it."""
        closure, cost = self.compile(node)
        if isinstance(node, Select) and node.test:
            return closure, cost
        return closure, cost - 1 if _reads(node) else cost

    def constant(self, node: Node) -> Any:
        """The value of a constant node, MISSING when it is none."""
        if isinstance(node, Literal):
            return node.value
        if node.constant is not None:
            return node.constant
        if not self.optimize:
            return MISSING
        if isinstance(node, ListNode) and not node.optional:
            found = [self.constant(element) for element in node.elements]
            return MISSING if any(item is MISSING for item in found) else found
        if isinstance(node, MapNode):
            return self.constant_map(node)
        if isinstance(node, Call) and node.function in _CONVERSIONS and len(node.args) == 1:
            return self.constant_call(node)
        return MISSING

    def constant_map(self, node: MapNode) -> Any:
        out = {}
        for entry in node.entries:
            name, value = self.constant(entry.key), self.constant(entry.value)
            if name is MISSING or value is MISSING or entry.optional:
                return MISSING
            out[values.key(name)] = value
        return out

    def constant_call(self, node: Call) -> Any:
        value = self.constant(node.args[0])
        if value is MISSING:
            return MISSING
        try:
            return calls.dispatcher(self.functions[node.function], node.overloads, [node.args[0].type])(value)
        except EvalError as error:
            raise ProgramError(str(error)) from None
        except FAILURES:
            raise ProgramError("no such overload") from None

    # -- leaves

    def literal(self, node: Literal) -> Compiled:
        value = node.value
        return lambda _: value, 0

    def ident(self, node: Ident) -> Compiled:
        return self.variable(node)

    def variable(self, node: Node) -> Compiled:
        """A declared name (perhaps with dots in it), a loop's variable, or a type."""
        if node.constant is not None:
            constant = node.constant
            return lambda _: constant, 0
        name = node.ref
        assert name is not None
        for local, slot in reversed(self.locals):
            if local == name:
                return _local(slot), 1
        if name not in self.variables:
            self.variables[name] = self.new_slot()
        return _global(name, self.variables[name]), 1

    def new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    # -- selections

    def select(self, node: Select) -> Compiled:
        if node.ref is not None:
            return self.variable(node)
        closure, cost = self.compile(node.operand)
        if not _is_attribute(node.operand):
            cost += 1
        kind, optional = types.unwrap_optional(node.operand.type)
        field = self.provider.field(kind.name, node.field) if kind.kind == STRUCT_KIND else None
        name = field.key if field is not None else node.field
        wrap = field.wrap if field is not None else None
        if node.test:
            # The test itself is free, but so is then reading the root variable.
            cost = cost if _reads(node.operand) or not _is_attribute(node.operand) else cost + 1
            return present(closure, name, struct=field is not None), cost
        if optional:
            return optional_select(closure, name, wrap, struct=field is not None), cost
        return select(closure, name, node.field, wrap, struct=field is not None), cost + 1

    def optional_select(self, node: Call) -> Compiled:
        operand, field = node.args
        assert isinstance(field, Literal)
        closure, cost = self.compile(operand)
        kind, _ = types.unwrap_optional(operand.type)
        found = self.provider.field(kind.name, field.value) if kind.kind == STRUCT_KIND else None
        name = found.key if found is not None else field.value
        wrap = found.wrap if found is not None else None
        cost += 0 if _is_attribute(operand) else 1
        return optional_select(closure, name, wrap, struct=found is not None), cost

    def index(self, node: Call) -> Compiled:
        operand, key = node.args
        closure, cost = self.compile(operand)
        at, key_cost = self.branch(key)
        cost += key_cost + (0 if _is_attribute(operand) else 1)
        if node.function == "_[?_]":
            return optional_index(closure, at), cost
        return index(closure, at, self.constant(key)), cost + 1

    # -- calls

    def call(self, node: Call) -> Compiled:
        special = _SPECIAL.get(node.function)
        if special is not None and (node.function not in ("or", "orValue") or len(node.overloads) == 1):
            return special(self, node)  # type: ignore[no-any-return]
        constant = self.constant(node)
        if constant is not MISSING:
            return lambda _: constant, 0
        return self.function(node)

    def function(self, node: Call) -> Compiled:
        nodes = node.args if node.target is None else [node.target, *node.args]
        compiled = [self.compile(arg) for arg in nodes]
        closures = [closure for closure, _ in compiled]
        overload = node.overloads[0] if len(node.overloads) == 1 else ""
        cost = call_cost(node.function, overload)
        total = sum(cost for _, cost in compiled)
        implementation = calls.dispatcher(self.functions[node.function], node.overloads, [arg.type for arg in nodes])
        self.check_pattern(node, nodes)
        if isinstance(cost, int):
            return calls.fixed(implementation, closures), total + cost
        return calls.measured(implementation, closures, cost), total

    def check_pattern(self, node: Call, nodes: list[Node]) -> None:
        """Constant patterns are compiled with the program, so that a bad one is refused then."""
        if self.optimize and node.function in ("matches", "find", "findAll"):
            pattern = self.constant(nodes[1])
            if pattern.__class__ is str:
                from apimachinery.cel.library import regex

                try:
                    regex.pattern(pattern)
                except EvalError as error:
                    raise ProgramError(str(error)) from None

    def logic(self, node: Call) -> Compiled:
        left, cost = self.compile(node.args[0])
        right, more = self.compile(node.args[1])
        return (_and if node.function == "_&&_" else _or)(left, right, more), cost

    def not_(self, node: Call) -> Compiled:
        closure, cost = self.compile(node.args[0])

        def negated(frame: Frame) -> bool:
            value = closure(frame)
            if value is True:
                return False
            if value is False:
                return True
            raise EvalError("no such overload")

        return negated, cost + 1

    def conditional(self, node: Call) -> Compiled:
        condition, cost = self.compile(node.args[0])
        yes, yes_cost = self.branch(node.args[1])
        no, no_cost = self.branch(node.args[2])

        def chosen(frame: Frame) -> Any:
            value = condition(frame)
            if value is True:
                frame.cost += yes_cost
                return yes(frame)
            if value is False:
                frame.cost += no_cost
                return no(frame)
            raise EvalError("no such overload")

        return chosen, cost

    def equality(self, node: Call) -> Compiled:
        (left, cost), (right, more) = self.compile(node.args[0]), self.compile(node.args[1])
        wanted = node.function == "_==_"
        kinds = {arg.type.kind for arg in node.args}
        if len(kinds) == 1 and kinds <= _PLAIN:
            if types.STRING in kinds or types.BYTES in kinds:
                return _equal_texts(left, right, wanted), cost + more
            plain = operator.eq if wanted else operator.ne
            return lambda frame: plain(left(frame), right(frame)), cost + more + 1
        measure = call_cost(node.function, "equals")
        assert not isinstance(measure, int)

        def equality(frame: Frame) -> bool:
            a, b = left(frame), right(frame)
            frame.pay(measure((a, b), None))
            return equal(a, b) is wanted

        return equality, cost + more

    def comparison(self, node: Call) -> Compiled:
        (left, cost), (right, more) = self.compile(node.args[0]), self.compile(node.args[1])
        kinds = {arg.type.kind for arg in node.args}
        test = _TESTS[node.function]
        if kinds == {types.INT}:
            return lambda frame: test(left(frame), right(frame)), cost + more + 1
        overload = node.overloads[0] if len(node.overloads) == 1 else ""
        measure = call_cost(node.function, overload)
        if isinstance(measure, int):
            return lambda frame: test(compare(left(frame), right(frame)), 0), cost + more + measure

        def comparison(frame: Frame) -> bool:
            a, b = left(frame), right(frame)
            frame.pay(measure((a, b), None))
            return test(compare(a, b), 0)

        return comparison, cost + more

    def arithmetic(self, node: Call) -> Compiled:
        (left, cost), (right, more) = self.compile(node.args[0]), self.compile(node.args[1])
        apply = _ARITHMETIC[node.function]
        overload = node.overloads[0] if len(node.overloads) == 1 else ""
        measure = call_cost(node.function, overload)
        if isinstance(measure, int):
            return lambda frame: apply(left(frame), right(frame)), cost + more + measure

        def joined(frame: Frame) -> Any:
            a, b = left(frame), right(frame)
            result = apply(a, b)
            frame.pay(measure((a, b), result))
            return result

        return joined, cost + more

    def negation(self, node: Call) -> Compiled:
        closure, cost = self.compile(node.args[0])
        return lambda frame: standard.negate(closure(frame)), cost + 1

    def membership(self, node: Call) -> Compiled:
        (item, cost), container = self.compile(node.args[0]), self.constant(node.args[1])
        if isinstance(container, list) and node.overloads == ("in_list",):
            if not container:
                return lambda _: False, 0
            if all(value.__class__ in _HASHABLE for value in container):
                known = {values.key(value) for value in container}
                return lambda frame: _in_set(item(frame), known), cost
        holder, more = self.compile(node.args[1])
        overload = node.overloads[0] if len(node.overloads) == 1 else ""
        measure = call_cost("@in", overload)

        def within(frame: Frame) -> bool:
            value, container = item(frame), holder(frame)
            frame.pay(measure if isinstance(measure, int) else measure((value, container), None))
            return values.contains(container, value)

        return within, cost + more

    def or_optional(self, node: Call) -> Compiled:
        """or and orValue: the alternative is evaluated when it is needed; neither costs anything itself."""
        assert node.target is not None
        first, cost = self.compile(node.target)
        second, more = self.compile(node.args[0])
        unwraps = node.function == "orValue"

        def either(frame: Frame) -> Any:
            found = first(frame)
            if found.__class__ is not Optional:
                raise EvalError("no such overload")
            if found.value is not MISSING:
                return found.value if unwraps else found
            frame.cost += more
            return second(frame)

        return either, cost

    # -- lists, maps, structs

    def list_(self, node: ListNode) -> Compiled:
        constant = self.constant(node)
        if constant is not MISSING:
            return lambda _: constant, 0
        compiled = [self.compile(element) for element in node.elements]
        closures = [closure for closure, _ in compiled]
        cost = LIST + sum(cost for _, cost in compiled)
        if not node.optional:
            return lambda frame: [closure(frame) for closure in closures], cost
        flags = [position in node.optional for position in range(len(closures))]

        def build(frame: Frame) -> list[Any]:
            out = []
            for closure, optional in zip(closures, flags, strict=True):
                value = closure(frame)
                if optional:
                    if value.__class__ is not Optional:
                        raise EvalError(f"cannot initialize optional list element from non-optional value {value}")
                    if value.value is MISSING:
                        continue
                    value = value.value
                out.append(value)
            return out

        return build, cost

    def map_(self, node: MapNode) -> Compiled:
        constant = self.constant(node)
        if constant is not MISSING:
            return lambda _: constant, 0
        entries = [(self.compile(e.key), self.compile(e.value), e.optional) for e in node.entries]
        cost = MAP + sum(name[1] + value[1] for name, value, _ in entries)
        parts = [(name[0], value[0], optional) for name, value, optional in entries]

        def build(frame: Frame) -> dict[Any, Any]:
            out: dict[Any, Any] = {}
            for name, closure, optional in parts:
                at, value = name(frame), closure(frame)
                if at.__class__ is not str:
                    if at.__class__ not in _HASHABLE:
                        raise EvalError("unsupported key type")
                    at = Key(at)
                if optional and not _unwrapped(out, at, value):
                    continue
                out[at] = value.value if optional else value
            return out

        return build, cost

    def struct(self, node: StructNode) -> Compiled:
        parts = [(entry.key, *self.compile(entry.value), entry.optional) for entry in node.entries]
        provider, name = self.provider, node.type.name

        def build(frame: Frame) -> Any:
            fields: dict[str, Any] = {}
            for field, closure, _, optional in parts:
                value = closure(frame)
                if optional and not _unwrapped(fields, field, value):
                    continue
                fields[field] = value.value if optional else value
            return provider.new(name, fields)

        return build, STRUCT + sum(cost for _, _, cost, _ in parts)

    def comprehension(self, node: Comprehension) -> Compiled:
        return loops.compile_loop(self, node)


def _unwrapped(out: dict[Any, Any], at: Any, value: Any) -> bool:
    """Whether a ?key: value has a value; one that has none removes the key."""
    if value.__class__ is not Optional:
        raise EvalError(f"cannot initialize optional entry '{at}' from non-optional value {value}")
    if value.value is MISSING:
        out.pop(at, None)
        return False
    return True


def _is_attribute(node: Node) -> bool:
    """Whether selecting from the node continues a chain that began with a variable (or a choice between chains)."""
    if isinstance(node, Ident):
        return node.constant is None
    if isinstance(node, Select):
        return node.constant is None
    return isinstance(node, Call) and node.function in ("_[_]", "_[?_]", "_?._", "_?_:_")


def _reads(node: Node) -> bool:
    """Whether the node's cost has the 1 for reading its root."""
    return _is_attribute(node) and not (isinstance(node, Call) and node.function == "_?_:_")


def _local(slot: int) -> Closure:
    return lambda frame: frame.slots[slot]


def _global(name: str, slot: int) -> Closure:
    def read(frame: Frame) -> Any:
        value = frame.slots[slot]
        if value is MISSING:
            raise EvalError(f"no such attribute(s): {name}")
        return value

    return read


def _and(left: Closure, right: Closure, cost: int) -> Closure:
    def both(frame: Frame) -> bool:
        try:
            value = left(frame)
        except FAILURES:
            frame.cost += cost
            if _quiet(right, frame) is False:
                return False
            raise
        if value is False:
            return False
        frame.cost += cost
        if value is not True:
            if _quiet(right, frame) is False:
                return False
            raise EvalError("no such overload")
        value = right(frame)
        if value is True or value is False:
            return bool(value)
        raise EvalError("no such overload")

    return both


def _or(left: Closure, right: Closure, cost: int) -> Closure:
    def either(frame: Frame) -> bool:
        try:
            value = left(frame)
        except FAILURES:
            frame.cost += cost
            if _quiet(right, frame) is True:
                return True
            raise
        if value is True:
            return True
        frame.cost += cost
        if value is not False:
            if _quiet(right, frame) is True:
                return True
            raise EvalError("no such overload")
        value = right(frame)
        if value is True or value is False:
            return bool(value)
        raise EvalError("no such overload")

    return either


def _quiet(closure: Closure, frame: Frame) -> Any:
    """A side that can only save what the other one spoilt: its own error does not matter."""
    try:
        return closure(frame)
    except FAILURES:
        return None


def _equal_texts(left: Closure, right: Closure, wanted: bool) -> Closure:
    def equality(frame: Frame) -> bool:
        a, b = left(frame), right(frame)
        size = min(len(a), len(b))
        frame.cost += ceil(size * 0.1) if size > 10 else 1 if size else 0
        return (a == b) is wanted

    return equality


_HASHABLE = frozenset({int, values.Uint, float, bool, str})


def _in_set(value: Any, known: set[Any]) -> bool:
    return value.__class__ in _HASHABLE and values.key(value) in known


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "_+_": standard.add,
    "_-_": standard.subtract,
    "_*_": standard.multiply,
    "_/_": standard.divide,
    "_%_": standard.modulo,
}
_SPECIAL: dict[str, Any] = {
    "_&&_": Compiler.logic,
    "_||_": Compiler.logic,
    "!_": Compiler.not_,
    "-_": Compiler.negation,
    "_?_:_": Compiler.conditional,
    "_==_": Compiler.equality,
    "_!=_": Compiler.equality,
    "@in": Compiler.membership,
    "_[_]": Compiler.index,
    "_[?_]": Compiler.index,
    "_?._": Compiler.optional_select,
    "or": Compiler.or_optional,
    "orValue": Compiler.or_optional,
    **dict.fromkeys(_TESTS, Compiler.comparison),
    **dict.fromkeys(_ARITHMETIC, Compiler.arithmetic),
}
_COMPILE: dict[type[Node], Any] = {
    Literal: Compiler.literal,
    Ident: Compiler.ident,
    Select: Compiler.select,
    Call: Compiler.call,
    ListNode: Compiler.list_,
    MapNode: Compiler.map_,
    StructNode: Compiler.struct,
    Comprehension: Compiler.comprehension,
}
