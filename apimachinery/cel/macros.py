"""Macros: calls that the parser rewrites into comprehensions and presence tests.

A macro is found by name, number of arguments and whether it is called on something. An expander gets the place of the
call, the target and the arguments, and returns the new tree, None when it is no use of the macro after all, or raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apimachinery.cel.syntax import (
    ACCUMULATOR,
    UNUSED,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    copy,
)


class MacroError(ValueError):
    """A macro used wrongly; the text is the original's."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


Expander = Callable[[int, Node | None, list[Node]], Node | None]
Macros = Mapping[tuple[str, int, bool], Expander]


def _variable(node: Node, message: str = "argument must be a simple name") -> str:
    if not isinstance(node, Ident):
        raise MacroError(node.at, message)
    if node.name in (ACCUMULATOR, "__result__"):
        raise MacroError(node.at, "iteration variable overwrites accumulator variable")
    return node.name


def _pair(args: list[Node]) -> tuple[str, str]:
    for arg in args[:2]:
        if not isinstance(arg, Ident):
            raise MacroError(arg.at, "argument must be a simple name")
    first, second = args[0], args[1]
    assert isinstance(first, Ident)
    assert isinstance(second, Ident)
    if first.name == second.name:
        raise MacroError(second.at, f"duplicate variable name: {first.name}")
    return _variable(first), _variable(second)


def _accu(at: int) -> Ident:
    return Ident(at, ACCUMULATOR)


def _when(at: int, condition: Node | None, step: Node) -> Node:
    """The step where the condition holds, the accumulator as it was elsewhere."""
    return step if condition is None else Call(at, "_?_:_", [condition, step, _accu(at)])


def _has(at: int, target: Node | None, args: list[Node]) -> Node:
    arg = args[0]
    if not isinstance(arg, Select):
        raise MacroError(arg.at, "invalid argument to has() macro")
    return Select(at, arg.operand, arg.field, test=True)


def _all(at: int, target: Node, names: tuple[str, str], predicate: Node) -> Node:
    condition = Call(at, "@not_strictly_false", [_accu(at)])
    step = Call(at, "_&&_", [_accu(at), predicate])
    out = Comprehension(at, target, names, ACCUMULATOR, Literal(at, True), condition, step, _accu(at))
    return out.made("all", None, predicate)


def _exists(at: int, target: Node, names: tuple[str, str], predicate: Node) -> Node:
    condition = Call(at, "@not_strictly_false", [Call(at, "!_", [_accu(at)])])
    step = Call(at, "_||_", [_accu(at), predicate])
    out = Comprehension(at, target, names, ACCUMULATOR, Literal(at, False), condition, step, _accu(at))
    return out.made("exists", None, predicate)


def _exists_one(at: int, target: Node, names: tuple[str, str], predicate: Node) -> Node:
    step = _when(at, predicate, Call(at, "_+_", [_accu(at), Literal(at, 1)]))
    result = Call(at, "_==_", [_accu(at), Literal(at, 1)])
    out = Comprehension(at, target, names, ACCUMULATOR, Literal(at, 0), Literal(at, True), step, result)
    return out.made("one", predicate, predicate)


def _collect(at: int, target: Node, names: tuple[str, str], condition: Node | None, value: Node) -> Node:
    step = _when(at, condition, Call(at, "_+_", [_accu(at), ListNode(at, [value])]))
    out = Comprehension(at, target, names, ACCUMULATOR, ListNode(at, []), Literal(at, True), step, _accu(at))
    return out.made("list", condition, value)


def _one(make: Callable[[int, Node, tuple[str, str], Node], Node]) -> Expander:
    def expand(at: int, target: Node | None, args: list[Node]) -> Node:
        assert target is not None
        return make(at, target, (_variable(args[0]), ""), args[1])

    return expand


def _two(make: Callable[[int, Node, tuple[str, str], Node], Node]) -> Expander:
    def expand(at: int, target: Node | None, args: list[Node]) -> Node:
        assert target is not None
        return make(at, target, _pair(args), args[2])

    return expand


def _map(at: int, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    name = _variable(args[0], "argument is not an identifier")
    return _collect(at, target, (name, ""), args[1] if len(args) == 3 else None, args[-1])


def _filter(at: int, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    name = _variable(args[0], "argument is not an identifier")
    return _collect(at, target, (name, ""), args[1], args[0])


def _transform_list(at: int, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    return _collect(at, target, _pair(args), args[2] if len(args) == 4 else None, args[-1])


def _transform(at: int, target: Node | None, args: list[Node], *, entry: bool) -> Node:
    assert target is not None
    names = _pair(args)
    added = [args[-1]] if entry else [Ident(at, names[0]), args[-1]]
    condition = args[2] if len(args) == 4 else None
    step = _when(at, condition, Call(at, "cel.@mapInsert", [_accu(at), *added]))
    out = Comprehension(at, target, names, ACCUMULATOR, MapNode(at, []), Literal(at, True), step, _accu(at))
    return out.made("entry" if entry else "map", condition, args[-1])


def _transform_map(at: int, target: Node | None, args: list[Node]) -> Node:
    return _transform(at, target, args, entry=False)


def _transform_entry(at: int, target: Node | None, args: list[Node]) -> Node:
    return _transform(at, target, args, entry=True)


def bind(at: int, name: str, value: Node, result: Node) -> Comprehension:
    """The result, in which the name stands for the value."""
    out = Comprehension(at, ListNode(at, []), (UNUSED, ""), name, value, Literal(at, False), Ident(at, name), result)
    return out.made("bind", None, result)


def _opt(macro: str, wrap: bool) -> Expander:
    def expand(at: int, target: Node | None, args: list[Node]) -> Node:
        assert target is not None
        if not isinstance(args[0], Ident):
            raise MacroError(args[0].at, f"{macro}() variable name must be a simple identifier")
        value: Node = bind(at, args[0].name, Call(at, "value", [], copy(target)), args[1])
        if wrap:
            value = Call(at, "optional.of", [value])
        return Call(at, "_?_:_", [Call(at, "hasValue", [], target), value, Call(at, "optional.none", [])])

    return expand


_SORT_INPUT = "@__sortBy_input__"


def _sort_by(at: int, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    if not isinstance(target, ListNode | Select | Ident | Comprehension | Call):
        raise MacroError(
            target.at, "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
        )
    keys = _map(at, Ident(at, _SORT_INPUT), args)
    return bind(at, _SORT_INPUT, target, Call(at, "@sortByAssociatedKeys", [keys], Ident(at, _SORT_INPUT)))


def _cel_bind(at: int, target: Node | None, args: list[Node]) -> Node | None:
    if not isinstance(target, Ident) or target.name != "cel":
        return None
    if not isinstance(args[0], Ident):
        raise MacroError(args[0].at, "cel.bind() variable names must be simple identifiers")
    return bind(at, args[0].name, args[1], args[2])


STANDARD: Macros = {
    ("has", 1, False): _has,
    ("all", 2, True): _one(_all),
    ("exists", 2, True): _one(_exists),
    ("exists_one", 2, True): _one(_exists_one),
    ("existsOne", 2, True): _one(_exists_one),
    ("map", 2, True): _map,
    ("map", 3, True): _map,
    ("filter", 2, True): _filter,
}
# Optional values, two-variable comprehensions and the list library's sortBy are part of all Kubernetes environments.
KUBERNETES: Macros = {
    **STANDARD,
    ("optMap", 2, True): _opt("optMap", True),
    ("optFlatMap", 2, True): _opt("optFlatMap", False),
    ("all", 3, True): _two(_all),
    ("exists", 3, True): _two(_exists),
    ("exists_one", 3, True): _two(_exists_one),
    ("existsOne", 3, True): _two(_exists_one),
    ("transformList", 3, True): _transform_list,
    ("transformList", 4, True): _transform_list,
    ("transformMap", 3, True): _transform_map,
    ("transformMap", 4, True): _transform_map,
    ("transformMapEntry", 3, True): _transform_entry,
    ("transformMapEntry", 4, True): _transform_entry,
    ("sortBy", 2, True): _sort_by,
}
# Some environments have cel.bind(name, value, expression) beside these.
WITH_BINDINGS: Macros = {**KUBERNETES, ("bind", 3, True): _cel_bind}
