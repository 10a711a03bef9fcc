"""CEL expressions of admission policies and webhooks: what they may refer to, and how they are compiled.

Validation of policies asks for errors; admission keeps what compiled. Expressions see object, oldObject, request,
namespaceObject, params (policies with a paramKind), authorizer (where it may be asked) and variables (policies that have some).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from apimachinery import field as paths
from apimachinery.cel import mutation, types
from apimachinery.cel.admission import LIBRARY_TYPES, NAMESPACE, REQUEST, REQUEST_TYPES, VARIABLES, VariableTypes
from apimachinery.cel.declarations import named
from apimachinery.cel.env import Env, Program
from apimachinery.cel.errors import CompileError, ProgramError
from apimachinery.cel.types import DYN_TYPE as DYN
from apimachinery.cel.types import Type
from apimachinery.field import FieldError


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression. program is None when it does not compile; error says why."""

    text: str
    program: Program | None
    error: str = ""
    internal: bool = False


@dataclass(slots=True)
class Scope:
    """What the expressions of one policy or webhook see. variables: None where there is no such thing."""

    params: bool = False
    variables: VariableTypes | None = None
    mutation: bool = False
    object_type: Type = DYN
    params_type: Type = DYN
    providers: Sequence[types.TypeProvider] = ()
    _envs: dict[bool, Env] = field(default_factory=dict)

    def compile(self, text: str, returns: Sequence[Type] = (), *, authorizer: bool = True) -> Expression:
        """Never raises. returns: the types it may have; any when empty."""
        try:
            checked = self._env(authorizer).compile(text)
        except CompileError as error:
            return Expression(text, None, f"compilation failed: {error}")
        if returns and checked.type not in returns:
            return Expression(text, None, _wrong_type(returns, checked.type))
        try:
            return Expression(text, checked.program())
        except ProgramError as error:
            return Expression(text, None, f"program instantiation failed: {error}", internal=True)

    def add_variable(self, name: str, text: str) -> Expression:
        """Compile a variable; what is compiled after it may use it."""
        assert self.variables is not None
        found = self.compile(text)
        if found.program is not None:
            self.variables.add(name, found.program.type)
        return found

    def _env(self, authorizer: bool) -> Env:
        env = self._envs.get(authorizer)
        if env is None:
            env = self._envs[authorizer] = self._make(authorizer)
        return env

    def _make(self, authorizer: bool) -> Env:
        names: dict[str, Type] = {
            "object": self.object_type,
            "oldObject": self.object_type,
            "namespaceObject": NAMESPACE,
            "request": REQUEST,
        }
        providers: list[types.TypeProvider] = [REQUEST_TYPES, LIBRARY_TYPES, *self.providers]
        if self.params:
            names["params"] = self.params_type
        if authorizer:
            names["authorizer"] = named("Authorizer")
            names["authorizer.requestResource"] = named("ResourceCheck")
        if self.variables is not None:
            names["variables"] = VARIABLES
            providers.append(self.variables)
        if self.mutation:
            providers.append(mutation.MutationTypes())
        return Env(names, types.Types(*providers), mutation=self.mutation)


def _wrong_type(returns: Sequence[Type], actual: Type) -> str:
    if len(returns) == 1:
        return f"must evaluate to {text(returns[0])} but got {text(actual)}"
    return f"must evaluate to one of [{' '.join(map(text, returns))}] but got {text(actual)}"


def text(t: Type) -> str:
    """A type with its full name."""
    return f"{t.name}({', '.join(map(text, t.params))})" if t.params else t.name


BOOL = (types.BOOL_TYPE,)
STRING = (types.STRING_TYPE,)
STRING_OR_NULL = (types.STRING_TYPE, types.NULL_TYPE)
APPLY = (mutation.OBJECT,)
JSON_PATCHES = (types.list_of(mutation.JSON_PATCH),)


def errors_of(found: Expression, path: str) -> list[FieldError]:
    """What validation says of an expression."""
    if found.program is not None:
        return []
    if found.internal:
        return [paths.internal(path, found.error)]
    return [paths.invalid(path, found.text, found.error)]
