"""ControllerRevision of apps/v1: a frozen state of a StatefulSet or DaemonSet.

`data` never changes, and the original compares it by its bytes: as a client sent them in a create or PUT, compact after
a patch. So a text that is not what Go would write is stored beside the value.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import field, rawjson
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta, names, numbers

_STORED_TEXT = "dataAsSent"  # only in storage: no client sees it, and what a client sends by that name is pruned


class _Data(dict[str, Any]):
    """data, with its text."""

    text: str


def _with_text(value: Any, text: str) -> Any:
    if not isinstance(value, dict):
        return value
    data = _Data(value)
    data.text = text
    return data


def _text(value: Any) -> str:
    return value.text if isinstance(value, _Data) else _usual(value)


def _usual(value: Any) -> str:
    """The text that clients in Go send."""
    return rawjson.compact(orjson.dumps(value).decode())


class ControllerRevision(Kind):
    group = "apps"
    kind = "ControllerRevision"
    plural = "controllerrevisions"
    columns = (
        NAME_COLUMN,
        Column("Controller", description="Controller of the object"),
        Column("Revision", doc="revision"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [
            obj["metadata"]["name"],
            cells.controller(obj),
            obj.get("revision", 0),
            cells.age(obj, clock),
        ]

    def on_read(self, obj: Obj, version: str) -> None:
        text = obj.pop(_STORED_TEXT, None)
        if text is not None:
            obj["data"] = _with_text(obj["data"], text)

    def on_write(self, obj: Obj) -> None:
        data = obj.get("data")
        if isinstance(data, _Data) and data.text != _usual(data):
            obj[_STORED_TEXT] = data.text

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        data = obj.get("data")
        obj["data"] = _with_text(data, _sent(ctx) or _usual(data))

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        data = obj.get("data")
        if ctx.patched is None and isinstance(data, _Data):
            return  # applied, and found unchanged
        as_before = _text(old.get("data")) if _usual(data) == _usual(old.get("data")) else _usual(data)
        obj["data"] = _with_text(data, _sent(ctx) or rawjson.compact(as_before))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = numbers.non_negative(obj.get("revision"), "revision")
        data = obj.get("data")
        if data is None:
            errors.append(field.required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            errors.append(field.required("data", "data must be a valid JSON object"))
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = meta.validate_object_meta(obj["metadata"], True, names.dns_subdomain, core=True)
        errors += numbers.non_negative(obj.get("revision"), "revision")
        if _text(obj.get("data")) != _text(old.get("data")):
            errors.append(field.invalid("data", obj.get("data"), meta.IMMUTABLE))
        return errors


def _sent(ctx: Ctx) -> str | None:
    """The text of data in the request, if that held the whole object as JSON."""
    return rawjson.member(ctx.sent.decode("utf-8", "replace"), "data") if ctx.sent else None
