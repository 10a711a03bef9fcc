"""Values and their types, compared and merged field by field: structured-merge-diff's typed package, on plain dicts.

    field_set(info, value)          the paths that a value mentions (for what an applier owns)
    compare(info, old, new)         what was removed, modified, added, as sets
    merge(info, live, applied)      live with applied laid over it
    remove(info, value, fields)     the value without those items
    validate(info, value)           raises TypedError when a value does not fit its type
    reconcile(info, fields)         a set written when fields had other list or map types, brought up to date

What a missing value is, is told apart from null. Nodes and sets: see fieldset.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from apiserver.patch import fieldset, gotext
from apiserver.patch.fieldset import LEAF, SELF, Node, Set
from openapi.schemas import TypeInfo

# What unknown fields and free-form objects are made of: maps field by field, lists as a whole.
DEDUCED = TypeInfo("any", code="U")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class TypedError(Exception):
    """A value that does not fit its type; the text is as the original words it."""


class Comparison(NamedTuple):
    removed: Set
    modified: Set
    added: Set


def _child(info: TypeInfo, key: str) -> TypeInfo:
    """The type under a key; DEDUCED where the schema says nothing."""
    kind = info.kind
    if kind == "struct":
        field = info.fields.get(key)
        return field.type if field is not None else (info.elem or DEDUCED)
    if kind == "map":
        return info.elem or DEDUCED
    return DEDUCED


def _atom(info: TypeInfo, value: Any) -> str:
    """Which form of its type a value takes: "map", "list", "scalar". Null takes the first that the type allows."""
    kind = info.kind
    if kind == "struct" or kind == "map":
        return "map"
    if kind == "list" or kind == "scalar":
        return kind
    if value is None or value is MISSING or type(value) is dict:
        return "map"
    return "list" if type(value) is list else "scalar"


def _is_atomic(info: TypeInfo, atom: str) -> bool:
    if info.kind != "any":
        return info.atomic
    return atom == "list" or info.code[0] in "JR"


def element(info: TypeInfo, item: Any) -> str:
    """The path element of an item of a list map or set. TypedError when the item has none."""
    if info.list_type == "set":
        if type(item) is dict:
            raise TypedError("associative list without keys has an element that's a map type")
        if type(item) is list:
            raise TypedError("not supported: associative list with lists as elements")
        if item is None:
            raise TypedError("associative list without keys has an element that's an explicit null")
        return fieldset.value_element(item)
    if item is None:
        raise TypedError("associative list with keys may not have a null element")
    if type(item) is not dict:
        raise TypedError("associative list with keys may not have non-map elements")
    names = []
    values = []
    for name in info.keys:
        value = item.get(name, MISSING)
        if value is MISSING:
            value = info.key_default(name)
            if value is None:
                continue
        names.append(name)
        values.append(value)
    if not names:
        keys = "[" + " ".join(f'"{name}"' for name in info.keys) + "]"
        raise TypedError(
            f"associative list with keys has an element that omits all key fields {keys}"
            " (and doesn't have default values for any key fields)"
        )
    try:
        return fieldset.key_element(tuple(names), tuple(values), tuple(map(type, values)))
    except TypeError:  # a list or map as a key's value
        return fieldset.new_key_element(tuple(names), tuple(values))


# -- what a value mentions


def field_set(info: TypeInfo, value: Any) -> Set:
    """Every leaf and item that the value mentions (ToFieldSet)."""
    return _mentioned(info, value) or {}


def _mentioned(info: TypeInfo, value: Any) -> Node | None:
    """The node of a value, None when it mentions nothing; LEAF when the value itself is a leaf."""
    atom = _atom(info, value)
    if atom == "scalar" or _is_atomic(info, atom):
        return LEAF
    if not value or not _fits(atom, value):
        return None
    out: Node = {}
    if atom == "list":
        elem = info.elem or DEDUCED
        for item in value:
            key = element(info, item)
            if key in out:
                out[key] = LEAF
                continue
            node = _mentioned(elem, item)
            out[key] = {SELF: LEAF, **node} if node else LEAF
        return out
    known = info.fields if info.kind == "struct" else {}
    for key, item in value.items():
        field = known.get(key)
        node = _mentioned(field.type if field is not None else _child(info, key), item)
        if item is None or (type(item) is dict and not item) or field is None:
            node = LEAF if not node else {SELF: LEAF, **node}
        if node is not None:
            out["f:" + key] = node
    return out or None


# -- comparison


def compare(info: TypeInfo, old: Any, new: Any) -> Comparison:
    """What differs between two values of one type. No path is in more than one of the three sets."""
    removed, modified, added = _compare(info, old, new)
    return Comparison(removed or {}, modified or {}, added or {})


_Nodes = tuple[Node | None, Node | None, Node | None]
_SAME: _Nodes = (None, None, None)
_MODIFIED: _Nodes = (None, LEAF, None)


def whole(info: TypeInfo, value: Any) -> Node:
    """The node of a value that is there on one side only: all containers are members too."""
    kind = type(value)
    if kind is dict:
        if not value or info.atomic or info.kind == "scalar" or (info.code and info.code[0] in "JR"):
            return LEAF
        out: Node = {SELF: LEAF}
        if info.kind == "struct":
            fields = info.fields
            for key, item in value.items():
                field = fields.get(key)
                if field is None:
                    out["f:" + key] = whole(info.elem or DEDUCED, item)
                elif type(item) is dict or type(item) is list:
                    out[field.path] = whole(field.type, item)
                else:
                    out[field.path] = LEAF
        else:
            elem = info.elem or DEDUCED
            for key, item in value.items():
                out["f:" + key] = LEAF if type(item) is str else whole(elem, item)
        return out
    if kind is list:
        if not value or info.atomic or info.kind != "list":
            return LEAF
        out = {SELF: LEAF}
        elem = info.elem or DEDUCED
        for item in value:
            key = element(info, item)
            out[key] = LEAF if key in out else whole(elem, item)
        return out
    return LEAF


def _same(info: TypeInfo, old: Any, new: Any) -> bool:
    if old is new:
        return True
    return bool(old == new) and ((info.kind != "any" and info.code != "I") or strictly_same(old, new))


def strictly_same(old: Any, new: Any) -> bool:
    """Equality that tells true from 1; numbers are equal by value."""
    if type(old) is bool or type(new) is bool:
        return old is new
    if isinstance(old, dict):
        return all(strictly_same(item, new[key]) for key, item in old.items())
    if type(old) is list:
        return all(map(strictly_same, old, new))
    return True


def _compare(info: TypeInfo, old: Any, new: Any) -> _Nodes:
    """(removed, modified, added) below a value that is there on both sides."""
    if _same(info, old, new):
        return _SAME
    old_atom, new_atom = _atom(info, old), _atom(info, new)
    if old_atom != new_atom:
        return _compare_forms(info, old, new, old_atom, new_atom)
    if new_atom == "scalar" or _is_atomic(info, new_atom) or (not old and not new):
        return _MODIFIED
    if not ((old is None or _fits(new_atom, old)) and (new is None or _fits(new_atom, new))):
        raise TypedError(f"expected {new_atom}")
    if new_atom == "map":
        return _compare_maps(info, old or {}, new or {})
    return _compare_lists(info, old or [], new or [])


def _compare_forms(info: TypeInfo, old: Any, new: Any, old_atom: str, new_atom: str) -> _Nodes:
    """A free-form value that changed its form: what was below the old is removed, what is below the new added."""
    removed = added = None
    if old_atom == "map" and old and not _is_atomic(info, "map"):
        removed = {key: node for key, node in whole(info, old).items() if key != SELF} or None
    if new_atom == "map" and new and not _is_atomic(info, "map"):
        added = {key: node for key, node in whole(info, new).items() if key != SELF} or None
    modified = None if (removed and new is None) or (added and old is None) else LEAF
    return removed, modified, added


def _compare_maps(info: TypeInfo, old: dict[str, Any], new: dict[str, Any]) -> _Nodes:
    removed: Node = {}
    modified: Node = {}
    added: Node = {}
    for key, item in new.items():
        before = old.get(key, MISSING)
        if before is MISSING:
            added["f:" + key] = whole(_child(info, key), item)
        elif before is not item:
            gone, changed, fresh = _compare(_child(info, key), before, item)
            if gone is not None:
                removed["f:" + key] = gone
            if changed is not None:
                modified["f:" + key] = changed
            if fresh is not None:
                added["f:" + key] = fresh
    for key, item in old.items():
        if key not in new:
            removed["f:" + key] = whole(_child(info, key), item)
    return removed or None, modified or None, added or None


def _by_element(info: TypeInfo, items: list[Any]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for item in items:
        out.setdefault(element(info, item), []).append(item)
    return out


def _compare_lists(info: TypeInfo, old: list[Any], new: list[Any]) -> _Nodes:
    removed: Node = {}
    modified: Node = {}
    added: Node = {}
    elem = info.elem or DEDUCED
    before, after = _by_element(info, old), _by_element(info, new)
    for key in before | after:
        lefts, rights = before.get(key, []), after.get(key, [])
        if len(lefts) > 1 and len(rights) > 1:
            if lefts != rights:
                modified[key] = LEAF
        elif len(lefts) > 1:
            removed[key] = LEAF
            if rights:
                added[key] = whole(elem, rights[0])
        elif len(rights) > 1:
            added[key] = LEAF
            if lefts:
                removed[key] = whole(elem, lefts[0])
        elif not lefts:
            added[key] = whole(elem, rights[0])
        elif not rights:
            removed[key] = whole(elem, lefts[0])
        else:
            gone, changed, fresh = _compare(elem, lefts[0], rights[0])
            if gone is not None:
                removed[key] = gone
            if changed is not None:
                modified[key] = changed
            if fresh is not None:
                added[key] = fresh
    return removed or None, modified or None, added or None


# -- merge


def merge(info: TypeInfo, live: Any, applied: Any) -> Any:
    """The live value with the applied one laid over it; MISSING when nothing is left. The result shares with both."""
    if applied is MISSING:
        if live is MISSING:
            return MISSING
        atom = _atom(info, live)
    else:
        atom = _atom(info, applied)
    old = live if live is not MISSING and _fits(atom, live) else None
    new = applied if applied is not MISSING and _fits(atom, applied) else None
    if atom == "scalar" or _is_atomic(info, atom) or (not old and not new):
        return live if applied is MISSING else applied
    if atom == "map":
        return _merge_maps(info, old or {}, new or {})
    return _merge_lists(info, old or [], new or [])


def _fits(atom: str, value: Any) -> bool:
    return atom == "scalar" or type(value) is (dict if atom == "map" else list)


def _merge_maps(info: TypeInfo, live: dict[str, Any], applied: dict[str, Any]) -> Any:
    out = {}
    for key, item in live.items():
        if key not in applied:
            merged = merge(_child(info, key), item, MISSING)
            if merged is not MISSING:
                out[key] = merged
            continue
        merged = merge(_child(info, key), item, applied[key])
        if merged is not MISSING:
            out[key] = merged
    for key, item in applied.items():
        if key not in live:
            merged = merge(_child(info, key), MISSING, item)
            if merged is not MISSING:
                out[key] = merged
    return out or MISSING


def _merge_lists(info: TypeInfo, live: list[Any], applied: list[Any]) -> Any:
    """Items in the order of the live list where the applied one does not say otherwise.

    Both lists are walked together. Shared items come in the applied order; items that only the live list has stay before
    the shared item that they preceded.
    """
    elem = info.elem or DEDUCED
    right_keys = [element(info, item) for item in applied]
    right = dict(zip(right_keys, applied, strict=True))
    if len(right) != len(right_keys):
        repeated = next(key for position, key in enumerate(right_keys) if key in right_keys[:position])
        raise TypedError(f"duplicate entries for key {fieldset.draw((repeated,))}")
    left_keys = [element(info, item) for item in live]
    left: dict[str, Any] = {}
    for key, item in zip(left_keys, live, strict=True):
        left[key] = None if key in left else item  # repeated items are not merged
    shared = [key for key in right_keys if key in left]
    shared.reverse()
    wanted = shared.pop() if shared else None
    out: list[Any] = []
    merged: set[str] = set()

    def take(key: str, item: Any, over: Any) -> None:
        result = merge(elem, item, over)
        if result is not MISSING:
            out.append(result)

    i = j = 0
    while i < len(left_keys) or j < len(right_keys):
        if i < len(left_keys) and j < len(right_keys):
            key = left_keys[i]
            if key == right_keys[j]:
                merged.add(key)
                take(key, left[key], right[key])
                i += 1
                j += 1
                wanted = shared.pop() if shared else None
                continue
            if key in right and wanted is not None and wanted != key:
                i += 1
                continue
        if i < len(left_keys):
            key = left_keys[i]
            if key not in right:
                take(key, live[i], MISSING)
                i += 1
                continue
            if key in merged:
                i += 1
        if j < len(right_keys):
            key = right_keys[j]
            merged.add(key)
            take(key, left.get(key, MISSING), right[key])
            j += 1
            if wanted == key:
                wanted = shared.pop() if shared else None
    return out or MISSING


# -- removal


def remove(info: TypeInfo, value: Any, fields: Set) -> Any:
    """The value without the items that are members of the set. What is left empty stays, but becomes null as a whole."""
    if not fields:
        return value
    atom = _atom(info, value)
    if atom == "scalar":
        return value
    if not value or not _fits(atom, value) or _is_atomic(info, atom):
        return None
    if atom == "list":
        return _remove_items(info, value, fields)
    out = {}
    deeper = False
    for key, item in value.items():
        node = fields.get("f:" + key)
        if node is None:
            out[key] = item
        elif not fieldset.is_member(node):
            deeper = True
            out[key] = _left(item, remove(_child(info, key), item, node))
    return out if out or deeper else None


def _remove_items(info: TypeInfo, value: list[Any], fields: Set) -> Any:
    out = []
    for item in value:
        node = fields.get(element(info, item))
        if node is None:
            out.append(item)
        elif not fieldset.is_member(node):
            out.append(_left(item, remove(info.elem or DEDUCED, item, node)))
    return out or None


def _left(item: Any, rest: Any) -> Any:
    """What remains of an item from which something inside was taken: a container at least."""
    return type(item)() if rest is None and isinstance(item, dict | list) else rest


# -- validation


def validate(info: TypeInfo, value: Any, *, allow_duplicates: bool = False) -> None:
    """TypedError with all that does not fit, a line each when there are several."""
    problems: list[str] = []
    _validate(info, value, "", problems, allow_duplicates)
    if len(problems) == 1:
        raise TypedError(problems[0])
    if problems:
        raise TypedError("\n".join(["errors:", *("  " + problem for problem in problems)]))


_NUMERIC = {"i32", "i64", "d", "integer", "number"}
_TEXT = {"s", "y", "D", "string"}
_BOOLEAN = {"b", "boolean"}


def _go_value(value: Any) -> str:
    """%#v of a value of the original's own wrapper type."""
    if isinstance(value, str):
        from apimachinery.field import go_quote

        drawn = go_quote(value)
    elif isinstance(value, dict):
        inner = ", ".join(f'"{key}":{_go_inner(item)}' for key, item in sorted(value.items()))
        drawn = "map[string]interface {}{" + inner + "}"
    elif isinstance(value, list):
        drawn = "[]interface {}{" + ", ".join(map(_go_inner, value)) + "}"
    else:
        drawn = _go_inner(value)
    return "&value.valueUnstructured{Value:" + drawn + "}"


def _go_inner(value: Any) -> str:
    if value is None:
        return "interface {}(nil)"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str | dict | list):
        return _go_value(value).removeprefix("&value.valueUnstructured{Value:")[:-1]
    return fieldset.draw_value(value)


def _scalar_problem(code: str, value: Any) -> str:
    if value is None:
        return ""
    kind = type(value)
    if code in _TEXT:
        return "" if kind is str else f"expected string, got {_go_value(value)}"
    if code in _BOOLEAN:
        return "" if kind is bool else f"expected boolean, got &{{{gotext.value(value)}}}"
    if code in _NUMERIC:
        names = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
        return "" if kind in (int, float) else f"expected numeric (int or float), got {names[kind]}"
    if code == "I":
        return ""  # of no type to the original
    return f"expected any scalar, got &{{{gotext.value(value)}}}" if kind in (dict, list) else ""


def _validate(info: TypeInfo, value: Any, path: str, problems: list[str], allow: bool) -> None:
    def report(text: str) -> None:
        problems.append(f"{path}: {text}" if path else text)

    atom = _atom(info, value)
    if atom == "scalar":
        problem = _scalar_problem(info.code, value) if info.kind == "scalar" else ""
        if problem:
            report(problem)
        return
    if value is None:
        return
    if not _fits(atom, value):
        report(f"expected {atom}, got &{{{gotext.value(value)}}}")
        return
    if atom == "map":
        for key, item in value.items():
            if info.kind == "struct" and key not in info.fields and info.elem is None:
                problems.append(f"{path}.{key}: field not declared in schema")
                return
            _validate(_child(info, key), item, f"{path}.{key}", problems, allow)
        return
    keyed = info.kind == "list" and not info.atomic
    seen = set()
    for position, item in enumerate(value):
        where = f"{path}[{position}]"
        if keyed:
            try:
                key = element(info, item)
            except TypedError as error:
                report(f"element {position}: {error}")
                return
            where = path + fieldset.draw((key,))
            if key in seen and not allow:
                report(f"duplicate entries for key {fieldset.draw((key,))}")
            seen.add(key)
        _validate(info.elem or DEDUCED, item, where, problems, allow)


# -- sets from before a schema changed


def reconcile(info: TypeInfo, fields: Set) -> Set:
    """The set with what lies below fields that are atomic now replaced by the fields themselves."""
    return _reconcile_known(info, fields) if isinstance(fields, fieldset.Fields) else _reconcile(info, fields)


def _reconcile(info: TypeInfo, fields: Set) -> Set:
    stale = _stale(info, fields, member=False)
    if stale is None:
        return fields
    return fieldset.union(fieldset.recursive_difference(fields, stale), stale)


_reconcile_known = lru_cache(4096)(_reconcile)


def _stale(info: TypeInfo, fields: Node, *, member: bool) -> Set | None:
    """The atomic values that the node goes below, as a set; LEAF when the node itself is one."""
    if info.kind == "scalar" or info.kind == "any":
        return None
    below = {key: node for key, node in fields.items() if key != SELF}
    if info.atomic and not (member and not below):
        return LEAF if below or info.kind == "list" else None
    out: Set = {}
    for key, node in below.items():
        if key.startswith("f:"):
            child = info.field(key[2:])
        else:
            child = info.elem if info.kind == "list" else None
        if child is None:
            continue
        found = _stale(child, node, member=fieldset.is_member(node))
        if found is not None:
            out[key] = found
    return out or None
