"""OpenAPI v3 documents in gnostic's protobuf form (openapi.v3.Document), which newer clients may ask for instead of JSON.

As gnostic.py, of which it takes the wire format: tables of the published field numbers, for what our documents hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openapi.gnostic import anything, double, extensions, flag, integer, message, named, text, texts

Json = dict[str, Any]


def encode(document: Json) -> bytes:
    """The document as an openapi.v3.Document."""
    info, components = document["info"], document.get("components", {})
    paths = b"".join(named(1, path, _item(item)) for path, item in document["paths"].items())
    schemas = b"".join(named(1, name, _schema(schema)) for name, schema in components.get("schemas", {}).items())
    security = b"".join(
        named(1, name, message(1, _scheme(scheme))) for name, scheme in components.get("securitySchemes", {}).items()
    )
    parts = (message(1, schemas) if schemas else b"", message(7, security) if security else b"")
    return b"".join(
        (
            text(1, document["openapi"]),
            message(2, text(1, info["title"]) + text(6, info["version"])),
            message(4, paths),
            message(5, b"".join(parts)),
        )
    )


def _default(value: Any) -> bytes:
    """Numbers, booleans and texts; nothing for what has no form here."""
    if isinstance(value, bool):
        return message(33, b"\x10\x01" if value else b"\x10\x00")
    if value == {}:
        return message(33, b"")
    if isinstance(value, (int, float)):
        return message(33, double(1, value))
    return message(33, message(3, value.encode())) if isinstance(value, str) else b""


def _additional(value: Any) -> bytes:
    return message(32, message(1, _schema(value)) if isinstance(value, dict) else flag(2, value))


_FIELDS: dict[str, Callable[[Any], bytes]] = {
    "nullable": lambda value: flag(1, value),
    "example": lambda value: anything(7, value),
    "title": lambda value: text(9, value),
    "multipleOf": lambda value: double(10, value),
    "maximum": lambda value: double(11, value),
    "exclusiveMaximum": lambda value: flag(12, value),
    "minimum": lambda value: double(13, value),
    "exclusiveMinimum": lambda value: flag(14, value),
    "maxLength": lambda value: integer(15, value),
    "minLength": lambda value: integer(16, value),
    "pattern": lambda value: text(17, value),
    "maxItems": lambda value: integer(18, value),
    "minItems": lambda value: integer(19, value),
    "uniqueItems": lambda value: flag(20, value),
    "maxProperties": lambda value: integer(21, value),
    "minProperties": lambda value: integer(22, value),
    "required": lambda value: texts(23, value),
    "enum": lambda value: b"".join(anything(24, item) for item in value),
    "type": lambda value: text(25, value),
    "allOf": lambda value: b"".join(message(26, _schema(item)) for item in value),
    "oneOf": lambda value: b"".join(message(27, _schema(item)) for item in value),
    "anyOf": lambda value: b"".join(message(28, _schema(item)) for item in value),
    "not": lambda value: message(29, _bare(value)),
    "items": lambda value: message(30, message(1, _schema(value))),
    "properties": lambda value: message(31, b"".join(named(1, name, _schema(item)) for name, item in value.items())),
    "additionalProperties": _additional,
    "default": _default,
    "description": lambda value: text(34, value),
    "format": lambda value: text(35, value),
}


def _schema(schema: Json) -> bytes:
    """A SchemaOrReference."""
    if "$ref" in schema:
        return message(2, text(1, schema["$ref"]))
    return message(1, _bare(schema))


def _bare(schema: Json) -> bytes:
    parts = [_FIELDS[key](value) for key, value in schema.items() if key in _FIELDS]
    return b"".join(parts) + extensions(36, schema)


_METHODS = {"get": 4, "put": 5, "post": 6, "delete": 7, "options": 8, "head": 9, "patch": 10}


def _item(item: Json) -> bytes:
    operations = b"".join(message(number, _operation(item[name])) for name, number in _METHODS.items() if name in item)
    return operations + b"".join(message(13, message(1, _parameter(value))) for value in item.get("parameters", ()))


def _operation(operation: Json) -> bytes:
    body = operation.get("requestBody")
    responses = b"".join(
        named(2, code, message(1, _response(response))) for code, response in operation["responses"].items()
    )
    return b"".join(
        (
            texts(1, operation.get("tags", [])),
            text(3, operation.get("description", "")),
            text(5, operation.get("operationId", "")),
            b"".join(message(6, message(1, _parameter(value))) for value in operation.get("parameters", ())),
            message(7, message(1, _content(2, body) + flag(3, body.get("required")))) if body else b"",
            message(8, responses),
            extensions(13, operation),
        )
    )


def _content(number: int, source: Json) -> bytes:
    media = source.get("content")
    if not media:
        return b""
    entries = (named(1, name, message(1, _schema(value["schema"]))) for name, value in media.items())
    return message(number, b"".join(entries))


def _response(response: Json) -> bytes:
    return text(1, response["description"]) + _content(3, response)


def _parameter(parameter: Json) -> bytes:
    return b"".join(
        (
            text(1, parameter["name"]),
            text(2, parameter["in"]),
            text(3, parameter.get("description", "")),
            flag(4, parameter.get("required")),
            message(10, _schema(parameter["schema"])),
        )
    )


def _scheme(value: Json) -> bytes:
    return text(1, value["type"]) + text(2, value["description"]) + text(3, value["name"]) + text(4, value["in"])
