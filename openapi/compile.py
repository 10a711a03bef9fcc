"""The fast path of decoding: a closure per type that checks, prunes and canonicalises, and gives up on anything unusual.

Called through TypeInfo.decoder. A closure returns the value as the original would write it again, OMIT for a value it would
leave out, and raises Slow for whatever is not plainly right; openapi.explain then walks the value once more and says what.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from apimachinery import quantity
from openapi import gofloat, scalars
from openapi.schemas import Field, TypeInfo

Decode = Callable[[Any], Any]


class Slow(Exception):
    """The value needs openapi.explain. A new one each time: an exception that is kept keeps what its tracebacks saw."""


class _Omit:
    def __repr__(self) -> str:
        return "OMIT"


OMIT: Any = _Omit()
_STRING = object()  # marks a plain optional string, the most frequent field, so that it costs no call
_PLAIN_TIME = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ").fullmatch
_MICRO_TIME = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z"
).fullmatch


def decoder(info: TypeInfo) -> Decode:
    """The closure for a value of that type standing on its own (an element, or a whole object); null becomes its zero."""
    if info.kind == "struct":
        return _struct(info)
    if info.kind == "map":
        assert info.elem is not None
        return _map(info.elem)
    if info.kind == "list":
        assert info.elem is not None
        return _list(info.elem)
    return _SCALARS.get(info.code, _any)


# -- scalars: the value, canonical; null is Slow except where said


def _string(value: Any) -> Any:
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise Slow


def _int32(value: Any) -> Any:
    if type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF:
        return value
    raise Slow


def _int64(value: Any) -> Any:
    if type(value) is int and -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return value
    raise Slow


def _bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    raise Slow


def _float(value: Any) -> Any:
    if type(value) is int:
        return value
    if type(value) is float:
        return gofloat.plain(value)
    raise Slow


def _bytes(value: Any) -> Any:
    if type(value) is str:
        try:
            return scalars.canonical_base64(value)
        except ValueError:
            raise Slow from None
    raise Slow


def _quantity(value: Any) -> Any:
    if type(value) is str or type(value) is int:
        try:
            return quantity.canonical(value)
        except ValueError:
            raise Slow from None
    raise Slow


def _int_or_string(value: Any) -> Any:
    if type(value) is str or (type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF):
        return value
    raise Slow


def _time(value: Any) -> Any:
    if type(value) is str and _PLAIN_TIME(value) and value[:4] != "0000":
        return value
    raise Slow


def _micro_time(value: Any) -> Any:
    if type(value) is str and _MICRO_TIME(value) and value[:4] != "0000":
        return value
    raise Slow


def _any(value: Any) -> Any:
    return value


def _schema_or_bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    return _schema(value)


def _schema_or_array(value: Any) -> Any:
    if type(value) is list:
        if not value:
            raise Slow  # as good as absent
        return [_schema(item) for item in value]
    return _schema(value)


def _schema_or_strings(value: Any) -> Any:
    if type(value) is list:
        return [_string(item) for item in value]
    return _schema(value)


def _schema(value: Any) -> Any:
    from openapi import schemas

    return (
        schemas.load().type("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps").decoder(value)
    )


def _slow(_: Any) -> Any:
    raise Slow


_SCALARS: dict[str, Decode] = {
    "s": _string,
    "i32": _int32,
    "i64": _int64,
    "b": _bool,
    "d": _float,
    "y": _bytes,
    "Q": _quantity,
    "I": _int_or_string,
    "T": _time,
    "M": _micro_time,
    "D": _slow,
    "JB": _schema_or_bool,
    "JA": _schema_or_array,
    "JS": _schema_or_strings,
}


# -- composites


def _map(elem: TypeInfo) -> Decode:
    if elem.code == "s":

        def decode_strings(value: Any) -> Any:
            if type(value) is not dict:
                raise Slow
            for item in value.values():
                if type(item) is not str:
                    raise Slow
            return value

        return decode_strings
    decode_item = elem.decoder

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise Slow
        return {key: decode_item(item) for key, item in value.items()}

    return decode


def _list(elem: TypeInfo) -> Decode:
    if elem.code == "s":

        def decode_strings(value: Any) -> Any:
            if type(value) is not list:
                raise Slow
            for item in value:
                if type(item) is not str:
                    raise Slow
            return value

        return decode_strings
    decode_item: Decode | None = None

    def decode(value: Any) -> Any:
        nonlocal decode_item
        if type(value) is not list:
            raise Slow
        if decode_item is None:
            decode_item = elem.decoder  # late: the element's type may hold this list
        return [decode_item(item) for item in value]

    return decode


def zero(field: Field) -> Any:
    """What Go writes for a field that is not set: OMIT, or its zero value."""
    info = field.type
    if field.pointer or info.kind in ("map", "list", "any") or info.code == "y":
        return OMIT if field.omitempty else None
    if info.kind == "struct":
        return OMIT if field.omitzero else info.decoder({})
    if info.code in ("T", "M", "D", "Q", "I"):
        if field.omitzero:
            return OMIT
        return {"T": None, "M": None, "D": "0s", "Q": "0", "I": 0}[info.code]
    if field.omitempty:
        return OMIT
    return {"s": "", "b": False, "i32": 0, "i64": 0, "d": 0}[info.code]


def _struct(info: TypeInfo) -> Decode:
    decoders: dict[str, Any] = {}
    fills: list[tuple[str, Any, bool]] = []
    ready = False

    def prepare() -> None:
        # Late, since a type may hold itself.
        nonlocal ready
        ready = True
        for name, field in info.fields.items():
            decoders[name] = _field(field)
            value = zero(field)
            if value is not OMIT:
                fills.append((name, value, isinstance(value, dict)))

    def decode(value: Any) -> Any:
        if not ready:
            prepare()
        if type(value) is not dict:
            raise Slow
        out = {}
        for key, item in value.items():
            step = decoders.get(key)
            if step is _STRING:
                if type(item) is str:
                    if item:
                        out[key] = item
                    continue
                if item is None:
                    continue
                raise Slow
            if step is None:
                raise Slow
            if item is not None:
                item = step(item)
                if item is not OMIT:
                    out[key] = item
        for key, default, fresh in fills:
            if key not in out:
                out[key] = copy_json(default) if fresh else default
        return out

    return decode


def copy_json(value: Any) -> Any:
    """A deep copy of a small JSON value."""
    if type(value) is dict:
        return {key: copy_json(item) for key, item in value.items()}
    if type(value) is list:
        return [copy_json(item) for item in value]
    return value


def _field(field: Field) -> Any:
    """The closure for a struct's field: as its type's, and OMIT for what Go leaves out."""
    info = field.type
    if info.code == "s" and field.omitempty and not field.pointer:
        return _STRING
    decode = _lazy(info) if info.kind in ("struct", "list", "map") else decoder(info)
    if field.pointer or info.kind == "any" or info.code in ("T", "M", "Q", "I", "D"):
        return decode
    if field.name == "managedFields":
        return _telling_empty(decode)
    if info.kind == "struct":
        return _omitting_zero(decode, info) if field.omitzero else decode
    if field.omitempty or info.code == "y":

        def decode_or_omit(value: Any) -> Any:
            value = decode(value)
            return value if value else OMIT

        return decode_or_omit
    return decode


def _telling_empty(decode: Decode) -> Decode:
    """An empty list is kept in an object's own metadata alone, and the slow path knows where that is."""

    def decode_or_give_up(value: Any) -> Any:
        value = decode(value)
        if not value:
            raise Slow
        return value

    return decode_or_give_up


def _omitting_zero(decode: Decode, info: TypeInfo) -> Decode:
    def decode_or_omit(value: Any) -> Any:
        value = decode(value)
        return OMIT if value == info.decoder({}) else value

    return decode_or_omit


def _lazy(info: TypeInfo) -> Decode:
    """The type's decoder, made at its first use: types may hold themselves."""
    found: Decode | None = None

    def decode(value: Any) -> Any:
        nonlocal found
        if found is None:
            found = info.decoder
        return found(value)

    return decode
