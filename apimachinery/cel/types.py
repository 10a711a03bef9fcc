"""The types of the language: what the checker computes with and what type() returns.

A Type is compared by identity of content. Struct types are known by name alone; what fields they have is the business of a
TypeProvider (a neutral description that the caller supplies: schemas of custom resources, built-in kinds, policies).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

(
    DYN,
    ERROR,
    NULL,
    BOOL,
    INT,
    UINT,
    DOUBLE,
    STRING,
    BYTES,
    DURATION,
    TIMESTAMP,
    LIST,
    MAP,
    STRUCT,
    OPAQUE,
    TYPE,
    PARAM,
) = range(17)


class Type:
    """kind: one of the constants above. params: element types (list), key and value (map), or of an opaque type."""

    __slots__ = ("_hash", "kind", "name", "params")

    def __init__(self, kind: int, name: str, params: tuple[Type, ...] = ()) -> None:
        self.kind = kind
        self.name = name
        self.params = params
        self._hash = hash((kind, name, params))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Type)
            and self.kind == other.kind
            and self.name == other.name
            and self.params == other.params
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return draw(self)


DYN_TYPE = Type(DYN, "dyn")
ERROR_TYPE = Type(ERROR, "*error*")
NULL_TYPE = Type(NULL, "null_type")
BOOL_TYPE = Type(BOOL, "bool")
INT_TYPE = Type(INT, "int")
UINT_TYPE = Type(UINT, "uint")
DOUBLE_TYPE = Type(DOUBLE, "double")
STRING_TYPE = Type(STRING, "string")
BYTES_TYPE = Type(BYTES, "bytes")
DURATION_TYPE = Type(DURATION, "google.protobuf.Duration")
TIMESTAMP_TYPE = Type(TIMESTAMP, "google.protobuf.Timestamp")
TYPE_TYPE = Type(TYPE, "type")
LIST_TYPE = Type(LIST, "list", (DYN_TYPE,))
MAP_TYPE = Type(MAP, "map", (DYN_TYPE, DYN_TYPE))

OPTIONAL = "optional_type"


def list_of(element: Type) -> Type:
    return Type(LIST, "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type(MAP, "map", (key, value))


def optional_of(inner: Type) -> Type:
    return Type(OPAQUE, OPTIONAL, (inner,))


def struct(name: str) -> Type:
    return Type(STRUCT, name)


def opaque(name: str, *params: Type) -> Type:
    return Type(OPAQUE, name, params)


def type_of(inner: Type) -> Type:
    """The type of a type: what the identifier `int` or the call type(1) has."""
    return Type(TYPE, "type", (inner,))


def param(name: str) -> Type:
    return Type(PARAM, name)


QUANTITY = struct("kubernetes.Quantity")
URL = struct("kubernetes.URL")
FORMAT = struct("kubernetes.NamedFormat")
SEMVER = struct("kubernetes.Semver")
IP = opaque("net.IP")
CIDR = opaque("net.CIDR")

_SHORT = {DURATION: "duration", TIMESTAMP: "timestamp", NULL: "null", ERROR: "!error!", DYN: "dyn"}
SCALARS = frozenset({BOOL, DOUBLE, DURATION, INT, TIMESTAMP, UINT})


def draw(t: Type) -> str:
    """A type as compile errors show it: list(string), map(string, dyn), timestamp."""
    if t.kind in _SHORT:
        return _SHORT[t.kind]
    if not t.params or t.kind == PARAM:
        return t.name
    return f"{t.name}({', '.join(draw(p) for p in t.params)})"


def draw_signature(args: list[Type], instance: bool) -> str:
    """Argument types as in "found no matching overload for 'f' applied to 'string.(int)'"."""
    if instance:
        return f"{draw(args[0])}.({', '.join(draw(a) for a in args[1:])})"
    return f"({', '.join(draw(a) for a in args)})"


def is_optional(t: Type) -> bool:
    return t.kind == OPAQUE and t.name == OPTIONAL


def unwrap_optional(t: Type) -> tuple[Type, bool]:
    """The inner type and True, or the type itself and False."""
    return (t.params[0], True) if is_optional(t) else (t, False)


class FieldType:
    """A field of a struct type.

    type: what the checker sees. key: the name in the data (the identifier may be an escaped form of it).
    wrap: turns the raw JSON value into a value of the language, None when the raw value is one already.
    """

    __slots__ = ("key", "type", "wrap")

    def __init__(self, type_: Type, key: str, wrap: Callable[[Any], Any] | None = None) -> None:
        self.type = type_
        self.key = key
        self.wrap = wrap


class TypeProvider(Protocol):
    """What the caller knows about struct types."""

    def has_type(self, name: str) -> bool: ...

    def field(self, type_name: str, field_name: str) -> FieldType | None: ...

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        """The value that `Name{field: value}` makes; EvalError when it may not be."""


class NoTypes:
    """The provider of environments without struct types."""

    def has_type(self, name: str) -> bool:
        return False

    def field(self, type_name: str, field_name: str) -> FieldType | None:
        return None

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        raise AssertionError(type_name)


class Types:
    """Several providers as one; the first that knows a name answers."""

    def __init__(self, *providers: TypeProvider) -> None:
        self._providers = providers

    def _of(self, name: str) -> TypeProvider | None:
        return next((p for p in self._providers if p.has_type(name)), None)

    def has_type(self, name: str) -> bool:
        return self._of(name) is not None

    def field(self, type_name: str, field_name: str) -> FieldType | None:
        provider = self._of(type_name)
        return provider.field(type_name, field_name) if provider else None

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        provider = self._of(type_name)
        assert provider is not None
        return provider.new(type_name, fields)


class NamedTypes:
    """Types without fields of their own: those of the function libraries."""

    def __init__(self, *types: Type) -> None:
        self._names = {t.name for t in types}

    def has_type(self, name: str) -> bool:
        return name in self._names

    def field(self, type_name: str, field_name: str) -> FieldType | None:
        return None

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        from apimachinery.cel.errors import EvalError

        raise EvalError(f"unknown type: {type_name}")
