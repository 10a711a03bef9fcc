"""Types of the API: what fields a kind has, how its lists merge, and how a body becomes an object.

    load() -> Schemas                       process-wide, lazy, milliseconds
    Schemas.type("apps/v1/Deployment")      -> TypeInfo; also definition names ("io.k8s.api.core.v1.Container")
    TypeInfo                                fields, list and map types, merge keys, patch strategies, defaults of list keys
    TypeInfo.decode(obj)                    -> (object as the original would write it again, ["unknown field ..." texts])

Built-in types come from openapi/data (made by openapi.distil); a CRD's are made by openapi.structural. Bytes are turned
into objects by openapi.codec, which calls decode().
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import orjson

DATA = Path(__file__).parent / "data"
PREFIX = "io.k8s."

TypeKind = Literal["scalar", "struct", "map", "list", "any"]
Decoder = Callable[[Any], Any]


class Field:
    """A field of a struct. go: its Go type, for texts. strategies: of strategic merge ("merge", "replace", "retainKeys").

    within: the embedded structs, from the outermost on, through which a Go struct has the field; texts name them.
    """

    __slots__ = (
        "default",
        "go",
        "merge_key",
        "name",
        "number",
        "omitempty",
        "omitzero",
        "path",
        "strategies",
        "type",
        "within",
    )

    def __init__(self, name: str, type_: TypeInfo, spec: list[Any]) -> None:
        self.name = name
        self.path = "f:" + name  # its path element in fieldsV1
        self.type = type_
        self.go: str = spec[1] if len(spec) > 1 else ""
        flags: int = spec[2] if len(spec) > 2 else 1
        self.omitempty = bool(flags & 1)
        self.omitzero = bool(flags & 2)
        self.number: str = spec[3] if len(spec) > 3 else ""
        self.merge_key: str = spec[4] if len(spec) > 4 else ""
        strategy: str = spec[5] if len(spec) > 5 else ""
        self.strategies: tuple[str, ...] = tuple(strategy.split(",")) if strategy else ()
        self.default: Any = spec[6] if len(spec) > 6 else None
        self.within: tuple[str, ...] = tuple(spec[7].split(".")) if len(spec) > 7 else ()

    @property
    def pointer(self) -> bool:
        return self.go.startswith("*")


_EMPTY = {"s": "", "i32": 0, "i64": 0, "b": False}


class TypeInfo:
    """The type of a value.

    kind       "scalar" (code says which), "struct" (fields), "map" and "list" (elem), "any" (whatever JSON holds)
    code       s i32 i64 b d (float) y (base64 bytes) Q (quantity) I (int or string) T (time) M (micro time) D (duration);
               for "any": R (raw object) F (fieldsV1) J (JSON) JB JA JS (JSON-schema unions); a custom resource's: its JSON type
    name       a struct's definition name, else ""
    atomic     the value is owned and merged as a whole (struct, map, list)
    list_type  "atomic", "map" or "set"; keys: those of a list map
    elem       element type of a map or list; of a custom resource's struct: type of the fields it does not name, or None
    """

    __slots__ = (
        "_decode",
        "_fields",
        "_raw",
        "_schemas",
        "atomic",
        "code",
        "elem",
        "keys",
        "kind",
        "list_type",
        "name",
    )

    def __init__(
        self,
        kind: TypeKind,
        *,
        code: str = "",
        name: str = "",
        elem: TypeInfo | None = None,
        atomic: bool = False,
        list_type: str = "",
        keys: tuple[str, ...] = (),
        fields: Mapping[str, Field] | None = None,
    ) -> None:
        self.kind: TypeKind = kind
        self.code = code
        self.name = name
        self.elem = elem
        self.atomic = atomic
        self.list_type = list_type
        self.keys = keys
        self._fields = fields
        self._raw: dict[str, list[Any]] = {}
        self._schemas: Schemas | None = None
        self._decode: Decoder | None = None

    @property
    def fields(self) -> Mapping[str, Field]:
        """A struct's fields by JSON name; made when first asked for, since types may hold themselves."""
        if self._fields is None:
            schemas = self._schemas
            assert schemas is not None
            self._fields = {name: Field(name, schemas.of(spec[0]), spec) for name, spec in self._raw.items()}
            self._raw = {}
        return self._fields

    def field(self, name: str) -> TypeInfo | None:
        """The type under a key of a struct or map, or None if there is no such field."""
        if self.kind == "map":
            return self.elem
        if self.kind != "struct":
            return None
        found = self.fields.get(name)
        return found.type if found is not None else self.elem

    def key_default(self, key: str) -> Any:
        """The default of a list map's key field (protocol: "TCP"), or None."""
        element = self.elem
        if element is None or element.kind != "struct":
            return None
        found = element.fields.get(key)
        if found is None or found.default is not None:
            return found.default if found is not None else None
        # A field that is always written has its type's empty value as its published default.
        return None if found.omitempty or found.pointer else _EMPTY.get(found.type.code)

    @property
    def short_name(self) -> str:
        """The Go type's own name: "Deployment"."""
        return self.name.rpartition(".")[2]

    @property
    def decoder(self) -> Decoder:
        """The compiled fast path of decode(): raises compile.Slow when anything is out of the ordinary."""
        if self._decode is None:
            from openapi import compile

            self._decode = compile.decoder(self)
        return self._decode

    def decode(self, obj: Any) -> tuple[Any, list[str]]:
        """The object as the original would write it again, and what is unknown in it ('unknown field "spec.foo"').

        Unknown fields are dropped, nulls and empty values left out where Go leaves them out, quantities and times written
        canonically, values that Go always writes added. The given object is not changed, but may be shared in part.
        Raises openapi.explain.DecodeError with the original's text when a value has a wrong type.
        """
        from openapi import compile

        try:
            return self.decoder(obj), []
        except compile.Slow:
            return self.explain(obj)

    def restored(self, obj: Any) -> Any:
        """The object that a merged map stands for, as the original's converter makes it. DecodeError in its words."""
        from openapi import compile, explain

        try:
            return self.decoder(obj)
        except compile.Slow:
            return explain.decode_unstructured(self, obj)[0]

    def blank(self) -> Any:
        """What the original starts from when it makes a new object of this type: every field unset."""
        return self.decoder({})

    def explain(self, value: Any) -> tuple[Any, list[str]]:
        """The slow path of decode(); the value may hold openapi.explain.Pairs and Literal."""
        from openapi import explain

        return explain.decode(self, value)


class Schemas:
    """The built-in types, by kind ("v1/Pod") and by definition name ("io.k8s.api.core.v1.PodSpec")."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.kinds: Mapping[str, str] = data["kinds"]
        self._data: Mapping[str, Any] = data["types"]
        self._structs: dict[tuple[str, bool | None], TypeInfo] = {}
        self._scalars: dict[str, TypeInfo] = {}

    def has(self, name: str) -> bool:
        return name in self.kinds or name in self._data

    def type(self, name: str) -> TypeInfo:
        """KeyError when there is no such type."""
        return self._struct(self.kinds.get(name, name))

    def of(self, spec: Any) -> TypeInfo:
        """The type that an entry of the data file describes."""
        if isinstance(spec, str):
            return self._struct(spec[1:]) if spec.startswith("#") else self._scalar(spec)
        if spec[0] in "ag":
            return self._struct(spec[1][1:], atomic=spec[0] == "a")
        if spec[0] == "l":
            keys = tuple(spec[3]) if len(spec) > 3 else ()
            return TypeInfo("list", elem=self.of(spec[1]), list_type=spec[2], keys=keys, atomic=spec[2] == "atomic")
        return TypeInfo("map", elem=self.of(spec[1]), atomic=len(spec) > 2 and spec[2] == "atomic")

    def _scalar(self, code: str) -> TypeInfo:
        info = self._scalars.get(code)
        if info is None:
            kind: TypeKind = "any" if code in ("R", "F", "J", "JB", "JA", "JS") else "scalar"
            info = self._scalars[code] = TypeInfo(kind, code=code)
        return info

    def _struct(self, name: str, *, atomic: bool | None = None) -> TypeInfo:
        """atomic: what the field says of it; None: what its own definition says."""
        info = self._structs.get((name, atomic))
        if info is None:
            data = self._data[name]
            info = TypeInfo("struct", name=name, atomic=data.get("m") == "atomic" if atomic is None else atomic)
            info._raw = data["f"]
            info._schemas = self
            self._structs[name, atomic] = info
        return info


@cache
def load() -> Schemas:
    """The built-in types. RuntimeError, saying what to do, when the data files were never made."""
    try:
        raw = (DATA / "schemas.json").read_bytes()
    except FileNotFoundError:
        raise RuntimeError(
            "openapi/data/schemas.json is missing: run `make setup` (python -m openapi.distil)"
        ) from None
    return Schemas(orjson.loads(raw))
