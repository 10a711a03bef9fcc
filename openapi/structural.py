"""Structural schemas of custom resources: pruning, defaults, and the type that decoding and apply go by.

    Structural.of(schema)                   the part of a JSONSchemaProps that shapes objects
    prune(obj, schema, ...)                 drop what the schema does not know; the dropped paths
    default(obj, schema)                    fill in defaults
    prune_nulls(obj, schema)                drop nulls that may not be null and have no default
    CustomType(schema, ...)                 a TypeInfo whose decode() does what the original does to a custom resource's body

Values against the rules of the schema: openapi.validate. Rules for schemas: apiserver/kinds/apiextensions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from openapi import compile, explain, scalars, schemas
from openapi.explain import DecodeError, Pairs
from openapi.schemas import Field, TypeInfo

Json = dict[str, Any]
MISSING: Any = object()
META = ("apiVersion", "kind", "metadata")
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
DEDUCED = TypeInfo("any", code="U")


class Structural:
    """A node of a schema. additional: a schema, True (anything) or None. default: MISSING when there is none.

    holds_embedded, holds_unique: whether it or what is below it is an embedded resource, a list of type set or map.
    """

    __slots__ = (
        "additional",
        "default",
        "embedded",
        "holds_embedded",
        "holds_unique",
        "int_or_string",
        "items",
        "keys",
        "list_type",
        "map_type",
        "nullable",
        "preserve",
        "properties",
        "raw",
        "type",
    )

    def __init__(self, raw: Json) -> None:
        self.raw = raw
        self.type: str = raw.get("type", "")
        self.properties: dict[str, Structural] = {
            name: Structural(child) for name, child in (raw.get("properties") or {}).items()
        }
        additional = raw.get("additionalProperties")
        self.additional: Structural | bool | None = (
            Structural(additional) if isinstance(additional, dict) else additional
        )
        if self.additional is False:
            self.additional = None
        items = raw.get("items")
        self.items: Structural | None = Structural(items) if isinstance(items, dict) else None
        self.preserve = raw.get("x-kubernetes-preserve-unknown-fields") is True
        self.embedded = raw.get("x-kubernetes-embedded-resource") is True
        self.int_or_string = raw.get("x-kubernetes-int-or-string") is True
        self.nullable = raw.get("nullable") is True
        self.default: Any = raw["default"] if raw.get("default") is not None else MISSING
        self.list_type: str = raw.get("x-kubernetes-list-type", "")
        self.keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = raw.get("x-kubernetes-map-type", "")
        below = [*self.properties.values(), self.additional, self.items]
        nodes = [node for node in below if isinstance(node, Structural)]
        self.holds_embedded: bool = self.embedded or any(node.holds_embedded for node in nodes)
        self.holds_unique: bool = self.list_type in ("set", "map") or any(node.holds_unique for node in nodes)

    def child(self, name: str) -> Structural | bool | None:
        """The schema under a key: True where anything goes, None where nothing is known."""
        found = self.properties.get(name)
        return found if found is not None else self.additional

    def resource(self) -> Structural:
        """The same schema as that of a whole resource, which has apiVersion, kind and metadata of its own."""
        if self.embedded:
            return self
        copy = Structural.__new__(Structural)
        for slot in self.__slots__:
            setattr(copy, slot, getattr(self, slot))
        copy.embedded = copy.holds_embedded = True
        return copy


# -- pruning


def prune(obj: Any, schema: Structural | None, unknown: list[str] | None = None, *, root: bool = False) -> None:
    """Drop (in place) what the schema does not know. unknown: takes the paths of what was dropped."""
    if root and schema is not None:
        schema = schema.resource()
    _prune(obj, schema, "", [] if unknown is None else unknown)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _prune(obj: Any, schema: Structural | bool | None, path: str, unknown: list[str]) -> None:
    if schema is True:
        schema = None
    assert not isinstance(schema, bool)
    if schema is not None and schema.preserve:
        _prune_preserving(obj, schema, path, unknown)
        return
    if isinstance(obj, dict):
        for key in list(obj):
            if schema is not None and schema.embedded and key in META:
                continue
            child = schema.properties.get(key) if schema is not None else None
            if child is not None:
                _prune(obj[key], child, _join(path, key), unknown)
            elif schema is not None and schema.additional is not None:
                _prune(obj[key], schema.additional, _join(path, key), unknown)
            else:
                if key not in META or path:
                    unknown.append(_join(path, key))
                del obj[key]
    elif isinstance(obj, list):
        items = schema.items if schema is not None else None
        for position, item in enumerate(obj):
            _prune(item, items, f"{path}[{position}]", unknown)


def _prune_preserving(obj: Any, schema: Structural | None, path: str, unknown: list[str]) -> None:
    """Unknown fields stay, but what is below known ones is pruned."""
    if schema is None:
        return
    if isinstance(obj, dict):
        for key, value in obj.items():
            if schema.embedded and key in META:
                continue
            child = schema.child(key)
            if child is not None:
                _prune(value, child, _join(path, key), unknown)
    elif isinstance(obj, list):
        for position, item in enumerate(obj):
            _prune_preserving(item, schema.items, f"{path}[{position}]", unknown)


def prune_nulls(obj: Any, schema: Structural | bool | None) -> None:
    """Drop (in place) nulls where null is not allowed and there is no default to put in their place."""
    if not isinstance(schema, Structural):
        return
    if isinstance(obj, dict):
        for key in list(obj):
            child = schema.child(key)
            value = obj[key]
            if value is None and isinstance(child, Structural) and not child.nullable and child.default is MISSING:
                del obj[key]
            elif isinstance(value, dict | list):
                prune_nulls(value, child)
    elif isinstance(obj, list):
        for item in obj:
            prune_nulls(item, schema.items)


# -- defaults


def default(obj: Any, schema: Structural | bool | None) -> None:
    """Fill in (in place) defaults for what is missing, or null where null is not allowed."""
    if not isinstance(schema, Structural):
        return
    if isinstance(obj, dict):
        for name, child in schema.properties.items():
            if child.default is not MISSING and (name not in obj or (obj[name] is None and not child.nullable)):
                obj[name] = compile.copy_json(child.default)
        for name, value in obj.items():
            found = schema.child(name)
            if value is None and name not in schema.properties and isinstance(found, Structural) and not found.nullable:
                obj[name] = None if found.default is MISSING else compile.copy_json(found.default)
            default(obj[name], found)
    elif isinstance(obj, list) and schema.items is not None:
        for position, item in enumerate(obj):
            if item is None and not schema.items.nullable and schema.items.default is not MISSING:
                obj[position] = compile.copy_json(schema.items.default)
            default(obj[position], schema.items)


# -- metadata of embedded resources


def coerce(
    obj: Any, schema: Structural | bool | None, unknown: list[str], path: str = "", *, root: bool = False
) -> tuple[str, Any, str] | None:
    """Bring the metadata of embedded resources (and of the root) into form: (path, value, problem) when it is malformed."""
    if not isinstance(schema, Structural):
        return None
    embedded = root or schema.embedded
    if isinstance(obj, dict):
        for key in list(obj):
            value = obj[key]
            if embedded and key in ("apiVersion", "kind") and not isinstance(value, str):
                return _join(path, key), value, "must be a string"
            if embedded and key == "metadata":
                problem = _coerce_metadata(obj, path, unknown)
                if problem:
                    return _join(path, key), value, problem
            child = schema.child(key)
            found = coerce(obj[key], child, unknown, f"{path}.{key}" if path else key)
            if found is not None:
                return found
    elif isinstance(obj, list):
        for position, item in enumerate(obj):
            found = coerce(item, schema.items, unknown, f"{path}[{position}]")
            if found is not None:
                return found
    return None


def _coerce_metadata(obj: Json, path: str, unknown: list[str]) -> str:
    try:
        obj["metadata"], problems = metadata_type().decode(obj["metadata"])
    except DecodeError as error:
        return str(error)
    prefix = _join(path, "metadata") + "."
    unknown.extend(prefix + problem.partition('"')[2][:-1] for problem in problems)
    return ""


def metadata_type() -> TypeInfo:
    return schemas.load().type(OBJECT_META)


# -- types


def type_of(schema: Structural | bool | None) -> TypeInfo:
    """The type that structured merge goes by."""
    if not isinstance(schema, Structural):
        return DEDUCED
    atomic = schema.map_type == "atomic"
    if schema.int_or_string:
        return TypeInfo("scalar")
    if schema.type == "array":
        return _list_type(schema)
    if schema.type in ("string", "integer", "number", "boolean"):
        untyped = schema.type == "string" and "format" in schema.raw
        return TypeInfo("scalar", code="" if untyped else schema.type)
    if schema.type != "object" and not schema.properties:
        return DEDUCED
    if not schema.properties and schema.additional is not None and not schema.preserve:
        return TypeInfo("map", elem=type_of(schema.additional), atomic=atomic)
    fields = _fields(schema)
    if schema.embedded:
        fields |= {
            "apiVersion": Field("apiVersion", TypeInfo("scalar", code="string"), []),
            "kind": Field("kind", TypeInfo("scalar", code="string"), []),
            "metadata": Field("metadata", metadata_type(), []),
        }
    elem = DEDUCED if schema.preserve else type_of(schema.additional) if schema.additional is not None else None
    return TypeInfo("struct", elem=elem, fields=fields, atomic=atomic)


def _list_type(schema: Structural) -> TypeInfo:
    kind = schema.list_type or "atomic"
    return TypeInfo("list", elem=type_of(schema.items), list_type=kind, keys=schema.keys, atomic=kind == "atomic")


def _fields(schema: Structural) -> dict[str, Field]:
    out = {}
    for name, child in schema.properties.items():
        value = None if child.default is MISSING else child.default
        out[name] = Field(name, type_of(child), ["", "", 1, "", "", "", value])
    return out


class CustomType(TypeInfo):
    """The type of a custom resource in one version."""

    __slots__ = ("schema",)

    def __init__(self, schema: Structural, name: str) -> None:
        fields = _fields(schema)
        text = TypeInfo("scalar", code="string")
        fields["apiVersion"] = Field("apiVersion", text, [])
        fields["kind"] = Field("kind", text, [])
        fields["metadata"] = Field("metadata", metadata_type(), [])
        elem = DEDUCED if schema.preserve else None
        super().__init__("struct", name=name, fields=fields, elem=elem)
        self.schema = schema
        self._decode = self._slow

    @staticmethod
    def _slow(_: Any) -> Any:
        raise compile.Slow

    def blank(self) -> Json:
        return {"metadata": {}}

    def restored(self, obj: Any) -> Any:
        """Nothing is pruned, and what should not be there is for validation to find; times that are none are dropped."""
        out = explain.plain(obj)
        metadata = out.get("metadata")
        if isinstance(metadata, dict):
            bad = {"managedFields", *(name for name in _TIMES if not _is_time(metadata.get(name)))}
            out["metadata"] = {name: value for name, value in metadata.items() if name not in bad}
        out["metadata"] = self._metadata(out, [])
        _settle_embedded(out, self.schema)
        return out

    def explain(self, value: Any) -> tuple[Any, list[str]]:
        """Coerced metadata, pruned fields; 'unknown field' and 'duplicate field' texts."""
        problems = duplicates(value)
        obj = explain.plain(value)
        if not isinstance(obj, dict):
            raise DecodeError(f"json: cannot unmarshal {_kind(obj)} into Go value of type map[string]interface {{}}")
        unknown: list[str] = []
        metadata = self._metadata(obj, unknown)
        pruned: list[str] = []
        prune(obj, self.schema, pruned, root=True)
        prune_nulls(obj, self.schema)
        unknown += sorted(pruned)
        coerced: list[str] = []
        found = coerce(obj, self.schema, coerced)
        if found is not None:
            path, bad, problem = found
            from apimachinery import field

            raise DecodeError(str(field.invalid(path, field.as_map(bad), problem)))
        unknown += sorted(coerced)
        obj["metadata"] = metadata
        return obj, problems + [f'unknown field "{path}"' for path in unknown]

    def _metadata(self, obj: Json, unknown: list[str]) -> Json:
        given = obj.get("metadata")
        try:
            metadata, problems = metadata_type().decode({} if given is None else given)
        except DecodeError as error:
            raise DecodeError(str(error)) from None
        unknown.extend("metadata." + problem.partition('"')[2][:-1] for problem in problems)
        metadata = dict(metadata)
        if not metadata.get("managedFields", True):
            del metadata["managedFields"]  # which asks for nothing, where a built-in kind's would ask to clear them
        return metadata


_TIMES = ("creationTimestamp", "deletionTimestamp")


def _is_time(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        scalars.canonical_time(value)
    except ValueError:
        return False
    return True


def _settle_embedded(obj: Any, schema: Structural | bool | None) -> None:
    """Metadata of embedded resources as it is written again, where it can be read."""
    if not isinstance(schema, Structural):
        return
    if isinstance(obj, dict):
        if schema.embedded and "metadata" in obj:
            with contextlib.suppress(DecodeError):
                metadata = metadata_type().decode({} if obj["metadata"] is None else obj["metadata"])[0]
                obj["metadata"] = {name: value for name, value in metadata.items() if name != "managedFields" or value}
        for key, value in obj.items():
            _settle_embedded(value, schema.child(key))
    elif isinstance(obj, list):
        for item in obj:
            _settle_embedded(item, schema.items)


def _kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "bool"}.get(type(value), "number")


def duplicates(value: Any, path: str = "") -> list[str]:
    """'duplicate field "a.b"' for each key that occurs twice, in document order. The value may hold Pairs."""
    found: list[str] = []
    if isinstance(value, Pairs):
        seen: dict[str, int] = {}
        for key, item in value:
            where = _join(path, key)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == 2:
                found.append(f'duplicate field "{where}"')
            found.extend(duplicates(item, where))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            found.extend(duplicates(item, _join(path, key)))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            found.extend(duplicates(item, f"{path}[{position}]"))
    return found
