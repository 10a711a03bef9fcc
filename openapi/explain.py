"""The slow walk of decoding: as the compiled path, but it finds unknown and duplicate fields and words type errors as Go does.

Runs when openapi.compile gave up on a value: something is null, unknown, duplicate, unusually written, or wrong. Values may
hold Pairs in place of dicts, and Literal in place of floats, when the body's bytes were at hand (openapi.codec).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from apimachinery import quantity
from openapi import compile, gofloat, scalars
from openapi.compile import OMIT
from openapi.schemas import Field, TypeInfo

SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


class DecodeError(Exception):
    """A value of a wrong type. The text is the original's, without the words about which kind could not be handled."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs in document order, duplicates included."""


class Literal(float):
    """A JSON number that is not written as an integer, with its text."""

    text: str

    def __new__(cls, text: str) -> Literal:
        made = super().__new__(cls, text)
        made.text = text
        return made


def decode(info: TypeInfo, value: Any) -> tuple[Any, list[str]]:
    """As TypeInfo.decode()."""
    walk = _Walk()
    out = walk.value(info, value, "", _go_name(info))
    if walk.error:
        raise DecodeError(walk.error)
    return (info.decoder({}) if out is OMIT else out), walk.problems


def decode_unstructured(info: TypeInfo, value: Any) -> tuple[Any, list[str]]:
    """As decode(), in the words of the original's converter from maps, which strategic merge patches go through."""
    walk = _Converter()
    out = walk.value(info, value, "", _go_name(info))
    if walk.error:
        raise DecodeError(walk.error)
    return (info.decoder({}) if out is OMIT else out), sorted(walk.problems)


def _go_name(info: TypeInfo) -> str:
    if info.kind == "struct":
        package, _, name = info.name.rpartition(".")
        return f"{package.rpartition('.')[2]}.{name}"
    return "map[string]interface {}"


def items_of(value: Any) -> Iterable[tuple[str, Any]]:
    return value if isinstance(value, Pairs) else value.items()


def plain(value: Any) -> Any:
    """The value with dicts for Pairs and floats for Literals; numbers beyond Go's int64 become floats, integral floats integers."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        return {key: plain(item) for key, item in value.items()}
    if kind is list:
        return [plain(item) for item in value]
    if kind is Pairs:
        return {key: plain(item) for key, item in value}
    return number(value)


def number(value: Any) -> Any:
    """A number as Go writes an interface{} again: 1e2 as 100, 2^64 as a float."""
    if type(value) is int and not -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return float(value)
    if isinstance(value, float):
        return gofloat.plain(float(value))
    return value


def _kind_of(value: Any) -> str:
    """What Go calls a JSON value in an UnmarshalTypeError."""
    if isinstance(value, Pairs | dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    return "number"


def _number_text(value: Any) -> str:
    return value.text if isinstance(value, Literal) else repr(value)


class _Walk:
    """One decoding. error: the first type error's text; problems: unknown and duplicate fields; both in document order.

    Go goes on after a type error, and stops where a type that reads its own JSON (a time, a quantity) cannot: whatever was
    wrong before, that is what it tells.
    """

    def __init__(self) -> None:
        self.error = ""
        self.problems: list[str] = []
        self.stack: list[str] = []  # field names from the root, without list positions
        self.struct = ""  # name of the innermost struct

    def fail(self, text: str) -> Any:
        self.error = self.error or text
        return OMIT

    def mismatch(self, value: Any, go_type: str, target: str, *, literal: bool = False) -> Any:
        """target: reflect's kind of the Go type."""
        kind = _kind_of(value)
        if literal and kind == "number":
            kind = f"number {_number_text(value)}"
        go_type = go_type.lstrip("*")
        if self.stack:
            where = f"Go struct field {self.struct}.{'.'.join(self.stack)}"
        else:
            where = "Go value"
        return self.fail(f"json: cannot unmarshal {kind} into {where} of type {go_type}")

    def at_once(self, read: Callable[..., Any], *args: Any) -> Any:
        """What a type makes of its own JSON; DecodeError where it cannot."""
        earlier, self.error = self.error, ""
        result = read(*args)
        if self.error:
            raise DecodeError(self.error)
        self.error = earlier
        return result

    def value(self, info: TypeInfo, value: Any, path: str, go_type: str) -> Any:
        """The canonical value or OMIT; null is the caller's business for fields, the zero value for elements."""
        if info.kind == "struct":
            return self.struct_value(info, value, path, go_type)
        if info.kind == "map":
            return self.map_value(info, value, path, go_type)
        if info.kind == "list":
            return self.list_value(info, value, path, go_type)
        return self.scalar(info.code, value, path, go_type)

    def objects(self, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
        """The pairs of an object; duplicates are reported, and the last one wins by being last."""
        seen: set[str] = set()
        reported: set[str] = set()
        for key, item in items_of(value):
            where = f"{path}.{key}" if path else key
            if key in seen and key not in reported:
                reported.add(key)
                self.problems.append(f'duplicate field "{where}"')
            seen.add(key)
            yield key, item, where

    def members(self, info: TypeInfo, value: Any) -> Iterable[tuple[str, Any]]:
        """What is in a struct's object, in the order in which it is looked at."""
        return items_of(value)

    def struct_value(self, info: TypeInfo, value: Any, path: str, go_type: str) -> Any:
        if value is None:
            return info.decoder({})
        if not isinstance(value, Pairs | dict):
            return self.mismatch(value, go_type, "struct")
        outer = self.struct
        self.struct = info.short_name
        out: dict[str, Any] = {}
        fields = info.fields
        seen: set[str] = set()
        reported: set[str] = set()
        for key, item in self.members(info, value):
            where = f"{path}.{key}" if path else key
            field = fields.get(key)
            if field is None:
                if key not in reported:
                    self.problems.append(f'unknown field "{where}"')
                    reported.add(key)
                continue
            if key in seen and key not in reported:
                reported.add(key)
                self.problems.append(f'duplicate field "{where}"')
            seen.add(key)
            result = OMIT if item is None else self.field_value(field, item, where)
            if result is OMIT:
                out.pop(key, None)
            else:
                out[key] = result
        for name, field in fields.items():
            if name not in out and (zero := compile.zero(field)) is not OMIT:
                out[name] = zero
        self.struct = outer
        return out

    def field_value(self, field: Field, item: Any, where: str) -> Any:
        depth = len(self.stack)
        self.stack += (*field.within, field.name)
        result = self.value(field.type, item, where, field.go)
        del self.stack[depth:]
        info = field.type
        if result is OMIT or field.pointer or info.kind == "any" or info.code in ("T", "M", "Q", "I", "D"):
            return result
        if info.kind == "struct":
            return OMIT if field.omitzero and result == info.decoder({}) else result
        if where == "metadata.managedFields":
            return result  # an empty list asks for them to be cleared, none at all does not
        if not result and (field.omitempty or info.code == "y"):
            return OMIT
        return result

    def map_value(self, info: TypeInfo, value: Any, path: str, go_type: str) -> Any:
        if not isinstance(value, Pairs | dict):
            return self.mismatch(value, go_type, "map")
        assert info.elem is not None
        element_type = go_type.partition("]")[2]
        out = {}
        for key, item, where in self.objects(value, path):
            result = self.element(info.elem, item, where, element_type)
            if result is not OMIT:
                out[key] = result
        return out

    def list_value(self, info: TypeInfo, value: Any, path: str, go_type: str) -> Any:
        if not isinstance(value, list) or isinstance(value, Pairs):
            return self.mismatch(value, go_type, "slice")
        assert info.elem is not None
        element_type = go_type.partition("]")[2]
        out = []
        for position, item in enumerate(value):
            result = self.element(info.elem, item, f"{path}[{position}]", element_type)
            if result is not OMIT:
                out.append(result)
        return out

    def element(self, info: TypeInfo, item: Any, where: str, go_type: str) -> Any:
        if item is not None:
            return self.value(info, item, where, go_type)
        if info.kind == "struct":
            return info.decoder({})
        if info.kind == "scalar":
            return {"s": "", "y": "", "b": False, "Q": "0", "T": None, "M": None, "D": "0s"}.get(info.code, 0)
        return None

    def scalar(self, code: str, value: Any, path: str, go_type: str) -> Any:
        method = getattr(self, "as_" + code, None)
        return method(value, path, go_type) if method else plain(value)

    def as_s(self, value: Any, path: str, go_type: str) -> Any:
        return value if isinstance(value, str) else self.mismatch(value, go_type, "string")

    def as_b(self, value: Any, path: str, go_type: str) -> Any:
        return value if isinstance(value, bool) else self.mismatch(value, go_type, "bool")

    def integer(self, value: Any, go_type: str, low: int, high: int) -> Any:
        if type(value) is int and low <= value <= high:
            return value
        return self.mismatch(value, go_type, "int32" if high < 0x80000000 else "int64", literal=True)

    def as_i32(self, value: Any, path: str, go_type: str) -> Any:
        return self.integer(value, go_type, -0x80000000, 0x7FFFFFFF)

    def as_i64(self, value: Any, path: str, go_type: str) -> Any:
        return self.integer(value, go_type, -0x8000000000000000, 0x7FFFFFFFFFFFFFFF)

    def as_d(self, value: Any, path: str, go_type: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.mismatch(value, go_type, "float64")
        return number(value)

    def as_y(self, value: Any, path: str, go_type: str) -> Any:
        if isinstance(value, list) and not isinstance(value, Pairs):  # to Go a slice like any other
            octets = [0 if item is None else self.integer(item, "uint8", 0, 255) for item in value]
            return "" if self.error else base64.b64encode(bytes(octets)).decode()
        if not isinstance(value, str):
            return self.mismatch(value, go_type, "slice")
        return self.reading(scalars.canonical_base64, value)

    def reading(self, read: Any, value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            return self.fail(str(error))

    def as_Q(self, value: Any, path: str, go_type: str) -> Any:
        if isinstance(value, str):
            text = value.strip()
        elif isinstance(value, bool | dict | list):
            text = "{"
        else:
            text = _number_text(value)
        return self.at_once(self.reading, quantity.canonical, text)

    def as_I(self, value: Any, path: str, go_type: str) -> Any:
        return value if isinstance(value, str) else self.at_once(self.as_i32, value, path, "int32")

    def as_T(self, value: Any, path: str, go_type: str) -> Any:
        return self.at_once(self.text_scalar, scalars.canonical_time, value)

    def as_M(self, value: Any, path: str, go_type: str) -> Any:
        return self.at_once(self.text_scalar, scalars.canonical_micro_time, value)

    def as_D(self, value: Any, path: str, go_type: str) -> Any:
        return self.at_once(self.text_scalar, scalars.canonical_duration, value)

    def text_scalar(self, read: Any, value: Any) -> Any:
        return self.reading(read, value) if isinstance(value, str) else self.mismatch(value, "string", "string")

    def schema(self, value: Any, path: str) -> Any:
        from openapi import schemas

        return self.value(schemas.load().type(SCHEMA), value, path, "v1.JSONSchemaProps")

    def as_JB(self, value: Any, path: str, go_type: str) -> Any:
        return value if isinstance(value, bool) else self.schema(value, path)

    def as_JA(self, value: Any, path: str, go_type: str) -> Any:
        if isinstance(value, list) and not isinstance(value, Pairs):
            return [self.schema(item, f"{path}[{position}]") for position, item in enumerate(value)] or OMIT
        return self.schema(value, path)

    def as_JS(self, value: Any, path: str, go_type: str) -> Any:
        if isinstance(value, list) and not isinstance(value, Pairs):
            return [item if isinstance(item, str) else self.mismatch(item, "string", "string") for item in value]
        return self.schema(value, path)


class _Converter(_Walk):
    """The words of runtime.DefaultUnstructuredConverter, which stops at the first fault of any kind."""

    def at_once(self, read: Callable[..., Any], *args: Any) -> Any:
        return read(*args)

    def mismatch(self, value: Any, go_type: str, target: str, *, literal: bool = False) -> Any:
        kind = {"object": "map", "array": "slice", "number": "float64"}.get(_kind_of(value), _kind_of(value))
        if type(value) is int:
            kind = "int64"
        if target in ("map", "slice"):
            return self.fail(f"cannot restore {target} from {kind}")
        if target == "struct":
            return self.fail(f"cannot restore struct from: {kind}")
        if (kind == "int64" and target == "string") or (kind == "float64" and target in ("int32", "int64")):
            return self.fail(f"cannot convert {kind} to {go_type.lstrip('*')}")
        return self.fail(f"unrecognized type: {target}")

    def members(self, info: TypeInfo, value: Any) -> Iterable[tuple[str, Any]]:
        """The struct's fields in their order, then what it has no fields for."""
        known = [(name, value[name]) for name in info.fields if name in value]
        return known + [(name, item) for name, item in value.items() if name not in info.fields]

    def as_y(self, value: Any, path: str, go_type: str) -> Any:
        outer = self.error
        result = super().as_y(value, path, go_type)
        if not outer and self.error and isinstance(value, str):
            self.error = f"error decoding from json: {self.error}"
        return result

    def as_I(self, value: Any, path: str, go_type: str) -> Any:
        if isinstance(value, str) or (type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF):
            return value
        return self.unfit(value, "int32")

    def text_scalar(self, read: Any, value: Any) -> Any:
        return self.reading(read, value) if isinstance(value, str) else self.unfit(value, "string")

    def unfit(self, value: Any, go_type: str) -> Any:
        """The words of a type that reads its own JSON."""
        kind = _kind_of(value)
        if kind == "number" and go_type == "int32":
            kind = f"number {gofloat.json(value)}"
        return self.fail(f"json: cannot unmarshal {kind} into Go value of type {go_type}")

    def integer(self, value: Any, go_type: str, low: int, high: int) -> Any:
        """Integral floats are taken, and what is too large wraps."""
        if isinstance(value, float) and value.is_integer():
            value = int(value) if abs(value) < 0x7FFFFFFFFFFFFFFF else -0x8000000000000000  # as such processors do it
        if type(value) is int and not low <= value <= high:
            return (value - low) % (high - low + 1) + low
        return super().integer(value, go_type, low, high)
