"""OpenAPI v2 documents of other servers made part of ours: their paths, and the definitions that those need.

Pure functions over decoded documents. A definition that two servers know by one name but not by one content is renamed
for the one that comes later, and so are the references to it (kube-openapi's aggregator does the same).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

_PREFIX = "#/definitions/"
_KINDS = "x-kubernetes-group-version-kind"


def filtered(document: Json, prefix: str) -> Json:
    """The document with the paths below a prefix, and with the definitions that they need."""
    paths = document.get("paths")
    kept = {path: item for path, item in (paths if isinstance(paths, dict) else {}).items() if path.startswith(prefix)}
    definitions = document.get("definitions")
    known = definitions if isinstance(definitions, dict) else {}
    return {"paths": kept, "definitions": {name: known[name] for name in sorted(_needed(kept, known))}}


def _needed(start: Any, definitions: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    todo = list(references(start))
    while todo:
        name = todo.pop()
        if name not in found and name in definitions:
            found.add(name)
            todo.extend(references(definitions[name]))
    return found


def references(value: Any) -> Iterable[str]:
    """The names of all definitions that a part of a document refers to."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            ref = item.get("$ref")
            if isinstance(ref, str) and ref.startswith(_PREFIX):
                yield ref.removeprefix(_PREFIX)
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)


def add(document: Json, other: Json) -> None:
    """Put a filtered document's paths and definitions into `document`; what is there already stays."""
    paths, definitions = document["paths"], document["definitions"]
    renamed: dict[str, str] = {}
    for name, schema in other["definitions"].items():
        known = definitions.get(name)
        if known is not None and not _alike(known, schema):
            renamed[name] = _free_name(name, schema, definitions, other["definitions"])
    for name, schema in other["definitions"].items():
        new = renamed.get(name, name)
        if new in definitions:
            definitions[new] = _with_kinds(definitions[new], schema)
        else:
            definitions[new] = redirect(schema, renamed)
    for path, item in other["paths"].items():
        paths.setdefault(path, redirect(item, renamed))


def _alike(left: Json, right: Json) -> bool:
    """Equal but for the kinds that they are of: DeleteOptions belong to every group."""
    return {**left, _KINDS: None} == {**right, _KINDS: None}


def _with_kinds(known: Json, schema: Json) -> Json:
    mine, theirs = known.get(_KINDS) or [], schema.get(_KINDS) or []
    more = [kind for kind in theirs if kind not in mine]
    return {**known, _KINDS: [*mine, *more]} if more else known


def _free_name(name: str, schema: Json, definitions: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    number = 2
    while True:
        candidate = f"{name}_v{number}"
        known = definitions.get(candidate)
        if (known is None and candidate not in others) or (known is not None and _alike(known, schema)):
            return candidate
        number += 1


def redirect(value: Any, renamed: Mapping[str, str], prefix: str = _PREFIX) -> Any:
    """A copy whose references follow the renaming. prefix: what references begin with in the copy."""
    if isinstance(value, list):
        return [redirect(item, renamed, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: redirect(item, renamed, prefix) for key, item in value.items()}
    ref = value.get("$ref")
    if isinstance(ref, str) and ref.startswith(_PREFIX):
        name = ref.removeprefix(_PREFIX)
        out["$ref"] = prefix + renamed.get(name, name)
    return out
