"""The documents at /openapi/v2 and /openapi/v3: definitions of the kinds that are served, and their operations.

A Publisher is told what is served (replace()) and makes documents when they are asked for; each is kept with its hash until what it
shows changes. Making v2 takes long: call v2() in a thread. Custom kinds bring their own definitions (Served.definition names
them). Nothing here speaks HTTP: apiserver/openapi_docs.py does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from openapi import merge, paths, rootpaths
from openapi.paths import META, Served
from openapi.schemas import DATA

Json = dict[str, Any]

INFO = {"title": "Kubernetes", "version": "1.36"}
_SECURITY = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }
}
_KINDS = "x-kubernetes-group-version-kind"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
# Definitions that write themselves: a field of such a type has no default.
_SELF_WRITING = {
    _QUANTITY,
    _INT_OR_STRING,
    f"{META}.Time",
    f"{META}.MicroTime",
    f"{META}.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One document as bytes, and what tells it from others."""

    body: bytes
    etag: str


@cache
def definitions() -> Mapping[str, Json]:
    """The built-in definitions with their descriptions, as v2 publishes them."""
    loaded: Mapping[str, Json] = orjson.loads((DATA / "documents.json").read_bytes())
    _add_enums(loaded)
    return loaded


_ELEMENTS = {"[]": "items", "{}": "additionalProperties"}


def _add_enums(loaded: Mapping[str, Json]) -> None:
    """Write the values that fields may have into them. enums.json: definition -> field -> values; "f[]" and "f{}" are elements."""
    enums: Mapping[str, Mapping[str, list[str]]] = orjson.loads((DATA.parent / "enums.json").read_bytes())
    for name, fields in enums.items():
        properties = loaded.get(name, {}).get("properties", {})
        for field, values in fields.items():
            schema = properties.get(field.rstrip("[]{}"))
            if schema is not None and field[-2:] in _ELEMENTS:
                schema = schema.get(_ELEMENTS[field[-2:]])
            if schema is not None:
                schema["enum"] = values
    for schema in loaded.values():  # what the packaged definitions add to the original's
        for field in ("apiVersion", "kind"):
            schema.get("properties", {}).get(field, {}).pop("enum", None)


@cache
def _facts() -> Mapping[str, Mapping[str, str]]:
    structs: Mapping[str, Mapping[str, str]] = json.loads((DATA.parent / "facts.json").read_bytes())["structs"]
    return structs


def description(definition: str, path: str) -> str:
    """The documentation of a field of a definition: "metadata.creationTimestamp" of a kind. "" when there is none."""
    found = definitions().get(definition)
    text = ""
    for name in path.split("."):
        schema = (found or {}).get("properties", {}).get(name)
        if schema is None:
            return ""
        text = schema.get("description", "")
        ref = schema.get("$ref", "") or schema.get("items", {}).get("$ref", "")
        found = definitions().get(ref.rpartition("/")[2])
    return text


class Publisher:
    """Makes and keeps the documents."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, str], tuple[Served, ...]] = {}
        self._custom: dict[str, Json] = {}
        self._foreign: tuple[Json, ...] = ()
        self._v3: dict[str, Document] = {}
        self._v3_proto: dict[str, Document] = {}
        self._v2: Document | None = None
        self._v2_proto: Document | None = None

    def replace(self, served: Iterable[Served], custom: Mapping[str, Json]) -> None:
        """What is served from now on. custom: definitions (v3 form) of custom kinds by name."""
        grouped: dict[tuple[str, str], list[Served]] = {}
        for one in served:
            grouped.setdefault((one.group, one.version), []).append(one)
        now = {key: tuple(items) for key, items in grouped.items()}
        for key in self._served.keys() | now.keys():
            known = self._served.get(key)
            if known != now.get(key) or any(
                self._custom.get(one.definition) != custom.get(one.definition) for one in now[key]
            ):
                for made in (self._v3, self._v3_proto):
                    made.pop(document_name(*key), None)
                self._v2 = self._v2_proto = None
        self._served, self._custom = now, dict(custom)

    def replace_foreign(self, documents: Iterable[Json]) -> None:
        """v2 documents of other servers (merge.filtered) that v2 is to contain from now on, the more important first."""
        foreign = tuple(documents)
        if foreign != self._foreign:
            self._foreign = foreign
            self._v2 = self._v2_proto = None

    # -- v3

    def names(self) -> list[str]:
        """The documents of v3: "api/v1", "apis/apps/v1"."""
        return sorted({*(document_name(*key) for key in self._served), *self._roots()})

    def _roots(self) -> dict[str, Json]:
        """The documents of paths that belong to no group version."""
        built_in = {key[0] for key, served in self._served.items() if not all(one.custom for one in served)}
        return rootpaths.documents(sorted(built_in))

    def index(self) -> Json:
        """The root of v3: each document and its address, which names its hash."""
        entries = {}
        for name in self.names():
            document = self.v3(name)
            assert document is not None
            entries[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={document.etag}"}
        return {"paths": entries}

    def v3(self, name: str) -> Document | None:
        """One document of v3, None when nothing is served under that name."""
        made = self._v3.get(name)
        if made is None:
            key = next((key for key in self._served if document_name(*key) == name), None)
            if key is not None:
                content = self._make_v3(_items(self._served[key]), key)
            elif (root := self._roots().get(name)) is not None:
                content = self._make_v3({f"/{name}/": root}, ("", "v1"))
            else:
                return None
            made = self._v3[name] = _document(content)
        return made

    def v3_protobuf(self, name: str) -> Document | None:
        """One document of v3 in gnostic's protobuf form; its etag is that of the JSON."""
        made = self._v3_proto.get(name)
        if made is None:
            document = self.v3(name)
            if document is None:
                return None
            from openapi import gnostic3

            made = self._v3_proto[name] = Document(gnostic3.encode(orjson.loads(document.body)), document.etag)
        return made

    def _make_v3(self, items: dict[str, Json], owner: tuple[str, str]) -> Json:
        schemas = {name: self._schema_v3(name, owner) for name in self._closure(_references(items))}
        components: Json = {"schemas": schemas} if schemas else {}
        return {
            "openapi": "3.0.0",
            "info": INFO,
            "paths": {path: _item_v3(item) for path, item in sorted(items.items())},
            "components": {**components, "securitySchemes": _SECURITY},
        }

    def _schema_v3(self, name: str, owner: tuple[str, str]) -> Json:
        """owner: the group and version of the document; of a type that is in all groups it shows these and the core's."""
        custom = self._custom.get(name)
        if custom is not None:
            return custom
        made = _definition_v3(name)
        kinds = made.get(_KINDS) or ()
        if len(kinds) < 2 or any(one.custom for one in self._served.get(owner, ())):
            return made
        return {**made, _KINDS: [k for k in kinds if (k["group"], k["version"]) in (owner, ("", "v1"))] or kinds}

    def _closure(self, names: Iterable[str]) -> list[str]:
        """The definitions and all that they refer to, sorted."""
        found: set[str] = set()
        todo = [*names]
        while todo:
            name = todo.pop()
            if name in found:
                continue
            schema = self._custom.get(name) or definitions().get(name)
            if schema is None:
                continue
            found.add(name)
            todo.extend(_references(schema))
        return sorted(found)

    # -- v2

    def v2(self) -> Document:
        """The whole of v2 as JSON."""
        made = self._v2
        if made is None:
            made = self._v2 = _document(self._make_v2())
        return made

    def v2_protobuf(self) -> Document:
        """The whole of v2 in gnostic's protobuf form, which kubectl asks for."""
        made = self._v2_proto
        if made is None:
            from openapi import gnostic

            document = orjson.loads(self.v2().body)
            body = gnostic.encode(document)
            made = self._v2_proto = Document(body, _hash(body))
        return made

    def _make_v2(self) -> Json:
        items = {f"/{name}/": item for name, item in self._roots().items()}
        for served in self._served.values():
            items.update(_items(served))
        names = self._closure(_references(items))
        document: Json = {
            "swagger": "2.0",
            "info": INFO,
            "paths": items,
            "definitions": {name: self._schema_v2(name) for name in names},
            "securityDefinitions": _SECURITY,
            "security": [{"BearerToken": []}],
        }
        for foreign in self._foreign:
            merge.add(document, foreign)
        for part in ("paths", "definitions"):
            document[part] = dict(sorted(document[part].items()))
        return document

    def _schema_v2(self, name: str) -> Json:
        custom = self._custom.get(name)
        if custom is not None:
            made: Json = to_v2(custom)
            return made
        return definitions()[name]


def _items(served: tuple[Served, ...]) -> dict[str, Json]:
    """The path items of a group version."""
    items: dict[str, Json] = {}
    for one in served:
        items.update(paths.items(one))
        if not one.custom:
            items.setdefault(f"{one.prefix}/", rootpaths.resources(one.group, one.version))
    return items


def document_name(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _document(content: Json) -> Document:
    body = orjson.dumps(content)
    return Document(body, _hash(body))


def _hash(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


def _references(value: Any) -> set[str]:
    """The names of all definitions that a document part refers to."""
    found: set[str] = set()
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            ref = item.get("$ref")
            if isinstance(ref, str):
                found.add(ref.rpartition("/")[2])
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
    return found


def converted(document: Json) -> Json:
    """A v2 document (merge.filtered) of a server that has no v3, as a document of v3."""
    moved = merge.redirect(document, {}, "#/components/schemas/")
    return {
        "openapi": "3.0.0",
        "info": INFO,
        "paths": {path: _item_v3(item) for path, item in sorted(moved["paths"].items())},
        "components": {"schemas": moved["definitions"], "securitySchemes": _SECURITY},
    }


# -- v3 out of v2


@cache
def _definition_v3(name: str) -> Json:
    schema = definitions()[name]
    if name == _QUANTITY:
        return {"description": schema.get("description", ""), "oneOf": [{"type": "string"}, {"type": "number"}]}
    if name == _INT_OR_STRING:
        kinds = [{"type": "integer"}, {"type": "string"}]
        return {"description": schema.get("description", ""), "format": "int-or-string", "oneOf": kinds}
    facts = _facts().get(name, {})
    out = {}
    for key, value in schema.items():
        if key == "properties":
            out[key] = {field: _field_v3(child, facts.get(field, "")) for field, child in value.items()}
        else:
            out[key] = value
    return out


def _field_v3(schema: Json, fact: str) -> Json:
    """A field's schema. fact: "Go type,flags=default"."""
    go_type, _, default_text = fact.partition("=")
    go_type, *flags = go_type.split(",")
    out = _schema_v3(schema, go_type)
    if default_text:
        out["default"] = json.loads(default_text)
    elif "default" not in out and "o" not in flags and go_type and not go_type.startswith(("*", "[", "map[")):
        zero = {"string": "", "integer": 0, "number": 0, "boolean": False}
        if (out.get("type") in zero and "format" not in out) or out.get("format") in ("int32", "int64"):
            out["default"] = zero[out["type"]]
    alone: Json = out["allOf"][0] if set(out) == {"allOf"} else out
    return alone


def _schema_v3(schema: Json, go_type: str) -> Json:
    out: Json = {}
    for key, value in schema.items():
        if key == "$ref":
            name = value.rpartition("/")[2]
            out["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
            if go_type and not go_type.startswith("*") and name not in _SELF_WRITING:
                out["default"] = {}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            child = _schema_v3(value, "")
            if set(child) == {"allOf"}:
                child = child["allOf"][0]
            out[key] = child
        else:
            out[key] = value
    return out


_OPERATIONS = ("get", "put", "post", "delete", "options", "head", "patch")


def _item_v3(item: Json) -> Json:
    out: Json = {}
    for key, value in item.items():
        if key in _OPERATIONS:
            out[key] = _operation_v3(value)
        elif key == "parameters":
            out[key] = [_parameter_v3(parameter) for parameter in value]
        else:
            out[key] = value
    return out


def _operation_v3(operation: Json) -> Json:
    out: Json = {}
    produces = operation.get("produces") or ["application/json"]
    consumes = operation.get("consumes") or ["application/json"]
    for key, value in operation.items():
        if key in ("produces", "consumes", "schemes"):
            continue
        if key == "parameters":
            body = next((parameter for parameter in value if parameter["in"] == "body"), None)
            if body is not None:
                schema = _refer(body["schema"])
                content = {media: {"schema": schema} for media in consumes}
                out["requestBody"] = {"content": content, **({"required": True} if body.get("required") else {})}
            rest = [_parameter_v3(parameter) for parameter in value if parameter["in"] != "body"]
            if rest:
                out["parameters"] = rest
        elif key == "responses":
            out[key] = {code: _response_v3(response, produces) for code, response in value.items()}
        else:
            out[key] = value
    return out


def _response_v3(response: Json, produces: list[str]) -> Json:
    out: Json = {"description": response.get("description", "")}
    if "schema" in response:
        out["content"] = {media: {"schema": _refer(response["schema"])} for media in produces}
    return out


def _refer(schema: Json) -> Json:
    if "$ref" in schema:
        return {"$ref": "#/components/schemas/" + schema["$ref"].rpartition("/")[2]}
    return schema


def _parameter_v3(parameter: Json) -> Json:
    schema = {key: parameter[key] for key in ("type", "format", "uniqueItems") if key in parameter}
    return {
        **{key: value for key, value in parameter.items() if key not in ("type", "format", "uniqueItems")},
        "schema": schema,
    }


# -- v2 out of a custom kind's v3

_V3_ONLY = ("oneOf", "anyOf", "not", "nullable", "x-kubernetes-validations")


def to_v2(schema: Any) -> Any:
    """A custom kind's schema as v2 can say it: what v2 has no words for is left out."""
    if isinstance(schema, list):
        return [to_v2(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: Json = {}
    for key, value in schema.items():
        if key in _V3_ONLY or key == "default":
            continue
        if key == "allOf" and len(value) == 1 and "$ref" in value[0]:
            out["$ref"] = "#/definitions/" + value[0]["$ref"].rpartition("/")[2]
        elif key == "$ref":
            out[key] = "#/definitions/" + value.rpartition("/")[2]
        elif key == "properties":
            out[key] = {name: to_v2(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties", "allOf"):
            out[key] = to_v2(value)
        else:
            out[key] = value
    if (
        schema.get("nullable")
        or schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("x-kubernetes-int-or-string")
    ):
        # Old clients would refuse null, unknown fields or the other type: say nothing rather than too much.
        for key in (
            ("type", "items", "properties")
            if not schema.get("x-kubernetes-preserve-unknown-fields")
            else ("properties",)
        ):
            out.pop(key, None)
    return out


def list_schema(served: Served) -> Json:
    """The definition of a custom kind's list."""
    kinds = {"group": served.group, "kind": served.list_definition.rpartition(".")[2], "version": served.version}
    return {
        "description": f"{kinds['kind']} is a list of {served.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {
                "description": description(f"{META}.DeleteOptions", "apiVersion"),
                "type": "string",
            },
            "items": {
                "description": f"List of {served.plural}.",
                "type": "array",
                "items": {"$ref": f"#/components/schemas/{served.definition}"},
            },
            "kind": {"description": description(f"{META}.DeleteOptions", "kind"), "type": "string"},
            "metadata": {"allOf": [{"$ref": f"#/components/schemas/{META}.ListMeta"}]},
        },
        "x-kubernetes-group-version-kind": [kinds],
    }
