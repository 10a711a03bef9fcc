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
        text(1, document["swagger"]),
        message(2, text(1, document["info"]["title"]) + text(2, document["info"]["version"])),
        message(8, _paths(document["paths"])),
        message(9, b"".join(named(1, name, _schema(schema)) for name, schema in document["definitions"].items())),
    ]
    for requirement in document.get("security", ()):
        entries = b"".join(named(1, name, texts(1, scopes)) for name, scopes in requirement.items())
        out.append(message(12, entries))
    definitions = b"".join(
        named(1, name, message(2, _api_key(value))) for name, value in document.get("securityDefinitions", {}).items()
    )
    out.append(message(13, definitions))
    return b"".join(out)


# -- wire format


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def text(number: int, value: str) -> bytes:
    return message(number, value.encode()) if value else b""


def texts(number: int, values: list[str]) -> bytes:
    return b"".join(message(number, value.encode()) for value in values)


def flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF) if value else b""


def double(number: int, value: float) -> bytes:
    import struct

    return _varint(number << 3 | 1) + struct.pack("<d", value)


def named(number: int, name: str, value: bytes) -> bytes:
    return message(number, text(1, name) + message(2, value))


def anything(number: int, value: Any) -> bytes:
    """An Any holds YAML; JSON is YAML."""
    return message(number, text(2, orjson.dumps(value).decode() + "\n"))


def extensions(number: int, source: Json) -> bytes:
    return b"".join(
        named(number, name, text(2, orjson.dumps(value).decode() + "\n"))
        for name, value in source.items()
        if name.startswith("x-")
    )


# -- messages


_SCHEMA_FIELDS: dict[str, Callable[[Any], bytes]] = {
    "$ref": lambda value: text(1, value),
    "format": lambda value: text(2, value),
    "title": lambda value: text(3, value),
    "description": lambda value: text(4, value),
    "default": lambda value: anything(5, value),
    "multipleOf": lambda value: double(6, value),
    "maximum": lambda value: double(7, value),
    "exclusiveMaximum": lambda value: flag(8, value),
    "minimum": lambda value: double(9, value),
    "exclusiveMinimum": lambda value: flag(10, value),
    "maxLength": lambda value: integer(11, value),
    "minLength": lambda value: integer(12, value),
    "pattern": lambda value: text(13, value),
    "maxItems": lambda value: integer(14, value),
    "minItems": lambda value: integer(15, value),
    "uniqueItems": lambda value: flag(16, value),
    "maxProperties": lambda value: integer(17, value),
    "minProperties": lambda value: integer(18, value),
    "required": lambda value: texts(19, value),
    "enum": lambda value: b"".join(anything(20, item) for item in value),
    "additionalProperties": lambda value: message(
        21,
        message(1, _schema(value)) if isinstance(value, dict) else _varint(2 << 3) + (b"\x01" if value else b"\x00"),
    ),
    "type": lambda value: message(22, texts(1, value if isinstance(value, list) else [value])),
    "items": lambda value: message(23, message(1, _schema(value))),
    "allOf": lambda value: b"".join(message(24, _schema(item)) for item in value),
    "properties": lambda value: message(25, b"".join(named(1, name, _schema(item)) for name, item in value.items())),
    "example": lambda value: anything(30, value),
}


def _schema(schema: Json) -> bytes:
    parts = [_SCHEMA_FIELDS[key](value) for key, value in schema.items() if key in _SCHEMA_FIELDS]
    return b"".join(parts) + extensions(31, schema)


def _paths(paths: Json) -> bytes:
    return b"".join(named(2, path, _item(item)) for path, item in paths.items())


_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def _item(item: Json) -> bytes:
    operations = b"".join(message(number, _operation(item[name])) for name, number in _METHODS.items() if name in item)
    parameters = b"".join(message(9, message(1, _parameter(value))) for value in item.get("parameters", ()))
    return operations + parameters


def _operation(operation: Json) -> bytes:
    responses = b"".join(
        named(1, code, message(1, _response(response))) for code, response in operation["responses"].items()
    )
    return b"".join(
        (
            texts(1, operation.get("tags", [])),
            text(3, operation.get("description", "")),
            text(5, operation.get("operationId", "")),
            texts(6, operation.get("produces", [])),
            texts(7, operation.get("consumes", [])),
            b"".join(message(8, message(1, _parameter(value))) for value in operation.get("parameters", ())),
            message(9, responses),
            texts(10, operation.get("schemes", [])),
            extensions(13, operation),
        )
    )


def _response(response: Json) -> bytes:
    schema = message(2, message(1, _schema(response["schema"]))) if "schema" in response else b""
    return text(1, response["description"]) + schema


def _parameter(parameter: Json) -> bytes:
    """A Parameter: of the body, of the query or of the path."""
    if parameter["in"] == "body":
        body = b"".join(
            (
                text(1, parameter.get("description", "")),
                text(2, parameter["name"]),
                text(3, "body"),
                flag(4, parameter.get("required")),
                message(5, _schema(parameter["schema"])),
            )
        )
        return message(1, body)
    start = b"".join(
        (
            flag(1, parameter.get("required")),
            text(2, parameter["in"]),
            text(3, parameter.get("description", "")),
            text(4, parameter["name"]),
        )
    )
    if parameter["in"] == "query":
        value = start + text(6, parameter.get("type", "")) + flag(20, parameter.get("uniqueItems"))
        return message(2, message(3, value))
    value = start + text(5, parameter.get("type", "")) + flag(19, parameter.get("uniqueItems"))
    return message(2, message(4, value))


def _api_key(value: Json) -> bytes:
    return text(1, value["type"]) + text(2, value["name"]) + text(3, value["in"]) + text(4, value["description"])
