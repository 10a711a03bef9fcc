"""Object{...} and JSONPatch{...}: what the expressions of mutating policies make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.cel import types, values
from apimachinery.cel.errors import EvalError
from apimachinery.cel.types import FieldType, Type
from apimachinery.cel.values import MISSING, View

OBJECT = types.struct("Object")
JSON_PATCH = types.struct("JSONPatch")
_PATCH_FIELDS = {
    "op": FieldType(types.STRING_TYPE, "op"),
    "path": FieldType(types.STRING_TYPE, "path"),
    "from": FieldType(types.STRING_TYPE, "from"),
    "value": FieldType(types.DYN_TYPE, "value"),
}


class Made(View):
    """A struct that an expression made. Its type is Object, Object.spec, ... or JSONPatch."""

    __slots__ = ("cel_type", "fields")

    def __init__(self, cel_type: Type, fields: dict[str, Any]) -> None:
        self.cel_type = cel_type
        self.fields = fields

    def find(self, key: Any) -> Any:
        return self.fields.get(key, MISSING) if key.__class__ is str else MISSING

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return f"{self.cel_type.name}{self.fields}"

    def raw(self) -> Any:
        return {name: values.to_json(value) for name, value in self.fields.items()}

    def misnamed(self) -> list[str]:
        """Where the name of a type does not follow from the fields that lead to it."""
        return _misnamed(self, [self.cel_type.name])


def _misnamed(value: Any, path: list[str]) -> list[str]:
    found: list[str] = []
    if isinstance(value, Made):
        name, expected = value.cel_type.name, ".".join(path)
        if name != expected:
            found.append(
                f'unexpected type name "{name}", expected "{expected}", which matches field name path from root Object type'
            )
        for field, inner in value.fields.items():
            found += _misnamed(inner, [*path, field])
    elif isinstance(value, list):
        for item in value:
            found += _misnamed(item, path)
    elif isinstance(value, dict):
        for item in value.values():
            found += _misnamed(item, path)
    return found


class MutationTypes:
    """The provider of Object, with any field, and of JSONPatch."""

    def has_type(self, name: str) -> bool:
        return name in ("Object", "JSONPatch") or name.startswith("Object.")

    def field(self, type_name: str, field_name: str) -> FieldType | None:
        if type_name == "JSONPatch":
            return _PATCH_FIELDS.get(field_name)
        return FieldType(types.DYN_TYPE, field_name)

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        if type_name == "JSONPatch":
            for name in ("op", "path", "from"):
                if name in fields and fields[name].__class__ is not str:
                    raise EvalError(
                        f"unexpected type {values.type_name(fields[name])} for JSONPatchType '{name}' field"
                    )
        return Made(types.struct(type_name), fields)
