"""Makes openapi/data/ out of the definitions that the build dependency kubernetes-validate carries, and our facts.json.

    schemas.json      what the server needs for every request: types, list types, keys, merge keys; small, loads in milliseconds
    documents.json    the definitions with their descriptions, for publishing /openapi/v2 and /openapi/v3; loaded when asked for
    NOTICE            where the definitions come from, and their licence

Run by the build hook (hatch_build.py), and by `python -m openapi.distil`. Neither file is committed.

A type in schemas.json is a code for a scalar (see SPECIAL and _scalar), "#<definition>" for a struct (["a", struct] where the
field makes it atomic, ["g", struct] where it does not leave it so), ["l", element, list type, keys] or ["m", element, map type].
A field is [type, Go type, flags, protobuf number, merge key, patch strategy, default, embedded structs that it comes through],
cut off after the last that says something; flags: 1 omitempty, 2 omitzero. A number "2.1" is field 1 of the embedded message 2.
"""

from __future__ import annotations

import json
from importlib import metadata, resources
from pathlib import Path
from typing import Any

VERSION = "v1.36.0"
HERE = Path(__file__).parent
OUTPUT = HERE / "data"
Json = dict[str, Any]

# Definitions that are not structs to a decoder: they read and write themselves.
SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Q",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "I",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "T",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "M",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "F",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch": "R",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "R",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "J",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "JB",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "JA",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "JS",
}

_OWNED = {"atomic": "a", "granular": "g"}  # a field may own its struct otherwise than the struct's type says

_GO_SCALARS = {
    "string": "s",
    "bool": "b",
    "int": "i64",
    "int8": "i32",
    "uint8": "i32",
    "int32": "i32",
    "int64": "i64",
    "float64": "d",
}
_NOTICE = """The files in this folder were made from the Kubernetes API definitions ({version}) as carried by the Python package
kubernetes-validate {package}.

Kubernetes is Copyright The Kubernetes Authors; kubernetes-validate is Copyright (C) 2018 Will Thames.
Both are licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0
The definitions were restructured; their descriptions are unchanged.
"""


def read_definitions() -> Json:
    """The published definitions by name, descriptions included."""
    base = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"{VERSION}-local"
    definitions: Json = json.loads((base / "_definitions.json").read_bytes())["$defs"]
    return definitions


def main(output: Path = OUTPUT) -> None:
    definitions = read_definitions()
    facts = json.loads((HERE / "facts.json").read_bytes())
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "schemas.json", distil(definitions, facts))
    _write(output / "documents.json", {name: _published(definition) for name, definition in definitions.items()})
    (output / "NOTICE").write_text(_NOTICE.format(version=VERSION, package=metadata.version("kubernetes-validate")))


def _write(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    part.replace(path)


def distil(definitions: Json, facts: Json) -> Json:
    """The content of schemas.json."""
    kinds: dict[str, str] = {}
    types: Json = {}
    for name, definition in definitions.items():
        for entry in definition.get("x-kubernetes-group-version-kind", ()):
            group, version, kind = entry["group"], entry["version"], entry["kind"]
            kinds[f"{group}/{version}/{kind}" if group else f"{version}/{kind}"] = name
        if name in SPECIAL:
            continue
        known = facts["structs"].get(name, {})
        properties = definition.get("properties", {})
        ordered = [
            *(field for field in known if field in properties),
            *(field for field in properties if field not in known),
        ]
        fields = {field: _field(properties[field], field, known, facts["named"], definition) for field in ordered}
        types[name] = {"f": fields}
        if definition.get("x-kubernetes-map-type") == "atomic":
            types[name]["m"] = "atomic"
    _add_unpublished(types, kinds, facts)
    return {"kinds": kinds, "types": types}


def _field(schema: Json, name: str, known: dict[str, str], named: dict[str, str], definition: Json) -> list[Any]:
    fact, _, default_text = known.get(name, "").partition("=")
    go_type, *flag_letters = fact.split(",")
    if not fact:
        flag_letters = [] if name in definition.get("required", ()) else ["o"]
    number = next((letter[1:] for letter in flag_letters if letter.startswith("#")), "")
    flags = ("o" in flag_letters) + 2 * ("z" in flag_letters)
    out = [
        _type(schema, go_type, named),
        go_type,
        flags,
        number,
        schema.get("x-kubernetes-patch-merge-key", ""),
        schema.get("x-kubernetes-patch-strategy", ""),
    ]
    within = next((letter[1:] for letter in flag_letters if letter.startswith("~")), "")
    if default_text:
        out.append(json.loads(default_text))  # even an empty text is one
        return [*out, within] if within else out
    if within:
        return [*out, None, within]
    while out and out[-1] == "":
        out.pop()
    return out


def _type(schema: Json, go_type: str, named: dict[str, str]) -> Any:
    go_type = go_type.lstrip("*")
    if (ref := schema.get("$ref")) is not None:
        name = ref.rpartition("/")[2]
        code = SPECIAL.get(name, "#" + name)
        owned = _OWNED.get(schema.get("x-kubernetes-map-type", ""))
        return [owned, code] if owned else code
    if go_type in ("v1.Duration",):
        return "D"
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind in ("array", "object"):
        go_type = go_type if go_type.startswith(("[", "map[")) else named.get(go_type, go_type)
        element_type = go_type.partition("]")[2] if "]" in go_type else ""
        if kind == "array":
            return ["l", _type(schema["items"], element_type, named), *_list_type(schema)]
        if "additionalProperties" in schema:
            element = _type(schema["additionalProperties"], element_type, named)
            return ["m", element, *([schema["x-kubernetes-map-type"]] if "x-kubernetes-map-type" in schema else [])]
        return "R"
    return _scalar(kind, schema.get("format"), go_type, named)


def _list_type(schema: Json) -> list[Any]:
    kind = schema.get("x-kubernetes-list-type", "atomic")
    return [kind, schema["x-kubernetes-list-map-keys"]] if kind == "map" else [kind]


def _scalar(kind: str | None, form: str | None, go_type: str, named: dict[str, str]) -> str:
    if form == "byte" or go_type == "[]uint8" or go_type == "[]byte":
        return "y"
    while go_type in named:
        go_type = named[go_type]
    if go_type in _GO_SCALARS:
        return _GO_SCALARS[go_type]
    by_schema = {"string": "s", "boolean": "b", "number": "d", "integer": "i64" if form == "int64" else "i32"}
    return by_schema.get(kind or "", "J")


def _add_unpublished(types: Json, kinds: dict[str, str], facts: Json) -> None:
    """Types that only facts.json knows, without list types."""
    # Kinds that clients meet although no path's schema names them.
    for kind in ("List",):
        kinds.setdefault(f"v1/{kind}", f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")
    types.setdefault(
        "io.k8s.apimachinery.pkg.apis.meta.v1.List",
        {
            "f": {
                "kind": ["s", "string", 1],
                "apiVersion": ["s", "string", 1],
                "metadata": ["#io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", "v1.ListMeta", 1],
                "items": [["l", "R", "atomic"], "[]runtime.RawExtension", 0],
            }
        },
    )


def _published(schema: Any) -> Any:
    """A definition as the server publishes it in v2: what the carrying package did to it is undone."""
    if isinstance(schema, list):
        return [_published(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: Json = {}
    for key, value in schema.items():
        if key == "$ref":
            out[key] = "#/definitions/" + value.rpartition("/")[2]
        elif key == "type" and isinstance(value, list):
            out[key] = value[0]
        elif key == "enum" and len(value) == 1:
            continue  # kind and apiVersion were pinned
        elif key == "oneOf":
            out["type"] = "string"
            if value[1]["type"][0] == "integer":
                out["format"] = "int-or-string"
        elif key in ("properties", "x-kubernetes-unions"):
            out[key] = {name: _published(child) for name, child in value.items()} if isinstance(value, dict) else value
        else:
            out[key] = _published(value)
    return out


if __name__ == "__main__":
    main()
