"""What the paths of a custom resource's scale subresource lead to has to be counts, and a selector that is a text.

Called by registry/crd_kind when instances are written. The scale subresource itself: handlers/subresources/scale.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.patch import gotext
from apiserver.registry.kind import Ctx, Obj, Scale

_MOST = (1 << 31) - 1


class _WrongType(ValueError):
    pass


def check_spec(obj: Obj, scale: Scale) -> list[FieldError]:
    """What is wrong with the wanted count."""
    return _check_count(obj, scale.spec_replicas)


def check_status(obj: Obj, scale: Scale) -> list[FieldError]:
    """What is wrong with the observed count and the selector."""
    found = _check_count(obj, scale.status_replicas)
    if scale.selector:
        try:
            _at(obj, scale.selector, str, "string", "")
        except _WrongType as error:
            found.append(field.invalid(scale.selector, "", str(error)))
    return found


def _check_count(obj: Obj, path: str) -> list[FieldError]:
    try:
        count = _at(obj, path, int, "int64", 0)
    except _WrongType as error:
        return [field.invalid(path, 0, str(error))]
    if count < 0:
        return [field.invalid(path, count, "should be a non-negative integer")]
    if count > _MOST:
        return [field.invalid(path, count, f"should be less than or equal to {_MOST}")]
    return []


def check_written(obj: Obj, scale: Scale, ctx: Ctx) -> list[FieldError]:
    """A wanted count that was written as a fraction (1.0), which decoding took for the integer that it is."""
    name = scale.spec_replicas.rpartition(".")[2]
    body = ctx.patched.body if ctx.patched is not None else ctx.sent
    if not body or not re.search(rb'%s"?[^0-9]{0,40}[0-9]+[.eE]' % re.escape(name.encode()), body):
        return []
    try:
        document = ctx.patched.document if ctx.patched is not None else orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    try:
        _at(document, scale.spec_replicas, int, "int64", 0)
    except _WrongType as error:
        return [field.invalid(scale.spec_replicas, 0, str(error))]
    return []


def _at(obj: Obj, path: str, wanted: type, go_type: str, absent: Any) -> Any:
    """The value there. The path is taken as names between dots, whatever else it says."""
    value: Any = obj
    names = path.removeprefix(".").split(".")
    for position, name in enumerate(names):
        if value is None:
            return absent
        if not isinstance(value, dict):
            raise _WrongType(_text(names[: position + 1], value, "map[string]interface{}"))
        if name not in value:
            return absent
        value = value[name]
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise _WrongType(_text(names, value, go_type))
    return value


def _text(names: list[str], value: Any, wanted: str) -> str:
    kind = "<nil>" if value is None else gotext.type_name(value)
    return f".{'.'.join(names)} accessor error: {gotext.value(value)} is of the type {kind}, expected {wanted}"
