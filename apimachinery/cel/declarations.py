"""Functions and their overloads, declared in one line each: `string.(string, int) int`, `(list(A), A) bool`.

A library is a list of Overload; functions() joins libraries into what the checker looks names up in. An implementation
takes the arguments (the target first) as values and returns a value or raises EvalError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.types import Type

Implementation = Callable[..., Any]


class Overload:
    """One signature of a function. member: called on its first argument."""

    __slots__ = ("args", "function", "id", "implementation", "member", "params", "result", "signature")

    def __init__(self, function: str, id_: str, signature: str, implementation: Implementation | None = None) -> None:
        self.function = function
        self.id = id_
        self.signature = signature
        self.implementation = implementation
        self.member, args, self.result = _signature(signature)
        self.args = list(args)
        self.params = tuple(sorted({name for t in [*args, self.result] for name in _parameters(t)}))


class Function:
    """All overloads of one name, in the order in which they are tried."""

    __slots__ = ("name", "overloads")

    def __init__(self, name: str) -> None:
        self.name = name
        self.overloads: list[Overload] = []


Functions = Mapping[str, Function]


def functions(*libraries: Iterable[Overload]) -> dict[str, Function]:
    """The libraries' overloads by function name."""
    out: dict[str, Function] = {}
    for library in libraries:
        for overload in library:
            out.setdefault(overload.function, Function(overload.function)).overloads.append(overload)
    return out


_NAMES: dict[str, Type] = {
    "dyn": types.DYN_TYPE,
    "null": types.NULL_TYPE,
    "bool": types.BOOL_TYPE,
    "int": types.INT_TYPE,
    "uint": types.UINT_TYPE,
    "double": types.DOUBLE_TYPE,
    "string": types.STRING_TYPE,
    "bytes": types.BYTES_TYPE,
    "duration": types.DURATION_TYPE,
    "timestamp": types.TIMESTAMP_TYPE,
    "quantity": types.QUANTITY,
    "url": types.URL,
    "format": types.FORMAT,
    "semver": types.SEMVER,
    "ip": types.IP,
    "cidr": types.CIDR,
    "Authorizer": types.struct("kubernetes.authorization.Authorizer"),
    "PathCheck": types.struct("kubernetes.authorization.PathCheck"),
    "GroupCheck": types.struct("kubernetes.authorization.GroupCheck"),
    "ResourceCheck": types.struct("kubernetes.authorization.ResourceCheck"),
    "Decision": types.struct("kubernetes.authorization.Decision"),
}
_MAKERS: dict[str, Callable[..., Type]] = {
    "list": types.list_of,
    "map": types.map_of,
    "optional": types.optional_of,
    "type": types.type_of,
}


def named(name: str) -> Type:
    """A type by its name in signatures."""
    return _NAMES[name]


@lru_cache(512)
def _signature(text: str) -> tuple[bool, tuple[Type, ...], Type]:
    target, member, rest = text.partition(".(")
    if not member:
        target, rest = "", text[1:]
    args, position = _list(rest, 0)
    if member:
        args = [_type(target, 0)[0], *args]
    return bool(member), tuple(args), _type(rest[position + 1 :].strip(), 0)[0]


def _list(text: str, position: int) -> tuple[list[Type], int]:
    """Types up to a ')', and its position."""
    out: list[Type] = []
    while text[position] != ")":
        if text[position] in ", ":
            position += 1
            continue
        found, position = _type(text, position)
        out.append(found)
    return out, position


def _type(text: str, position: int) -> tuple[Type, int]:
    end = position
    while end < len(text) and text[end] not in "(), ":
        end += 1
    name = text[position:end]
    if end < len(text) and text[end] == "(":
        params, close = _list(text, end + 1)
        return _MAKERS[name](*params), close + 1
    return _NAMES.get(name) or types.param(name), end


def _parameters(t: Type) -> set[str]:
    if t.kind == types.PARAM:
        return {t.name}
    return {name for p in t.params for name in _parameters(p)}
