"""The syntax tree. at: the offset in the text that errors about a node point to (the operator, the dot, the bracket).

The checker writes type, ref and overloads into the nodes; nothing else changes them.
"""

from __future__ import annotations

from typing import Any

from apimachinery.cel.types import DYN_TYPE, Type

ACCUMULATOR = "@result"
UNUSED = "#unused"


class Node:
    """type: what the checker found. ref: the declared name an identifier or selection stands for, if any.

    constant: the value a type name stands for. overloads: ids of the function's overloads that fit the argument types.
    """

    __slots__ = ("at", "constant", "overloads", "ref", "type")

    def __init__(self, at: int) -> None:
        self.at = at
        self.type: Type = DYN_TYPE
        self.ref: str | None = None
        self.constant: Any = None
        self.overloads: tuple[str, ...] = ()


class Literal(Node):
    __slots__ = ("value",)

    def __init__(self, at: int, value: Any) -> None:
        super().__init__(at)
        self.value = value


class Ident(Node):
    __slots__ = ("name",)

    def __init__(self, at: int, name: str) -> None:
        super().__init__(at)
        self.name = name


class Select(Node):
    """operand.field; test: has(operand.field)."""

    __slots__ = ("field", "operand", "test")

    def __init__(self, at: int, operand: Node, field: str, test: bool = False) -> None:
        super().__init__(at)
        self.operand = operand
        self.field = field
        self.test = test


class Call(Node):
    """function(args) or target.function(args)."""

    __slots__ = ("args", "function", "target")

    def __init__(self, at: int, function: str, args: list[Node], target: Node | None = None) -> None:
        super().__init__(at)
        self.function = function
        self.args = args
        self.target = target


class ListNode(Node):
    """optional: the positions of elements written as ?element."""

    __slots__ = ("elements", "optional")

    def __init__(self, at: int, elements: list[Node], optional: frozenset[int] = frozenset()) -> None:
        super().__init__(at)
        self.elements = elements
        self.optional = optional


class Entry:
    """An entry of a map (key is a node) or of a struct (key is a field name)."""

    __slots__ = ("at", "key", "optional", "value")

    def __init__(self, at: int, key: Any, value: Node, optional: bool) -> None:
        self.at = at
        self.key = key
        self.value = value
        self.optional = optional


class MapNode(Node):
    __slots__ = ("entries",)

    def __init__(self, at: int, entries: list[Entry]) -> None:
        super().__init__(at)
        self.entries = entries


class StructNode(Node):
    __slots__ = ("entries", "name")

    def __init__(self, at: int, name: str, entries: list[Entry]) -> None:
        super().__init__(at)
        self.name = name
        self.entries = entries


class Comprehension(Node):
    """for var(, var2) in range while condition: accu = step; the value is result. All macros over collections become one.

    The checker and the cost estimate go by that general form. kind, filter and body say what the macro meant, for the
    compiler: all, exists, one (count), list, map, entry, or bind; the filter may be None.
    """

    __slots__ = ("accu", "body", "condition", "filter", "init", "kind", "range", "result", "step", "var", "var2")

    def __init__(
        self,
        at: int,
        range_: Node,
        names: tuple[str, str],
        accu: str,
        init: Node,
        condition: Node,
        step: Node,
        result: Node,
    ) -> None:
        super().__init__(at)
        self.range = range_
        self.var, self.var2 = names
        self.accu = accu
        self.init = init
        self.condition = condition
        self.step = step
        self.result = result
        self.kind = ""
        self.filter: Node | None = None
        self.body: Node = result

    def made(self, kind: str, filter_: Node | None, body: Node) -> Comprehension:
        """The same, with what the macro meant."""
        self.kind, self.filter, self.body = kind, filter_, body
        return self

    @property
    def binds(self) -> bool:
        """Whether it only gives a value a name: an empty range and a condition that never holds."""
        return (
            isinstance(self.range, ListNode)
            and not self.range.elements
            and isinstance(self.condition, Literal)
            and self.condition.value is False
        )


def children(node: Node) -> list[Node]:
    """The nodes directly below, in the order of evaluation."""
    if isinstance(node, Select):
        return [node.operand]
    if isinstance(node, Call):
        return ([node.target] if node.target is not None else []) + node.args
    if isinstance(node, ListNode):
        return node.elements
    if isinstance(node, MapNode):
        return [child for entry in node.entries for child in (entry.key, entry.value)]
    if isinstance(node, StructNode):
        return [entry.value for entry in node.entries]
    if isinstance(node, Comprehension):
        return [node.range, node.init, node.condition, node.step, node.result]
    return []


def copy(node: Node) -> Node:
    """A copy of an unchecked tree (macros that use an argument twice)."""
    if isinstance(node, Literal):
        return Literal(node.at, node.value)
    if isinstance(node, Ident):
        return Ident(node.at, node.name)
    if isinstance(node, Select):
        return Select(node.at, copy(node.operand), node.field, node.test)
    if isinstance(node, Call):
        target = copy(node.target) if node.target is not None else None
        return Call(node.at, node.function, [copy(a) for a in node.args], target)
    if isinstance(node, ListNode):
        return ListNode(node.at, [copy(e) for e in node.elements], node.optional)
    if isinstance(node, MapNode):
        return MapNode(node.at, [Entry(e.at, copy(e.key), copy(e.value), e.optional) for e in node.entries])
    if isinstance(node, StructNode):
        entries = [Entry(e.at, e.key, copy(e.value), e.optional) for e in node.entries]
        return StructNode(node.at, node.name, entries)
    assert isinstance(node, Comprehension)
    return _copy_comprehension(node)


def _copy_comprehension(node: Comprehension) -> Comprehension:
    out = Comprehension(
        node.at,
        copy(node.range),
        (node.var, node.var2),
        node.accu,
        copy(node.init),
        copy(node.condition),
        copy(node.step),
        copy(node.result),
    )
    if node.kind == "bind":
        return out.made("bind", None, out.result)
    # The filter and the body are parts of the step, at the same places in the copy.
    places = {id(old): new for old, new in zip(_walk(node.step), _walk(out.step), strict=True)}
    return out.made(node.kind, places[id(node.filter)] if node.filter is not None else None, places[id(node.body)])


def _walk(node: Node) -> list[Node]:
    return [node, *(found for child in children(node) for found in _walk(child))]


def qualified_name(node: Node) -> str | None:
    """a.b.c when the node is an identifier or selections from one."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        name = qualified_name(node.operand)
        return f"{name}.{node.field}" if name is not None else None
    return None
