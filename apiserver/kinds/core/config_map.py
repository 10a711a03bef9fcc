"""ConfigMap: configuration as text and bytes; may be made immutable."""

from __future__ import annotations

import base64
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta, names

SIZE_LIMIT = 1024 * 1024  # bytes of all values together
FROZEN = "field is immutable when `immutable` is set"


class ConfigMapKind(Kind):
    kind = "ConfigMap"
    plural = "configmaps"
    revalidates_metadata = 1
    short_names = ("cm",)
    columns = (NAME_COLUMN, Column("Data", doc="data"), AGE_COLUMN)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        errors: list[FieldError] = []
        for key in data:
            errors += validate_key(key, "data")
            if key in binary:
                errors.append(field.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key in binary:
            errors += validate_key(key, "binaryData")
        if sum(len(value.encode()) for value in data.values()) + decoded_size(binary) > SIZE_LIMIT:
            errors.append(field.too_long("[]", SIZE_LIMIT))
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return validate_frozen(obj, old, "data", "binaryData") + self.validate(ctx, obj)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        count = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
        return [obj["metadata"].get("name", ""), count, cells.age(obj, clock)]


def validate_key(key: str, path: str) -> list[FieldError]:
    return [field.invalid(f"{path}[{key}]", key, text) for text in names.config_map_key(key)]


def decoded_size(values: dict[str, str]) -> int:
    """Bytes behind base64 values."""
    return sum(len(base64.b64decode(value)) for value in values.values())


def validate_frozen(new: Obj, old: Obj, *fields: str) -> list[FieldError]:
    """What is marked immutable keeps that mark and these fields."""
    if not old.get("immutable"):
        return []
    errors = [] if new.get("immutable") else [field.forbidden("immutable", FROZEN)]
    return errors + [field.forbidden(name, FROZEN) for name in fields if not meta.same(new.get(name), old.get(name))]


CONFIG_MAP = ConfigMapKind()
