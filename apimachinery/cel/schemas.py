"""Types and values from OpenAPI schemas: what `self` is in the rules of custom resources, and how large it can be.

    declare(schema, root=True)       the declared type of a structural schema (raw JSON), or None when it has none
    decl.type, decl.wrap(data)       the type for the checker; data (JSON) as a value of that type
    SchemaTypes(decl, ...)           the provider of its struct types
    DeclaredSizes(decl)              the sizes for static costs

Data that are already values (strings, integers, maps and lists of such) go through as they are; only what differs (numbers,
dates, durations, bytes, sets, keyed lists, escaped names) is looked at through views, field by field.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from apimachinery.cel import types, values
from apimachinery.cel.errors import EvalError
from apimachinery.cel.estimatecalls import Path
from apimachinery.cel.ranges import Range
from apimachinery.cel.reserved import RESERVED
from apimachinery.cel.timevalues import Duration, Timestamp
from apimachinery.cel.types import FieldType, Type
from apimachinery.cel.values import MISSING, ListView, View

Schema = Mapping[str, Any]
MAX_REQUEST = 3 * 1024 * 1024  # bytes: what any data are bounded by
_SPECIAL = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = {written: char for char, written in _SPECIAL.items()}
_EXPAND = re.compile(r"__|[-./]")
_IDENTIFIER = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*")
_UNEXPAND = re.compile(r"__[^_]+__")


def escape(name: str) -> str | None:
    """A property's name as an identifier; None when it can be none."""
    if name in RESERVED:
        return f"__{name}__"
    if not _IDENTIFIER.fullmatch(name):
        return None
    return _EXPAND.sub(lambda found: _SPECIAL[found[0]], name)


def unescape(identifier: str) -> str:
    """The property's name behind an identifier."""

    def undo(found: re.Match[str]) -> str:
        word = found[0]
        return _ESCAPED.get(word) or (word[2:-2] if word[2:-2] in RESERVED else word)

    return _UNEXPAND.sub(undo, identifier)


class DeclType:
    """The declared type of a schema.

    max_elements: characters, bytes, items or entries at most. min_size: bytes of JSON at least. wrap: None when data are
    values already.
    """

    __slots__ = ("elem", "fields", "key", "max_elements", "min_size", "type", "wrap")

    def __init__(
        self,
        type_: Type,
        *,
        max_elements: int = 0,
        min_size: int = 1,
        wrap: Callable[[Any], Any] | None = None,
    ) -> None:
        self.type = type_
        self.max_elements = max_elements
        self.min_size = min_size
        self.wrap = wrap
        self.fields: dict[str, DeclField] = {}
        self.key: DeclType | None = None
        self.elem: DeclType | None = None

    def value(self, data: Any) -> Any:
        """Data of this type as a value of the language."""
        return data if self.wrap is None or data is None else self.wrap(data)


class DeclField:
    """A property of an object. key: its name in the data."""

    __slots__ = ("decl", "key")

    def __init__(self, decl: DeclType, key: str) -> None:
        self.decl = decl
        self.key = key


# -- views of data that are not plain


class ObjectView(View):
    """An object with properties, at least one of which is to be converted or has an escaped name."""

    __slots__ = ("data", "fields")

    def __init__(self, data: Mapping[str, Any], fields: dict[str, DeclField]) -> None:
        self.data = data
        self.fields = fields

    def find(self, key: Any) -> Any:
        if key.__class__ is not str:
            raise EvalError("no such overload")
        field = self.fields.get(key)
        value = self.data.get(field.key) if field is not None else None
        return MISSING if value is None or field is None else field.decl.value(value)

    def __iter__(self) -> Iterator[str]:
        return (name for name, field in self.fields.items() if field.key in self.data)

    def __len__(self) -> int:
        return len(self.data)

    def raw(self) -> Any:
        return self.data


class EntriesView(View):
    """A map whose values are to be converted."""

    __slots__ = ("data", "elem")

    def __init__(self, data: Mapping[str, Any], elem: DeclType) -> None:
        self.data = data
        self.elem = elem

    def find(self, key: Any) -> Any:
        if key.__class__ is not str:
            raise EvalError("no such overload")
        return self.elem.value(self.data[key]) if key in self.data else MISSING

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def raw(self) -> Any:
        return self.data


class SetList(ListView):
    """x-kubernetes-list-type: set. Equal whatever the order; + makes a union."""

    def cel_equal(self, other: list[Any]) -> bool:
        return len(self) == len(other) and all(values.contains(self, item) for item in other)

    def cel_add(self, other: list[Any]) -> list[Any]:
        out = SetList(self)
        for item in other:
            if not values.contains(out, item):
                out.append(item)
        return out


class KeyedList(ListView):
    """x-kubernetes-list-type: map. Equal whatever the order; + replaces the items whose keys are in both."""

    def __init__(self, items: list[Any], names: tuple[str, ...]) -> None:
        super().__init__(items)
        self.names = names

    def _key(self, item: Any) -> tuple[Any, ...]:
        data = item.raw() if isinstance(item, View) else item
        return tuple(data.get(name) for name in self.names)

    def cel_equal(self, other: list[Any]) -> bool:
        if len(self) != len(other):
            return False
        mine = {self._key(item): item for item in self}
        return all(
            (found := mine.get(self._key(item), MISSING)) is not MISSING and values.equal(found, item) for item in other
        )

    def cel_add(self, other: list[Any]) -> list[Any]:
        out = list(self)
        places = {self._key(item): position for position, item in enumerate(out)}
        for item in other:
            place = places.get(self._key(item))
            if place is None:
                out.append(item)
            else:
                out[place] = item
        return KeyedList(out, self.names)


# -- scalars with a format


def _double(data: Any) -> float:
    return float(data)


def _int_or_string(data: Any) -> Any:
    if data.__class__ in (str, int):
        return data
    raise EvalError("invalid data, expected XIntOrString value to be either a string or integer")


_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _date(data: Any) -> Timestamp:
    found = Timestamp.parse(f"{data}T00:00:00Z") if _DATE.fullmatch(data) else None
    if found is None:
        raise EvalError(f"Invalid date formatted string {data}")
    return found


def _date_time(data: Any) -> Timestamp:
    found = Timestamp.parse(data.upper().replace(" ", "T"))
    if found is None:
        raise EvalError(f"Invalid date-time formatted string {data}")
    return found


_DAYS = re.compile(r"([0-9.]+)\s*(w|wk|week|weeks|d|day|days)")


def _duration(data: Any) -> Duration:
    found = Duration.parse(data)
    if found is None:
        days = _DAYS.fullmatch(data)
        if days is None:
            raise EvalError(f"Invalid duration {data}")
        found = Duration(int(float(days[1]) * (7 if days[2][0] == "w" else 1) * 86_400 * 10**9))
    return found


def _bytes(data: Any) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise EvalError(f"Invalid byte formatted string {data}: {error}") from None


# -- schemas to types

# format -> type, conversion, the least size, the greatest length when no maxLength says otherwise
_FORMATS: dict[str, tuple[Type, Callable[[Any], Any], int, int]] = {
    "byte": (types.BYTES_TYPE, _bytes, 2, MAX_REQUEST - 2),
    "duration": (types.DURATION_TYPE, _duration, 3, 32),
    "date": (types.TIMESTAMP_TYPE, _date, 12, 12),
    "date-time": (types.TIMESTAMP_TYPE, _date_time, 21, 32),
}
_STRING: Schema = {"type": "string"}
_RESOURCE: dict[str, Schema] = {
    "apiVersion": _STRING,
    "kind": _STRING,
    "metadata": {"type": "object", "properties": {"name": _STRING, "generateName": _STRING}},
}


def string_type() -> DeclType:
    """A string of which no schema says anything."""
    return DeclType(types.STRING_TYPE, min_size=2)


def declare(schema: Schema, *, root: bool = False, name: str = "selfType1") -> DeclType | None:
    """The declared type; None for a schema that expressions do not see. root: of a whole resource, which has metadata."""
    if schema.get("x-kubernetes-int-or-string") is True:
        length = _max_length(schema)
        most = length * 4 if length is not None else MAX_REQUEST - 2
        return DeclType(types.DYN_TYPE, max_elements=most, wrap=_int_or_string)
    kind = schema.get("type")
    if root and not _has_metadata(schema):
        schema = {**schema, "properties": {**(schema.get("properties") or {}), **_RESOURCE}}
    if kind == "array":
        return _list(schema, name)
    if kind == "object":
        additional = schema.get("additionalProperties")
        return _map(schema, additional, name) if isinstance(additional, Mapping) else _object(schema, name)
    if kind == "string":
        return _string(schema)
    if kind == "boolean":
        return DeclType(types.BOOL_TYPE, min_size=4)
    if kind == "number":
        return DeclType(types.DOUBLE_TYPE, wrap=_double)
    if kind == "integer":
        return DeclType(types.INT_TYPE)
    return None


def _has_metadata(schema: Schema) -> bool:
    properties = schema.get("properties") or {}
    metadata = (properties.get("metadata") or {}).get("properties") or {}
    return all(name in properties for name in ("kind", "apiVersion")) and {"name", "generateName"} <= set(metadata)


def _max_length(schema: Schema) -> int | None:
    found = schema.get("maxLength")
    return None if found is None else max(int(found), 0)


def _string(schema: Schema) -> DeclType:
    length = _max_length(schema)
    known = _FORMATS.get(schema.get("format") or "")
    if known is not None:
        type_, wrap, least, most = known
        if length is not None and type_ is types.BYTES_TYPE:
            most = length
        return DeclType(type_, max_elements=most, min_size=least, wrap=wrap)
    if length is not None:
        most = length * 4
    elif schema.get("enum"):
        most = max((len(item.encode()) for item in schema["enum"] if isinstance(item, str)), default=0)
    else:
        most = MAX_REQUEST - 2
    return DeclType(types.STRING_TYPE, max_elements=most, min_size=2)


def _inner(schema: Schema, name: str) -> DeclType | None:
    return declare(schema, root=schema.get("x-kubernetes-embedded-resource") is True, name=name)


def _list(schema: Schema, name: str) -> DeclType | None:
    items = schema.get("items")
    elem = _inner(items, f"{name}.@idx") if isinstance(items, Mapping) else None
    if elem is None:
        return None
    limit = schema.get("maxItems")
    most = max(int(limit), 0) if limit is not None else (MAX_REQUEST - 2) // (elem.min_size + 1)
    out = DeclType(types.list_of(elem.type), max_elements=most, min_size=2)
    out.elem = elem
    out.wrap = _list_wrap(schema, elem)
    return out


def _list_wrap(schema: Schema, elem: DeclType) -> Callable[[Any], Any] | None:
    kind = schema.get("x-kubernetes-list-type")
    convert = elem.value
    if kind == "set":
        return lambda data: SetList([convert(item) for item in data])
    if kind == "map":
        names = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        return lambda data: KeyedList([convert(item) for item in data], names)
    if elem.wrap is None:
        return None
    return lambda data: [convert(item) for item in data]


def _map(schema: Schema, additional: Schema, name: str) -> DeclType | None:
    elem = _inner(additional, f"{name}.@elem")
    if elem is None:
        return None
    limit = schema.get("maxProperties")
    most = max(int(limit), 0) if limit is not None else (MAX_REQUEST - 2) // (elem.min_size + 6)
    out = DeclType(types.map_of(types.STRING_TYPE, elem.type), max_elements=most, min_size=2)
    out.key = string_type()
    out.elem = elem
    if elem.wrap is not None:
        out.wrap = lambda data: EntriesView(data, elem)
    return out


def _object(schema: Schema, name: str) -> DeclType:
    out = DeclType(types.struct(name), min_size=2)
    required = set(schema.get("required") or ())
    plain = True
    for key, child in (schema.get("properties") or {}).items():
        identifier = escape(key)
        decl = _inner(child, f"{name}.{identifier or key}")
        if decl is None:
            continue
        if identifier is not None:
            out.fields[identifier] = DeclField(decl, key)
            plain = plain and decl.wrap is None and identifier == key
        if key in required and child.get("default") is None:
            out.min_size += len(key.encode()) + decl.min_size + 4
    if not plain:
        fields = out.fields
        out.wrap = lambda data: ObjectView(data, fields)
    return out


# -- for the checker and the estimate


class SchemaTypes:
    """The struct types within declared types."""

    def __init__(self, *roots: DeclType) -> None:
        self._types: dict[str, dict[str, FieldType]] = {}
        for root in roots:
            self._add(root)

    def _add(self, decl: DeclType) -> None:
        if decl.elem is not None:
            self._add(decl.elem)
        if decl.type.kind != types.STRUCT or decl.type.name in self._types:
            return
        self._types[decl.type.name] = {
            name: FieldType(field.decl.type, field.key, field.decl.wrap) for name, field in decl.fields.items()
        }
        for field in decl.fields.values():
            self._add(field.decl)

    def has_type(self, name: str) -> bool:
        return name in self._types

    def field(self, type_name: str, field_name: str) -> FieldType | None:
        fields = self._types[type_name]
        return fields.get(field_name) or (fields.get(f"__{field_name}__") if field_name in RESERVED else None)

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        raise EvalError(f"unknown type: {type_name}")


class DeclaredSizes:
    """Sizes by a declared type, of which the variable at the root of a path is."""

    def __init__(self, root: DeclType) -> None:
        self.root = root

    def of(self, path: Path) -> Range | None:
        node: DeclType | None = self.root
        for step in path[1:]:
            if node is None:
                return None
            if step in ("@items", "@values"):
                node = node.elem
            elif step == "@keys":
                node = node.key
            else:
                field = node.fields.get(step)
                node = field.decl if field is not None else None
        return Range(0, node.max_elements) if node is not None else None


def max_cardinality(min_size: int) -> int:
    """How often data of at least this size can occur in one object."""
    return MAX_REQUEST // (min_size + 1)
