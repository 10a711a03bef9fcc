"""Built-in kinds in protobuf (application/vnd.kubernetes.protobuf), driven by the field numbers in the types' data.

    read(raw) -> (apiVersion, kind, body)     the envelope: "k8s\\0" and a runtime.Unknown
    decode(info, body) -> object              as JSON would have it, not yet canonical: run it through info.decode()
    write(apiVersion, kind, body) / encode(info, obj)    the way back

Kinds whose JSON embeds a struct have a message of its own for it in protobuf: a field's number is then a path, "2.1".
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from openapi import scalars, schemas
from openapi.schemas import Field, TypeInfo

MAGIC = b"k8s\x00"
MAX_DEPTH = 200
Json = dict[str, Any]


class ProtobufError(ValueError):
    """Bytes that are not what they should be."""


# -- envelope


def read(raw: bytes) -> tuple[str, str, bytes]:
    if not raw.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    api_version = kind = ""
    body = b""
    for number, value in _fields(raw[4:]):
        if number == 1 and isinstance(value, bytes):
            for inner, text in _fields(value):
                if isinstance(text, bytes) and inner == 1:
                    api_version = _utf8(text)
                elif isinstance(text, bytes) and inner == 2:
                    kind = _utf8(text)
        elif number == 2 and isinstance(value, bytes):
            body = value
    return api_version, kind, body


def write(api_version: str, kind: str, body: bytes) -> bytes:
    names = _bytes(1, api_version.encode()) + _bytes(2, kind.encode())
    return MAGIC + _bytes(1, names) + _bytes(2, body) + _bytes(3, b"") + _bytes(4, b"")


def list_message(meta: Json, items: Iterable[bytes]) -> bytes:
    """The message of any list: ListMeta, and the items' own messages."""
    info = schemas.load().type("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")
    return _bytes(1, encode(info, meta)) + b"".join([_bytes(2, item) for item in items])


def metadata_message(meta: Json) -> bytes:
    """The message of a PartialObjectMetadata."""
    info = schemas.load().type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    return _bytes(1, encode(info, meta))


def watch_frame(kind: str, wrapped: bytes) -> bytes:
    """One event of a watch: its length in four bytes, then WatchEvent with the object in its envelope."""
    event = _bytes(1, kind.encode()) + _bytes(2, _bytes(1, wrapped))
    return len(event).to_bytes(4, "big") + event


# -- wire format


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    try:
        while True:
            byte = data[position]
            position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
            if shift > 63:
                raise ProtobufError("proto: integer overflow")
    except IndexError:
        raise ProtobufError("unexpected EOF") from None


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(number, value) of each field: int for varints, float for doubles, bytes for what has a length."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ProtobufError(f"proto: illegal tag 0 (wire type {wire})")
        if wire == 2:
            length, position = _varint(data, position)
            if position + length > end:
                raise ProtobufError("unexpected EOF")
            yield number, data[position : position + length]
            position += length
        elif wire == 0:
            value, position = _varint(data, position)
            yield number, value
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if position + size > end:
                raise ProtobufError("unexpected EOF")
            yield number, struct.unpack_from("<d" if wire == 1 else "<f", data, position)[0]
            position += size
        else:
            raise ProtobufError(f"proto: illegal wireType {wire}")


def _utf8(value: Any) -> str:
    if not isinstance(value, bytes):
        raise ProtobufError("proto: wrong wireType for a string")
    return value.decode("utf-8", "replace")


def _signed(value: Any) -> int:
    if type(value) is not int:
        raise ProtobufError("proto: wrong wireType for an integer")
    return value - (1 << 64) if value >= 1 << 63 else value


def _message(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("proto: wrong wireType for a message")
    return value


# -- decoding

_MESSAGES = ("v1.Verbs",)  # named lists that are messages of their own, so that an empty one is told from none
_Table = dict[int, Any]  # number -> Field, or the table of an embedded message
_tables: dict[str, _Table] = {}


def _table(info: TypeInfo) -> _Table:
    table = _tables.get(info.name)
    if table is None:
        table = {}
        for field in info.fields.values():
            if not field.number:
                continue
            at = table
            *outer, last = map(int, field.number.split("."))
            for number in outer:
                at = at.setdefault(number, {})
            at[last] = {1: field} if field.go in _MESSAGES else field
        _tables[info.name] = table
    return table


def decode(info: TypeInfo, body: bytes) -> Json:
    """The object that the message is. ProtobufError."""
    out: Json = {}
    _decode_struct(_table(info), body, out, 0)
    return out


def _decode_struct(table: _Table, body: bytes, out: Json, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ProtobufError("proto: exceeded max depth")
    for number, value in _fields(body):
        field = table.get(number)
        if field is None:
            continue
        if isinstance(field, dict):
            _decode_struct(field, _message(value), out, depth + 1)
            continue
        info = field.type
        if info.kind == "list":
            assert info.elem is not None
            items = out.setdefault(field.name, [])
            if isinstance(value, bytes) and info.elem.code in ("i32", "i64"):
                items.extend(_packed(value))
            else:
                items.append(_decode(info.elem, value, depth))
        elif info.kind == "map":
            assert info.elem is not None
            key, item = _entry(info.elem, _message(value), depth)
            out.setdefault(field.name, {})[key] = item
        else:
            out[field.name] = _decode(info, value, depth)


def _packed(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield _signed(value)


def _entry(elem: TypeInfo, data: bytes, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for number, item in _fields(data):
        if number == 1:
            key = _utf8(item)
        elif number == 2:
            value = _decode(elem, item, depth)
    if value is None:
        value = _decode(elem, b"", depth) if elem.kind != "scalar" or elem.code in ("s", "y", "Q", "T", "M") else 0
    return key, value


def _decode(info: TypeInfo, value: Any, depth: int) -> Any:
    if info.kind == "struct":
        out: Json = {}
        _decode_struct(_table(info), _message(value), out, depth + 1)
        return out
    if info.kind == "list":  # a named list as a map's value is a message with its items
        assert info.elem is not None
        return [_decode(info.elem, item, depth) for number, item in _fields(_message(value)) if number == 1]
    return _SCALARS[info.code](value, depth)


def _parts(value: Any) -> dict[int, Any]:
    return dict(_fields(_message(value)))


def _quantity(value: Any, _: int) -> str:
    return _utf8(_parts(value).get(1, b"")) or "0"


def _int_or_string(value: Any, _: int) -> int | str:
    parts = _parts(value)
    return _utf8(parts.get(3, b"")) if parts.get(1, 0) == 1 else _signed(parts.get(2, 0))


def _time(value: Any, _: int) -> str | None:
    parts = _parts(value)
    if not parts:
        return None
    from apimachinery import times

    return times.format_time(_signed(parts.get(1, 0)))


def _micro_time(value: Any, _: int) -> str | None:
    parts = _parts(value)
    if not parts:
        return None
    from apimachinery import times

    text = times.format_time(_signed(parts.get(1, 0)))
    return f"{text[:-1]}.{_signed(parts.get(2, 0)) // 1000:06d}Z"


def _raw_json(value: Any, _: int) -> Any:
    raw = _message(_parts(value).get(1, b""))
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise ProtobufError("proto: a raw value is no JSON") from None


def _schema(value: Any, depth: int) -> Json:
    info = schemas.load().type(_SCHEMA)
    out: Json = {}
    _decode_struct(_table(info), _message(value), out, depth + 1)
    return out


_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


def _schema_or_bool(value: Any, depth: int) -> Any:
    parts = _parts(value)
    return _schema(parts[2], depth) if 2 in parts else bool(parts.get(1, 0))


def _schema_or_array(value: Any, depth: int) -> Any:
    found = list(_fields(_message(value)))
    single = [item for number, item in found if number == 1]
    return _schema(single[0], depth) if single else [_schema(item, depth) for number, item in found if number == 2]


def _schema_or_strings(value: Any, depth: int) -> Any:
    found = list(_fields(_message(value)))
    single = [item for number, item in found if number == 1]
    return _schema(single[0], depth) if single else [_utf8(item) for number, item in found if number == 2]


_SCALARS: dict[str, Callable[[Any, int], Any]] = {
    "s": lambda value, _: _utf8(value),
    "b": lambda value, _: bool(value),
    "i32": lambda value, _: _signed(value),
    "i64": lambda value, _: _signed(value),
    "d": lambda value, _: value,
    "y": lambda value, _: base64.b64encode(_message(value)).decode(),
    "Q": _quantity,
    "I": _int_or_string,
    "T": _time,
    "M": _micro_time,
    "D": lambda value, _: scalars.format_duration(_signed(_parts(value).get(1, 0))),
    "R": _raw_json,
    "F": _raw_json,
    "J": _raw_json,
    "JB": _schema_or_bool,
    "JA": _schema_or_array,
    "JS": _schema_or_strings,
}


# -- encoding


def _put_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(number: int, value: str) -> bytes:
    """A field with text."""
    return _bytes(number, value.encode())


def message(number: int, body: bytes) -> bytes:
    """A field with a message."""
    return _bytes(number, body)


def _bytes(number: int, body: bytes) -> bytes:
    return _put_varint(number << 3 | 2) + _put_varint(len(body)) + body


def _int(number: int, value: int) -> bytes:
    return _put_varint(number << 3) + _put_varint(value)


def encode(info: TypeInfo, obj: Json) -> bytes:
    """The object as a message; kind and apiVersion go into the envelope."""
    return _encode_table(_table(info), obj)


def _encode_table(table: _Table, obj: Json) -> bytes:
    out = []
    for number in sorted(table):
        field = table[number]
        if isinstance(field, dict):
            out.append(_bytes(number, _encode_table(field, obj)))
            continue
        value = obj.get(field.name)
        if value is not None:
            out.append(_encode_field(number, field, value))
    return b"".join(out)


def _encode_field(number: int, field: Field, value: Any) -> bytes:
    info = field.type
    if info.kind == "list":
        assert info.elem is not None
        return b"".join(_encode(number, info.elem, item) for item in value)
    if info.kind == "map":
        assert info.elem is not None
        entries = (_bytes(1, key.encode()) + _encode(2, info.elem, value[key]) for key in sorted(value))
        return b"".join(_bytes(number, entry) for entry in entries)
    return _encode(number, info, value)


def _encode(number: int, info: TypeInfo, value: Any) -> bytes:
    if info.kind == "struct":
        return _bytes(number, _encode_table(_table(info), value))
    if info.kind == "list":
        assert info.elem is not None
        return _bytes(number, b"".join(_encode(1, info.elem, item) for item in value))
    return _ENCODERS[info.code](number, value)


def _encode_time(number: int, value: str | None) -> bytes:
    if value is None:
        return _bytes(number, b"")
    from apimachinery import times

    seconds = int(times.parse_time(value[:19] + "Z"))
    nanos = int(value[20:26]) * 1000 if value[19] == "." else 0
    return _bytes(number, _int(1, seconds) + _int(2, nanos))


def _encode_int_or_string(number: int, value: int | str) -> bytes:
    if isinstance(value, str):
        return _bytes(number, _int(1, 1) + _int(2, 0) + _bytes(3, value.encode()))
    return _bytes(number, _int(1, 0) + _int(2, value) + _bytes(3, b""))


def _encode_raw(number: int, value: Any) -> bytes:
    return _bytes(number, _bytes(1, orjson.dumps(value)))


def _encode_schema(value: Json) -> bytes:
    return _encode_table(_table(schemas.load().type(_SCHEMA)), value)


def _encode_schema_or_bool(number: int, value: Any) -> bytes:
    if isinstance(value, bool):
        return _bytes(number, _int(1, value))
    return _bytes(number, _int(1, 1) + _bytes(2, _encode_schema(value)))


def _encode_schema_or_array(number: int, value: Any) -> bytes:
    if isinstance(value, list):
        return _bytes(number, b"".join(_bytes(2, _encode_schema(item)) for item in value))
    return _bytes(number, _bytes(1, _encode_schema(value)))


def _encode_schema_or_strings(number: int, value: Any) -> bytes:
    if isinstance(value, list):
        return _bytes(number, b"".join(_bytes(2, item.encode()) for item in value))
    return _bytes(number, _bytes(1, _encode_schema(value)))


_ENCODERS: dict[str, Callable[[int, Any], bytes]] = {
    "s": lambda number, value: _bytes(number, value.encode()),
    "b": lambda number, value: _int(number, value),
    "i32": _int,
    "i64": _int,
    "d": lambda number, value: _put_varint(number << 3 | 1) + struct.pack("<d", value),
    "y": lambda number, value: _bytes(number, base64.b64decode(value)),
    "Q": lambda number, value: _bytes(number, _bytes(1, value.encode())),
    "I": _encode_int_or_string,
    "T": _encode_time,
    "M": _encode_time,
    "D": lambda number, value: _bytes(number, _int(1, scalars.parse_duration(value))),
    "R": _encode_raw,
    "F": _encode_raw,
    "J": _encode_raw,
    "JB": _encode_schema_or_bool,
    "JA": _encode_schema_or_array,
    "JS": _encode_schema_or_strings,
}
