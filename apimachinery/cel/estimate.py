"""The static cost of a checked expression: between what and what it may cost, given how large the data can be.

Follows cel-go's estimate node by node, since its maxima decide which rules a CustomResourceDefinition may have.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from apimachinery.cel import types
from apimachinery.cel.estimatecalls import Call as CallEstimate
from apimachinery.cel.estimatecalls import Estimate, Operand, Path
from apimachinery.cel.estimatecalls import estimate as estimate_call
from apimachinery.cel.ranges import ANY, EMPTY, ONE, ZERO, Range, fixed
from apimachinery.cel.runtimecost import LIST, MAP, STRUCT
from apimachinery.cel.syntax import (
    ACCUMULATOR,
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
from apimachinery.cel.values import size as value_size


class Sizes(Protocol):
    """What the caller knows of the sizes of data. path: a variable, then fields, @items, @keys, @values."""

    def of(self, path: Path) -> Range | None: ...


class NoSizes:
    """Nothing is known: everything may be of any size."""

    def of(self, path: Path) -> Range | None:
        return None


class _Entries(NamedTuple):
    """Sizes of the keys and values of a list or map that an expression makes."""

    is_list: bool
    key: Range
    value: Range

    def union(self, other: _Entries | None) -> _Entries | None:
        return _Entries(self.is_list, self.key.union(other.key), self.value.union(other.value)) if other else None


class _Local(NamedTuple):
    path: Path
    size: Range | None
    entries: _Entries | None


def estimate(node: Node, sizes: Sizes | None = None) -> Range:
    """The cost of the whole."""
    return _Estimator(sizes or NoSizes()).cost(node)


class _Estimator:
    """All maps are by the identity of nodes."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.paths: dict[int, Path] = {}
        self.computed: dict[int, Range] = {}
        self.entry_sizes: dict[int, _Entries] = {}
        self.locals: dict[str, list[_Local]] = {}

    def cost(self, node: Node) -> Range:
        if isinstance(node, Literal):
            return ZERO
        if isinstance(node, Ident) or (isinstance(node, Select) and node.ref is not None):
            return self.name(node, node.ref or "")
        if isinstance(node, Select):
            return self.select(node)
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, ListNode):
            return self.list_(node)
        if isinstance(node, MapNode):
            return self.map_(node)
        if isinstance(node, StructNode):
            total = fixed(STRUCT)
            for entry in node.entries:
                total = total.plus(self.cost(entry.value))
            return total
        assert isinstance(node, Comprehension)
        return self.bind(node) if node.binds else self.comprehension(node)

    # -- what is known of nodes

    def local(self, name: str | None) -> _Local | None:
        stack = self.locals.get(name or "")
        return stack[-1] if stack else None

    def path(self, node: Node) -> Path:
        if isinstance(node, Ident):
            local = self.local(node.ref)
            if local is not None:
                return local.path
        return self.paths.get(id(node), ())

    def size(self, node: Node) -> Range | None:
        found = self.computed.get(id(node))
        if found is not None:
            return found
        found = _written_size(node)
        if found is not None:
            return found
        path = self.path(node)
        found = self.sizes.of(path) if path else None
        if found is not None:
            self.computed[id(node)] = found
            return found
        if types.unwrap_optional(node.type)[0].kind in types.SCALARS:
            return ONE
        if isinstance(node, Ident):
            local = self.local(node.ref)
            if local is not None:
                return local.size
        return None

    def entries(self, node: Node) -> _Entries | None:
        found = self.entry_sizes.get(id(node))
        if found is None and isinstance(node, Ident):
            local = self.local(node.ref)
            return local.entries if local is not None else None
        return found

    def size_or_any(self, node: Node) -> Range:
        return self.size(node) or ANY

    def set_size(self, node: Node, size: Range | None) -> None:
        if size is not None:
            self.computed[id(node)] = size

    def set_entries(self, node: Node, entries: _Entries | None) -> None:
        if entries is not None:
            self.entry_sizes[id(node)] = entries

    def operand(self, node: Node) -> Operand:
        path = self.path(node)
        if path and path[0] == ACCUMULATOR:
            path = ()
        return Operand(path, node.type, node, self.size(node))

    # -- nodes

    def name(self, node: Node, name: str) -> Range:
        local = self.local(name)
        self.paths[id(node)] = local.path if local is not None else (name,)
        return ONE

    def select(self, node: Select) -> Range:
        total = self.cost(node.operand)
        if node.test:
            return total
        if node.operand.type.kind in (types.MAP, types.STRUCT, types.PARAM):
            total = total.plus(ONE)
        self.paths[id(node)] = (*self.path(node.operand), node.field)
        return total

    def call(self, node: Call) -> Range:
        if node.function == "dyn":
            total = ONE.plus(self.cost(node.args[0]))
            self.copy_sizes(node, node.args[0])
            return total
        costs = [self.cost(arg) for arg in node.args]
        args = [self.operand(arg) for arg in node.args]
        total = ZERO
        target: Operand | None = None
        if node.target is not None:
            total = self.cost(node.target)
            target = self.operand(node.target)
        cost: Range = EMPTY
        size: Range | None = None
        for overload in node.overloads:
            found = self.overload(node, overload, target, args, costs)
            cost = cost.union(found.cost)
            if found.size is not None:
                size = found.size if size is None else size.union(found.size)
            if overload in ("index_list", "index_map"):
                entries = self.entries(node.args[0])
                size = entries.value if entries is not None else None
                step = "@items" if overload == "index_list" else "@values"
                self.paths[id(node)] = (*self.path(node.args[0]), step)
            if size is None:
                size = self.size(node)
        self.set_size(node, size)
        return total.plus(cost)

    def overload(
        self, node: Call, overload: str, target: Operand | None, args: list[Operand], costs: list[Range]
    ) -> Estimate:
        if overload in ("logical_or", "logical_and"):
            return Estimate(Range(costs[0].min, costs[0].plus(costs[1]).max))
        if overload == "conditional":
            return self.conditional(node, costs)
        if overload in ("add_string", "add_bytes", "add_list"):
            first, second = self.entries(node.args[0]), self.entries(node.args[1])
            self.set_entries(node, first.union(second) if first is not None else None)
        found = estimate_call(CallEstimate(node.function, overload, target, args, self.sizes))
        total = found.cost
        for cost in costs:
            total = total.plus(cost)
        return Estimate(total, found.size)

    def conditional(self, node: Call, costs: list[Range]) -> Estimate:
        _, yes, no = node.args
        size = self.size_or_any(yes).union(self.size_or_any(no))
        first = self.entries(yes)
        self.set_entries(node, first.union(self.entries(no)) if first is not None else None)
        return Estimate(costs[0].plus(costs[1].union(costs[2])), size)

    def list_(self, node: ListNode) -> Range:
        total = fixed(LIST)
        item = EMPTY if node.elements else ZERO
        for element in node.elements:
            total = total.plus(self.cost(element))
            item = item.union(self.size_or_any(element))
        self.set_entries(node, _Entries(True, ONE, item))
        return total

    def map_(self, node: MapNode) -> Range:
        total = fixed(MAP)
        key = value = EMPTY if node.entries else ZERO
        for entry in node.entries:
            total = total.plus(self.cost(entry.key)).plus(self.cost(entry.value))
            key = key.union(self.size_or_any(entry.key))
            value = value.union(self.size_or_any(entry.value))
        self.set_entries(node, _Entries(False, key, value))
        return total

    def comprehension(self, node: Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.init))
        self.push(node.accu, _Local(self.path(node.init), self.size(node.init), self.entries(node.init)))
        self.push_loop(node)
        each = self.cost(node.condition).plus(self.cost(node.step))
        self.locals[node.var].pop()
        if node.var2:
            self.locals[node.var2].pop()
        total = total.plus(self.cost(node.result))
        self.locals[node.accu].pop()
        rounds = self.size_or_any(node.range)
        total = total.plus(rounds.times(each))
        if isinstance(node.init, Literal):
            self.set_size(node, self.size(node.init))
        elif isinstance(node.init, ListNode | MapNode):
            self.set_size(node, rounds)
            self.set_entries(node, self.entries(node.step))
        return total

    def push(self, name: str, local: _Local) -> None:
        self.locals.setdefault(name, []).append(local)

    def push_loop(self, node: Comprehension) -> None:
        entries = self.entries(node.range)
        is_list = entries.is_list if entries is not None else node.range.type.kind == types.LIST
        path = self.path(node.range)
        key_size, value_size_ = (entries.key, entries.value) if entries is not None else (None, None)
        key = _Local((*path, "@indices" if is_list else "@keys"), key_size, None)
        value = _Local((*path, "@items" if is_list else "@values"), value_size_, None)
        if node.var2:
            self.push(node.var, key)
            self.push(node.var2, value)
        else:
            self.push(node.var, value if is_list else key)

    def bind(self, node: Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.init))
        self.push(node.accu, _Local(self.path(node.init), self.size(node.init), self.entries(node.init)))
        total = total.plus(self.cost(node.result))
        self.locals[node.accu].pop()
        self.copy_sizes(node, node.result)
        return total

    def copy_sizes(self, target: Node, source: Node) -> None:
        self.set_size(target, self.size(source))
        self.set_entries(target, self.entries(source))


def _written_size(node: Node) -> Range | None:
    """The size of a value that is written out."""
    if isinstance(node, Literal):
        found = value_size(node.value)
        return fixed(found if found is not None else 1)
    if isinstance(node, ListNode):
        return fixed(len(node.elements))
    if isinstance(node, MapNode):
        return fixed(len(node.entries))
    return None
