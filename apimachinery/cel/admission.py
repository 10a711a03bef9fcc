"""What expressions of admission policies and webhooks see besides the object: the request, its namespace, variables.

REQUEST_TYPES and LIBRARY_TYPES are providers of the struct types; REQUEST, NAMESPACE and VARIABLES name them. Used by the API
server when it compiles policies, and by the controller that checks their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.declarations import named
from apimachinery.cel.errors import EvalError
from apimachinery.cel.types import FieldType, NamedTypes, Type

_STRINGS = types.list_of(types.STRING_TYPE)
_TEXTS = types.map_of(types.STRING_TYPE, types.STRING_TYPE)
S, B, T, INT, DYN = types.STRING_TYPE, types.BOOL_TYPE, types.TIMESTAMP_TYPE, types.INT_TYPE, types.DYN_TYPE


def _struct(name: str) -> Type:
    return types.struct(f"kubernetes.{name}")


_STRUCTS: dict[str, dict[str, Type]] = {
    "GroupVersionKind": {"group": S, "version": S, "kind": S},
    "GroupVersionResource": {"group": S, "version": S, "resource": S},
    "UserInfo": {"username": S, "uid": S, "groups": _STRINGS, "extra": types.map_of(S, _STRINGS)},
    "AdmissionRequest": {
        "kind": _struct("GroupVersionKind"),
        "resource": _struct("GroupVersionResource"),
        "subResource": S,
        "requestKind": _struct("GroupVersionKind"),
        "requestResource": _struct("GroupVersionResource"),
        "requestSubResource": S,
        "name": S,
        "namespace": S,
        "operation": S,
        "userInfo": _struct("UserInfo"),
        "dryRun": B,
        "options": DYN,
    },
    "NamespaceSpec": {"finalizers": _STRINGS},
    "NamespaceCondition": {"status": S, "type": S, "lastTransitionTime": T, "message": S, "reason": S},
    "NamespaceStatus": {"conditions": types.list_of(_struct("NamespaceCondition")), "phase": S},
    "NamespaceMetadata": {
        "name": S,
        "generateName": S,
        "namespace": S,
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "UID": S,
        "creationTimestamp": T,
        "deletionGracePeriodSeconds": INT,
        "deletionTimestamp": T,
        "generation": INT,
        "resourceVersion": S,
        "finalizers": _STRINGS,
    },
    "Namespace": {
        "metadata": _struct("NamespaceMetadata"),
        "spec": _struct("NamespaceSpec"),
        "status": _struct("NamespaceStatus"),
    },
}


class Structs:
    """A provider of struct types that are written out as fields and their types."""

    def __init__(self, structs: Mapping[str, Mapping[str, Type]]) -> None:
        self._fields = {
            name: {field: FieldType(type_, field) for field, type_ in fields.items()}
            for name, fields in structs.items()
        }

    def has_type(self, name: str) -> bool:
        return name in self._fields

    def field(self, type_name: str, field_name: str) -> FieldType | None:
        return self._fields[type_name].get(field_name)

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        raise EvalError(f"unknown type: {type_name}")


USER_TYPES = Structs({"kubernetes.UserInfo": _STRUCTS["UserInfo"]})  # what authentication's rules over users see
REQUEST_TYPES = Structs({f"kubernetes.{name}": fields for name, fields in _STRUCTS.items()})
LIBRARY_TYPES = NamedTypes(
    *(named(name) for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision"))
)
VARIABLES = types.struct("kubernetes.variables")


_KEPT = frozenset(
    {
        types.BOOL_TYPE,
        types.BYTES_TYPE,
        types.DOUBLE_TYPE,
        types.DURATION_TYPE,
        types.INT_TYPE,
        types.NULL_TYPE,
        types.STRING_TYPE,
        types.TIMESTAMP_TYPE,
        types.UINT_TYPE,
    }
)


def variable_type(found: Type) -> Type:
    """What is known of a variable whose expression has that type: nothing of objects and of libraries' own values."""
    if found in _KEPT:
        return found
    if found.kind in (types.LIST, types.MAP):
        return Type(found.kind, found.name, tuple(map(variable_type, found.params)))
    return DYN


class VariableTypes:
    """The fields of `variables`, which grow as a policy's variables are compiled one after the other."""

    def __init__(self) -> None:
        self.fields: dict[str, FieldType] = {}

    def add(self, name: str, found: Type | None) -> None:
        """A variable. found: the type of its expression, None for one that does not compile."""
        self.fields[name] = FieldType(DYN if found is None else variable_type(found), name)

    def has_type(self, name: str) -> bool:
        return name == VARIABLES.name

    def field(self, type_name: str, field_name: str) -> FieldType | None:
        return self.fields.get(field_name)

    def new(self, type_name: str, fields: dict[str, Any]) -> Any:
        raise EvalError(f"unknown type: {type_name}")


REQUEST = _struct("AdmissionRequest")
NAMESPACE = _struct("Namespace")
