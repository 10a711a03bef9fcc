"""The type checker: gives every node its type, resolves names and overloads, and says what does not fit.

Follows the published algorithm (gradual typing with unification), since the texts and places of its errors are part of the
API: users see them when they create a CustomResourceDefinition or a policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.cel import types, unify
from apimachinery.cel.declarations import Function, Functions
from apimachinery.cel.errors import CompileError, Issues
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
    children,
    qualified_name,
)
from apimachinery.cel.types import (
    BOOL_TYPE,
    DYN,
    DYN_TYPE,
    ERROR,
    ERROR_TYPE,
    INT_TYPE,
    LIST,
    MAP,
    PARAM,
    STRUCT,
    TYPE,
    Type,
    TypeProvider,
)
from apimachinery.cel.values import type_of

# Type names that are identifiers, and what they stand for.
_TYPE_NAMES: dict[str, Type] = {
    t.name: t
    for t in (
        types.BOOL_TYPE,
        types.BYTES_TYPE,
        types.DOUBLE_TYPE,
        types.DURATION_TYPE,
        types.INT_TYPE,
        types.LIST_TYPE,
        types.MAP_TYPE,
        types.NULL_TYPE,
        types.STRING_TYPE,
        types.TIMESTAMP_TYPE,
        types.TYPE_TYPE,
        types.UINT_TYPE,
        types.IP,
        types.CIDR,
        types.optional_of(DYN_TYPE),
    )
}
_WILD = frozenset({DYN, ERROR})


def check(node: Node, text: str, variables: Mapping[str, Type], functions: Functions, provider: TypeProvider) -> Type:
    """Types in the tree; the type of the whole. CompileError with all that is wrong."""
    checker = _Checker(text, variables, functions, provider)
    checker.check(node)
    if checker.issues:
        raise CompileError(checker.issues)
    _settle(node, checker.bound)
    return node.type


def _settle(node: Node, bound: unify.Substitution) -> None:
    """Replace type parameters by what they turned out to be."""
    pending = [node]
    while pending:
        current = pending.pop()
        current.type = unify.substitute(bound, current.type, free_to_dyn=True)
        pending.extend(children(current))


class _Checker:
    def __init__(self, text: str, variables: Mapping[str, Type], functions: Functions, provider: TypeProvider) -> None:
        self.issues = Issues(text)
        self.scopes: list[Mapping[str, Type]] = [variables]
        self.functions = functions
        self.provider = provider
        self.bound: unify.Substitution = {}
        self.fresh = 0

    def check(self, node: Node) -> Type:
        node.type = _CHECKS[type(node)](self, node)
        return node.type

    def resolved(self, t: Type) -> Type:
        return unify.substitute(self.bound, t)

    def fits(self, source: Type, target: Type) -> bool:
        found = unify.assignable(self.bound, source, target)
        if found is None:
            return False
        self.bound = found
        return True

    def new_parameter(self) -> Type:
        self.fresh += 1
        return types.param(f"_var{self.fresh - 1}")

    def undeclared(self, at: int, name: str) -> Type:
        self.issues.add(at, f"undeclared reference to '{name}' (in container '')")
        return ERROR_TYPE

    def mismatch(self, at: int, expected: Type, actual: Type) -> None:
        self.issues.add(at, f"expected type '{types.draw(expected)}' but found '{types.draw(actual)}'")

    # -- names

    def lookup(self, node: Node, name: str) -> Type | None:
        """The type of a declared name, which is noted in the node."""
        plain = name[1:] if name.startswith(".") else name
        scopes = self.scopes[:1] if plain is not name else reversed(self.scopes)
        for scope in scopes:
            found = scope.get(plain)
            if found is not None:
                node.ref = plain
                return found
        constant = _TYPE_NAMES.get(plain)
        if constant is None and self.provider.has_type(plain):
            constant = types.struct(plain)
        if constant is None:
            return None
        node.ref = plain
        node.constant = constant
        return types.type_of(constant)

    def ident(self, node: Ident) -> Type:
        found = self.lookup(node, node.name)
        return found if found is not None else self.undeclared(node.at, node.name)

    def select(self, node: Select) -> Type:
        name = qualified_name(node)
        if name is not None:
            found = self.lookup(node, name)
            if found is not None:
                return found
        result = self.select_field(node.at, node.operand, node.field, optional=False)
        return BOOL_TYPE if node.test else self.resolved(result)

    def select_field(self, at: int, operand: Node, field: str, *, optional: bool) -> Type:
        self.check(operand)
        target, was_optional = types.unwrap_optional(self.resolved(operand.type))
        result = ERROR_TYPE
        if target.kind == MAP:
            result = target.params[1]
        elif target.kind == STRUCT:
            found = self.field_type(at, target.name, field)
            result = found if found is not None else ERROR_TYPE
        elif target.kind == PARAM:
            self.fits(DYN_TYPE, target)
            result = DYN_TYPE
        else:
            if target.kind not in _WILD:
                self.issues.add(at, f"type '{types.draw(target)}' does not support field selection")
            result = DYN_TYPE
        return types.optional_of(result) if was_optional or optional else result

    def field_type(self, at: int, type_name: str, field: str) -> Type | None:
        if not self.provider.has_type(type_name):
            self.issues.add(at, f"unexpected failed resolution of '{type_name}'")
            return None
        found = self.provider.field(type_name, field)
        if found is None:
            self.issues.add(at, f"undefined field '{field}'")
            return None
        return found.type

    # -- calls

    def call(self, node: Call) -> Type:
        if node.function == "_?._":
            operand, field = node.args
            assert isinstance(field, Literal)
            field.type = types.STRING_TYPE
            node.overloads = ("select_optional_field",)
            return self.resolved(self.select_field(node.at, operand, field.value, optional=True))
        for arg in node.args:
            self.check(arg)
        if node.target is None:
            name = node.function.removeprefix(".")
            function = self.functions.get(name)
            if function is None:
                return self.undeclared(node.at, node.function)
            node.function = name
            return self.resolve(node, function)
        prefix = qualified_name(node.target)
        if prefix is not None:
            function = self.functions.get(f"{prefix}.{node.function}")
            if function is not None:
                node.function = function.name
                node.target = None
                return self.resolve(node, function)
        self.check(node.target)
        function = self.functions.get(node.function)
        if function is None:
            return self.undeclared(node.at, node.function)
        return self.resolve(node, function)

    def resolve(self, node: Call, function: Function) -> Type:
        """Find the overloads that fit; the result is dyn when several do and disagree."""
        args = node.args if node.target is None else [node.target, *node.args]
        arg_types = [arg.type for arg in args]
        if function.name in ("_&&_", "_||_"):
            return self.logic(node, function)
        result: Type | None = None
        chosen: list[str] = []
        for overload in function.overloads:
            if overload.member != (node.target is not None):
                continue
            wanted, produced = overload.args, overload.result
            if overload.params:
                fresh = {name: self.new_parameter() for name in overload.params}
                wanted = [unify.substitute(fresh, t) for t in wanted]
                produced = unify.substitute(fresh, produced)
            found = unify.all_assignable(self.bound, arg_types, wanted)
            if found is None:
                continue
            self.bound = found
            chosen.append(overload.id)
            produced = self.resolved(produced)
            if result is None:
                result = produced
            elif result.kind != DYN and produced != result:
                result = DYN_TYPE
        if result is None:
            shown = [unify.substitute(self.bound, t, free_to_dyn=True) for t in arg_types]
            signature = types.draw_signature(shown, node.target is not None)
            self.issues.add(node.at, f"found no matching overload for '{function.name}' applied to '{signature}'")
            return ERROR_TYPE
        node.overloads = tuple(chosen)
        return result

    def logic(self, node: Call, function: Function) -> Type:
        node.overloads = (function.overloads[0].id,)
        result = BOOL_TYPE
        for arg in node.args:
            if not self.fits(arg.type, BOOL_TYPE):
                self.mismatch(arg.at, BOOL_TYPE, arg.type)
                result = ERROR_TYPE
        return result

    # -- lists, maps, structs

    def join(self, at: int, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        return unify.most_general(previous, current) if self.fits(previous, current) else DYN_TYPE

    def element(self, node: Node, *, optional: bool) -> Type:
        """The type of an element or value; of what is in it when it was written with a '?'."""
        self.check(node)
        if not optional:
            return node.type
        inner, was_optional = types.unwrap_optional(node.type)
        if not was_optional and inner.kind != DYN:
            self.mismatch(node.at, types.optional_of(inner), inner)
        return inner

    def list_(self, node: ListNode) -> Type:
        joined: Type | None = None
        for position, element in enumerate(node.elements):
            found = self.element(element, optional=position in node.optional)
            joined = self.join(element.at, joined, found)
        return types.list_of(joined if joined is not None else self.new_parameter())

    def map_(self, node: MapNode) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            key = self.join(entry.key.at, key, self.check(entry.key))
            value = self.join(entry.value.at, value, self.element(entry.value, optional=entry.optional))
        if key is None or value is None:
            key, value = self.new_parameter(), self.new_parameter()
        return types.map_of(key, value)

    def struct(self, node: StructNode) -> Type:
        found = self.lookup(node, node.name)
        node.constant = None  # the type is not the value
        if found is None:
            return self.undeclared(node.at, node.name)
        result = ERROR_TYPE
        if found.kind != TYPE:
            self.issues.add(node.at, f"'{types.draw(found)}' is not a type")
        elif found.params[0].kind != STRUCT:
            self.issues.add(node.at, f"'{types.draw(found.params[0])}' is not a message type")
        else:
            result = found.params[0]
        for entry in node.entries:
            given = self.element(entry.value, optional=entry.optional)
            wanted = ERROR_TYPE
            if result.kind == STRUCT:
                wanted = self.field_type(entry.at, result.name, entry.key) or ERROR_TYPE
            if not self.fits(wanted, given):
                self.issues.add(
                    entry.at,
                    f"expected type of field '{entry.key}' is '{types.draw(wanted)}' but provided type is "
                    f"'{types.draw(given)}'",
                )
        return result

    # -- comprehensions and the rest

    def comprehension(self, node: Comprehension) -> Type:
        self.check(node.range)
        accu = self.check(node.init)
        over = self.resolved(node.range.type)
        first, second = self.loop_types(node, over)
        self.scopes.append({node.accu: accu})
        loop = {node.var: first}
        if node.var2:
            loop[node.var2] = second
        self.scopes.append(loop)
        self.check(node.condition)
        self.assert_type(node.condition, BOOL_TYPE)
        self.check(node.step)
        self.assert_type(node.step, accu)
        self.scopes.pop()
        self.check(node.result)
        self.scopes.pop()
        return self.resolved(node.result.type)

    def loop_types(self, node: Comprehension, over: Type) -> tuple[Type, Type]:
        """The types of the one or two loop variables."""
        if over.kind == LIST:
            return (INT_TYPE, over.params[0]) if node.var2 else (over.params[0], DYN_TYPE)
        if over.kind == MAP:
            return over.params[0], over.params[1]
        if over.kind in (DYN, ERROR, PARAM):
            self.fits(DYN_TYPE, over)
            return DYN_TYPE, DYN_TYPE
        self.issues.add(
            node.range.at,
            f"expression of type '{types.draw(over)}' cannot be range of a comprehension (must be list, map, or dynamic)",
        )
        return ERROR_TYPE, ERROR_TYPE

    def assert_type(self, node: Node, wanted: Type) -> None:
        if not self.fits(wanted, node.type):
            self.mismatch(node.at, wanted, node.type)

    def literal(self, node: Literal) -> Type:
        return type_of(node.value)


_CHECKS: dict[type[Node], Any] = {
    Literal: _Checker.literal,
    Ident: _Checker.ident,
    Select: _Checker.select,
    Call: _Checker.call,
    ListNode: _Checker.list_,
    MapNode: _Checker.map_,
    StructNode: _Checker.struct,
    Comprehension: _Checker.comprehension,
}
