"""Sets of field paths, in the very shape of fieldsV1.

A node is a dict from serialised path elements ("f:spec", 'k:{"name":"a"}', "v:x", "i:0") to nodes. A node is a member of its
set when it is empty or has the key "."; otherwise it only has members below it. A set is a dict of nodes; the empty set is {}.
Nodes are never changed once made: operations share what they can. Rules: structured-merge-diff's fieldpath package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from apimachinery import memo
from apimachinery.field import go_quote
from apiserver.patch import gotext
from openapi.schemas import TypeInfo

Set = dict[str, Any]
Node = dict[str, Any]
Path = tuple[str, ...]

SELF = "."
_CACHED_SET = 32 * 1024  # bytes of a fieldsV1; that of a large pod has 4 KiB
LEAF: Node = {}


class Fields(dict[str, Any]):
    """A set that was read from managedFields; hashed by identity, so that what was worked out about it can be kept."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class FieldSetError(ValueError):
    """Fields that are not fieldsV1."""


def is_member(node: Node) -> bool:
    return not node or SELF in node


def union(left: Set, right: Set) -> Set:
    if not right:
        return left
    if not left:
        return right
    out = dict(left)
    for key, node in right.items():
        mine = out.get(key)
        out[key] = node if mine is None else _union_node(mine, node)
    return out


def _union_node(left: Node, right: Node) -> Node:
    if left is right or left == right:
        return left
    if not left:
        return right if SELF in right else {SELF: LEAF, **right}
    if not right:
        return left if SELF in left else {SELF: LEAF, **left}
    return union(left, right)


def difference(left: Set, right: Set) -> Set:
    """What is in left but not in right. A parent in right does not take the members below it out of left."""
    if left.keys().isdisjoint(right):
        return left
    out = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            out[key] = node
            continue
        rest = _difference_node(node, other)
        if rest is not None:
            out[key] = rest
    return out


def _difference_node(left: Node, right: Node) -> Node | None:
    keep = is_member(left) and not is_member(right)
    below = {key: node for key, node in left.items() if key != SELF}
    below = difference(below, {key: node for key, node in right.items() if key != SELF}) if below else below
    if keep:
        return {SELF: LEAF, **below} if below else LEAF
    return below or None


def recursive_difference(left: Set, right: Set) -> Set:
    """As difference, and a member of right takes all that is below it too."""
    if left.keys().isdisjoint(right):
        return left
    out = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            out[key] = node
            continue
        if is_member(other):
            continue
        below = recursive_difference({name: item for name, item in node.items() if name != SELF}, other)
        if is_member(node):
            out[key] = {SELF: LEAF, **below} if below else LEAF
        elif below:
            out[key] = below
    return out


def intersection(left: Set, right: Set) -> Set:
    out = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            continue
        both = is_member(node) and is_member(other)
        below = intersection(
            {name: item for name, item in node.items() if name != SELF},
            {name: item for name, item in other.items() if name != SELF},
        )
        if both:
            out[key] = {SELF: LEAF, **below} if below else LEAF
        elif below:
            out[key] = below
    return out


def has(fields: Set, path: Path) -> bool:
    node: Node | None = fields
    for key in path:
        node = node.get(key) if node else None
        if node is None:
            return False
    return node is not None and bool(path) and is_member(node)


def of_paths(*paths: Path) -> Set:
    """The set that has exactly these members."""
    out: Set = {}
    for path in paths:
        node = LEAF
        for key in reversed(path):
            node = {key: node}
        out = union(out, node)
    return out


def paths(fields: Set, prefix: Path = ()) -> Iterator[Path]:
    """The members' paths: those of a level, sorted, before those below it."""
    keys = sorted((key for key in fields if key != SELF), key=order)
    for key in keys:
        if is_member(fields[key]):
            yield (*prefix, key)
    for key in keys:
        if fields[key]:
            yield from paths(fields[key], (*prefix, key))


def with_named_fields(fields: Set, info: TypeInfo | None) -> Set:
    """The set with every struct field made a member that has members below it (EnsureNamedFieldsAreMembers)."""
    out = {}
    for key, node in fields.items():
        if key == SELF or not node:
            out[key] = node
            continue
        child, named = None, False
        if info is not None and key.startswith("f:"):
            child = info.field(key[2:])
            named = info.kind == "struct" and key[2:] in info.fields
        elif info is not None and key.startswith("k:"):
            child = info.elem
        below = with_named_fields(node, child)
        out[key] = {SELF: LEAF, **below} if named else below
    return out


# -- path elements


@memo.small(4096)
def key_element(names: tuple[str, ...], values: tuple[Any, ...], _types: tuple[type, ...]) -> str:
    """The path element of a list map's item: k:{"containerPort":80,"protocol":"TCP"}, keys sorted."""
    return new_key_element(names, values)


def new_key_element(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    """As key_element(), for values that may be lists or maps."""
    return "k:" + _dump(dict(sorted(zip(names, values, strict=True))))


def value_element(value: Any) -> str:
    """The path element of a set's item."""
    return "v:" + _dump(value)


def _dump(value: Any) -> str:
    text = orjson.dumps(value).decode()
    if "<" in text or ">" in text or "&" in text:
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text


def draw(path: Path, *, stored: bool = False) -> str:
    """The path as texts show it: .spec.containers[name="a"].image; stored: it was read from managedFields, where all
    numbers are floats to the original.
    """
    return "".join(_draw_element(key, stored=stored) for key in path)


def _draw_element(key: str, *, stored: bool) -> str:
    kind, body = key[0], key[2:]
    if kind == "f":
        return "." + body
    if kind == "k":
        fields = _loads(body, stored=stored)
        return "[" + ",".join(f"{name}={draw_value(fields[name])}" for name in sorted(fields)) + "]"
    if kind == "v":
        return f"[={draw_value(_loads(body, stored=stored))}]"
    return f"[{body}]"


def _loads(text: str, *, stored: bool) -> Any:
    return json.loads(text, parse_int=float) if stored else json.loads(text)


def draw_value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(map(draw_value, value)) + "]"
    if isinstance(value, dict):
        return "".join(f"{key}={draw_value(item)}" for key, item in value.items())
    return go_quote(value) if isinstance(value, str) else gotext.value(value)


@memo.short(4096)
def order(key: str) -> tuple[Any, ...]:
    """A sort key: fields by name, then list-map items by their keys, then set items by value, then positions."""
    kind, body = key[0], key[2:]
    if kind == "f":
        return (0, body)
    if kind == "k":
        fields = json.loads(body)
        return (1, [(name, _rank(fields[name])) for name in sorted(fields)])
    if kind == "v":
        return (2, _rank(json.loads(body)))
    return (3, int(body))


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    return (3, json.dumps(value, sort_keys=True))


# -- reading what clients sent


def read(fields: Any) -> Set:
    """The set of a fieldsV1, as decode(). Objects made alike have the same fields: one set serves them all."""
    try:
        raw = orjson.dumps(fields)
    except orjson.JSONEncodeError:
        raise FieldSetError("fieldsV1 is nested too deeply") from None
    return _read(raw) if len(raw) <= _CACHED_SET else decode(fields)


@lru_cache(4096)
def _read(raw: bytes) -> Fields:
    return Fields(decode(orjson.loads(raw)))


def decode(fields: Any, depth: int = 0) -> Set:
    """The set of a fieldsV1 that came from outside, with canonical path elements. FieldSetError when it is none."""
    if not isinstance(fields, dict) or depth > 250:
        raise FieldSetError("fieldsV1 must hold objects only")
    out = {}
    for key, node in fields.items():
        if key == SELF:
            if depth:
                out[SELF] = LEAF
            continue
        if (element := _canonical_element(key)) is not None:
            out[element] = decode(node, depth + 1)
    if len(out) == 1 and SELF in out:
        return LEAF
    return out


@memo.short(8192)
def _canonical_element(key: str) -> str | None:
    """None for a kind of element that a later version may know: it is left out, with what is below."""
    if len(key) < 2:
        raise FieldSetError("key must be 2 characters long:")
    if key[1] != ":":
        raise FieldSetError(f"missing colon: {key}")
    kind, body = key[0], key[2:]
    if kind == "f":
        return key
    try:
        if kind == "v":
            return value_element(json.loads(body))
        if kind == "k":
            fields = json.loads(body)
            if not isinstance(fields, dict):
                raise FieldSetError(f"expected an object: {key}")
            return "k:" + _dump(dict(sorted(fields.items())))
        if kind == "i":
            return f"i:{int(body)}"
    except (ValueError, TypeError, RecursionError):
        raise FieldSetError(f"invalid path element: {key}") from None
    return None
