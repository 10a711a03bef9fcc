"""OpenAPI v2 documents in gnostic's protobuf form (openapi.v2.Document), the one form of v2 that kubectl reads.

A small encoder driven by tables of the published field numbers: only what our documents hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Json = dict[str, Any]


def encode(document: Json) -> bytes:
    """The document as an openapi.v2.Document."""
    out = [
        _text(1, document["swagger"]),
        _message(2, _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])),
        _message(8, _paths(document["paths"])),
        _message(9, b"".join(_named(1, name, _schema(schema)) for name, schema in document["definitions"].items())),
    ]
    for requirement in document.get("security", ()):
        entries = b"".join(_named(1, name, _texts(1, scopes)) for name, scopes in requirement.items())
        out.append(_message(12, entries))
    definitions = b"".join(
        _named(1, name, _message(2, _api_key(value))) for name, value in document.get("securityDefinitions", {}).items()
    )
    out.append(_message(13, definitions))
    return b"".join(out)


# -- wire format


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode()) if value else b""


def _texts(number: int, values: list[str]) -> bytes:
    return b"".join(_message(number, value.encode()) for value in values)


def _flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF) if value else b""


def _double(number: int, value: float) -> bytes:
    import struct

    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _named(number: int, name: str, value: bytes) -> bytes:
    return _message(number, _text(1, name) + _message(2, value))


def _any(number: int, value: Any) -> bytes:
    """An Any holds YAML; JSON is YAML."""
    return _message(number, _text(2, orjson.dumps(value).decode() + "\n"))


def _extensions(number: int, source: Json) -> bytes:
    return b"".join(
        _named(number, name, _text(2, orjson.dumps(value).decode() + "\n"))
        for name, value in source.items()
        if name.startswith("x-")
    )


# -- messages


_SCHEMA_FIELDS: dict[str, Callable[[Any], bytes]] = {
    "$ref": lambda value: _text(1, value),
    "format": lambda value: _text(2, value),
    "title": lambda value: _text(3, value),
    "description": lambda value: _text(4, value),
    "default": lambda value: _any(5, value),
    "multipleOf": lambda value: _double(6, value),
    "maximum": lambda value: _double(7, value),
    "exclusiveMaximum": lambda value: _flag(8, value),
    "minimum": lambda value: _double(9, value),
    "exclusiveMinimum": lambda value: _flag(10, value),
    "maxLength": lambda value: _integer(11, value),
    "minLength": lambda value: _integer(12, value),
    "pattern": lambda value: _text(13, value),
    "maxItems": lambda value: _integer(14, value),
    "minItems": lambda value: _integer(15, value),
    "uniqueItems": lambda value: _flag(16, value),
    "maxProperties": lambda value: _integer(17, value),
    "minProperties": lambda value: _integer(18, value),
    "required": lambda value: _texts(19, value),
    "enum": lambda value: b"".join(_any(20, item) for item in value),
    "additionalProperties": lambda value: _message(
        21,
        _message(1, _schema(value)) if isinstance(value, dict) else _varint(2 << 3) + (b"\x01" if value else b"\x00"),
    ),
    "type": lambda value: _message(22, _texts(1, value if isinstance(value, list) else [value])),
    "items": lambda value: _message(23, _message(1, _schema(value))),
    "allOf": lambda value: b"".join(_message(24, _schema(item)) for item in value),
    "properties": lambda value: _message(25, b"".join(_named(1, name, _schema(item)) for name, item in value.items())),
    "example": lambda value: _any(30, value),
}


def _schema(schema: Json) -> bytes:
    parts = [_SCHEMA_FIELDS[key](value) for key, value in schema.items() if key in _SCHEMA_FIELDS]
    return b"".join(parts) + _extensions(31, schema)


def _paths(paths: Json) -> bytes:
    return b"".join(_named(2, path, _item(item)) for path, item in paths.items())


_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def _item(item: Json) -> bytes:
    operations = b"".join(_message(number, _operation(item[name])) for name, number in _METHODS.items() if name in item)
    parameters = b"".join(_message(9, _message(1, _parameter(value))) for value in item.get("parameters", ()))
    return operations + parameters


def _operation(operation: Json) -> bytes:
    responses = b"".join(
        _named(1, code, _message(1, _response(response))) for code, response in operation["responses"].items()
    )
    return b"".join(
        (
            _texts(1, operation.get("tags", [])),
            _text(3, operation.get("description", "")),
            _text(5, operation.get("operationId", "")),
            _texts(6, operation.get("produces", [])),
            _texts(7, operation.get("consumes", [])),
            b"".join(_message(8, _message(1, _parameter(value))) for value in operation.get("parameters", ())),
            _message(9, responses),
            _texts(10, operation.get("schemes", [])),
            _extensions(13, operation),
        )
    )


def _response(response: Json) -> bytes:
    schema = _message(2, _message(1, _schema(response["schema"]))) if "schema" in response else b""
    return _text(1, response["description"]) + schema


def _parameter(parameter: Json) -> bytes:
    """A Parameter: of the body, of the query or of the path."""
    if parameter["in"] == "body":
        body = b"".join(
            (
                _text(1, parameter.get("description", "")),
                _text(2, parameter["name"]),
                _text(3, "body"),
                _flag(4, parameter.get("required")),
                _message(5, _schema(parameter["schema"])),
            )
        )
        return _message(1, body)
    start = b"".join(
        (
            _flag(1, parameter.get("required")),
            _text(2, parameter["in"]),
            _text(3, parameter.get("description", "")),
            _text(4, parameter["name"]),
        )
    )
    if parameter["in"] == "query":
        value = start + _text(6, parameter.get("type", "")) + _flag(20, parameter.get("uniqueItems"))
        return _message(2, _message(3, value))
    value = start + _text(5, parameter.get("type", "")) + _flag(19, parameter.get("uniqueItems"))
    return _message(2, _message(4, value))


def _api_key(value: Json) -> bytes:
    return _text(1, value["type"]) + _text(2, value["name"]) + _text(3, value["in"]) + _text(4, value["description"])
