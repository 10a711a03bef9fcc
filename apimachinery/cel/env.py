"""Environments and programs: the way in.

    env = Env({"self": decl.type}, provider)            what an expression may refer to
    checked = env.compile("self.x > 1")                 parsed and checked; CompileError
    checked.type, checked.uses, checked.cost(sizes)     its type, the variables it reads, its static cost
    program = checked.program()                         ready to run; ProgramError
    value, cost = program.eval({"self": obj})           EvalError, CostExceeded

An Env is cheap to make; the function libraries are built once per process, when the first one is made.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from apimachinery.cel import checker, estimate, literalchecks, macros, parser, types
from apimachinery.cel.compiler import Compiler
from apimachinery.cel.declarations import Functions, Overload, functions
from apimachinery.cel.errors import FAILURES, CompileError, CostExceeded, EvalError, Issues
from apimachinery.cel.frame import Frame
from apimachinery.cel.ranges import Range
from apimachinery.cel.runtimecost import PER_CALL_LIMIT
from apimachinery.cel.syntax import Node, children
from apimachinery.cel.types import NoTypes, Type, TypeProvider
from apimachinery.cel.values import MISSING

# Expressions nest up to 250 levels, and each takes a few Python calls; frames of Python code live on the heap.
_RECURSION = 5_000
_DECLARED_ONLY = (Overload("cel.@mapInsert", "@mapInsert_map_key_value", "(map(K, V), K, V) map(K, V)"),)
_MAP_INSERT = (*_DECLARED_ONLY, Overload("cel.@mapInsert", "@mapInsert_map_map", "(map(K, V), map(K, V)) map(K, V)"))


@cache
def kubernetes_functions(*, mutation: bool = False) -> Functions:
    """All functions of Kubernetes' environments; those of mutations as well if asked for."""
    from apimachinery.cel.library import (
        authz,
        formats,
        jsonpatch,
        lists,
        net,
        optionals,
        quantities,
        regex,
        semver,
        sets,
        standard,
        strings,
        urls,
    )

    libraries: list[Any] = [
        standard.OVERLOADS,
        urls.OVERLOADS,
        regex.OVERLOADS,
        lists.OVERLOADS,
        authz.OVERLOADS,
        optionals.OVERLOADS,
        quantities.OVERLOADS,
        strings.OVERLOADS,
        sets.OVERLOADS,
        net.OVERLOADS,
        formats.OVERLOADS,
        semver.OVERLOADS,
        _MAP_INSERT,
    ]
    return functions(*libraries, *([jsonpatch.OVERLOADS] if mutation else []))


class Env:
    """What expressions may refer to. variables: their types, names may have dots. provider: of struct types."""

    __slots__ = ("functions", "macros", "provider", "variables")

    def __init__(
        self,
        variables: Mapping[str, Type],
        provider: TypeProvider | None = None,
        *,
        mutation: bool = False,
        known_macros: macros.Macros = macros.KUBERNETES,
    ) -> None:
        self.variables = variables
        self.provider = provider or NoTypes()
        self.functions = kubernetes_functions(mutation=mutation)
        self.macros = known_macros

    def compile(self, text: str) -> Checked:
        """The checked expression; CompileError with all that is wrong."""
        if sys.getrecursionlimit() < _RECURSION:
            sys.setrecursionlimit(_RECURSION)
        node = parser.parse(text, self.macros)
        checker.check(node, text, self.variables, self.functions, self.provider)
        issues = Issues(text)
        literalchecks.check(node, issues)
        if issues:
            raise CompileError(issues)
        return Checked(self, text, node)


class Checked:
    """A checked expression. type: of its value. uses: the declared variables it reads."""

    __slots__ = ("env", "node", "text", "type", "uses")

    def __init__(self, env: Env, text: str, node: Node) -> None:
        self.env = env
        self.text = text
        self.node = node
        self.type = node.type
        self.uses = _uses(node, env.variables)

    def cost(self, sizes: estimate.Sizes | None = None) -> Range:
        """The static estimate. sizes: how large the data can be."""
        return estimate.estimate(self.node, sizes)

    def program(self, *, optimize: bool = True) -> Program:
        """The expression, ready to run; ProgramError when a constant part of it cannot be evaluated."""
        compiler = Compiler(self.env.functions, self.env.provider, optimize=optimize)
        closure, cost = compiler.compile(self.node)
        return Program(self, closure, cost, compiler)


def _uses(node: Node, variables: Mapping[str, Type]) -> frozenset[str]:
    found = set()
    pending = [node]
    while pending:
        current = pending.pop()
        if current.ref is not None and current.constant is None and current.ref in variables:
            found.add(current.ref)
            continue
        pending.extend(children(current))
    return frozenset(found)


class Program:
    """An expression that can be evaluated, any number of times and by several threads at once."""

    __slots__ = ("_closure", "_cost", "_names", "_spare", "checked")

    def __init__(self, checked: Checked, closure: Any, cost: int, compiler: Compiler) -> None:
        self.checked = checked
        self._closure = closure
        self._cost = cost
        self._names = tuple(compiler.variables.items())
        self._spare = compiler.slots

    @property
    def type(self) -> Type:
        return self.checked.type

    @property
    def uses(self) -> frozenset[str]:
        return self.checked.uses

    def eval(self, variables: Mapping[str, Any], limit: int = PER_CALL_LIMIT) -> tuple[Any, int]:
        """The value and what it cost. EvalError (with its cost) or CostExceeded over the limit."""
        slots = [MISSING] * self._spare
        for name, slot in self._names:
            slots[slot] = variables.get(name, MISSING)
        frame = Frame(slots, self._cost, limit)
        try:
            value = self._closure(frame)
        except EvalError as error:
            error.cost = frame.cost
            raise
        except FAILURES as error:
            failure = EvalError("no such overload")
            failure.cost = frame.cost
            raise failure from error
        if frame.cost > limit:
            raise CostExceeded(frame.cost)
        return value, frame.cost


DYN = types.DYN_TYPE
