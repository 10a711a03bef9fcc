"""Strategic merge patch: lists merge by key where the field's type says so, and directives in the patch steer the merge.

Directives: $patch (replace, delete, merge), $setElementOrder/<list>, $deleteFromPrimitiveList/<list>, $retainKeys. Rules and
texts are those of apimachinery/pkg/util/strategicpatch; an error without a status of its own there is a bare 500 here too.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Hashable
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver.patch import gotext
from openapi import compile
from openapi.schemas import TypeInfo

Map = dict[str, Any]
DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_LIST = "$deleteFromPrimitiveList"
ELEMENT_ORDER = "$setElementOrder"

BAD_PRIMITIVE_LIST = "invalid patch format of primitive list"
BAD_RETAIN_KEYS = "invalid patch format of retainKeys"
BAD_ELEMENT_ORDER = "invalid patch format of setElementOrder list"
LISTS_OF_LISTS = "lists of lists are not supported"


def apply(doc: Map, patch: Map, info: TypeInfo) -> Map:
    """The document with the patch merged in. `doc` is changed, `patch` is not. ApiError 400, 422 or 500."""
    return _merge_map(doc, compile.copy_json(patch), info)


def _fail(text: str) -> ApiError:
    return ApiError(500, "", text)


def _no_merge_key(item: Map, key: str) -> ApiError:
    return _fail(f"map: {gotext.value(item)} does not contain declared merge key: {key}")


def _bad_type(expected: str, actual: Any) -> ApiError:
    return _fail(f"expected a {expected}, but received a {gotext.type_name(actual)}")


_MAP, _LIST = "map[string]interface {}", "[]interface {}"


def _lookup(info: TypeInfo | None, key: str) -> tuple[TypeInfo | None, str, str]:
    """(type, patch strategy without retainKeys, merge key) of a field."""
    if info is None or info.kind in ("map", "list", "scalar"):
        kind = {"list": "slice"}.get(info.kind, info.kind) if info is not None else "interface"
        raise _fail(f"merging an object in json but data type is not struct, instead is: {kind}")
    field = info.fields.get(key) if info.kind == "struct" else None
    if field is None:
        name = info.short_name or {"F": "FieldsV1", "R": "RawExtension"}.get(info.code, "JSON")
        raise _fail(f'unable to find api field in struct {name} for the json field "{key}"')
    strategy = next((word for word in field.strategies if word != "retainKeys"), "")
    return field.type, strategy, field.merge_key


def _lookup_list(info: TypeInfo | None, key: str) -> tuple[TypeInfo | None, str, str]:
    found, strategy, merge_key = _lookup(info, key)
    if found is None or found.kind != "list":
        raise _fail("expected slice or array type, but got: struct")
    return found.elem, strategy, merge_key


# -- maps


def _merge_map(original: Map | None, patch: Map, info: TypeInfo | None) -> Map:
    if DIRECTIVE in patch:
        return _directive_of_map(patch)
    if original is None:
        original = {}
    _retain_keys(original, patch)
    _merge_ordered_lists(original, patch, info)
    for key, value in patch.items():
        deleting = key.startswith(DELETE_LIST)
        if deleting:
            key = _target(key, DELETE_LIST, BAD_PRIMITIVE_LIST)
        if value is None:
            original.pop(key, None)
            continue
        if key not in original or not _same_type(original[key], value):
            if not deleting:
                _put(original, key, value)
            continue
        current = original[key]
        if isinstance(value, dict):
            found, strategy, _ = _lookup(info, key)
            merged = value if strategy == "replace" else _merge_map(current, value, found)
            original[key] = _by_key(merged) if found is not None and found.kind == "any" else merged
        elif isinstance(value, list):
            element, strategy, merge_key = _lookup_list(info, key)
            original[key] = _merge_field(current, value, element, strategy, merge_key, deleting=deleting)
        else:
            original[key] = value
    return original


def _by_key(value: Any) -> Any:
    """What has no type of its own is written again with its keys in order."""
    if isinstance(value, dict):
        return {key: _by_key(value[key]) for key in sorted(value)}
    return [_by_key(item) for item in value] if isinstance(value, list) else value


def _put(original: Map, key: str, value: Any) -> None:
    """Take the patch's value as it is, without its nulls and directives."""
    value, keep = without_directives(_without_nulls(value))
    if keep:
        original[key] = value
    else:
        original.pop(key, None)


def _directive_of_map(patch: Map) -> Map:
    directive = patch[DIRECTIVE]
    if directive == "replace":
        del patch[DIRECTIVE]
        return patch
    if directive == "delete":
        return {}
    raise _fail(f"unknown patch type: {gotext.string(directive)} in map: {gotext.value(patch)}")


def _target(key: str, prefix: str, problem: str) -> str:
    head, slash, rest = key.partition("/")
    if not slash or head != prefix:
        raise errors.bad_request(problem)
    return rest


def _same_type(left: Any, right: Any) -> bool:
    if isinstance(left, dict):  # of whatever class: a ControllerRevision's data has one of its own
        return isinstance(right, dict)
    return type(left) is type(right)


def _retain_keys(original: Map, patch: Map) -> None:
    if RETAIN_KEYS not in patch:
        return
    kept = patch.pop(RETAIN_KEYS)
    if not isinstance(kept, list):
        raise errors.bad_request(BAD_RETAIN_KEYS)
    names = {name for name in kept if isinstance(name, str)}
    for key, value in patch.items():
        if value is not None and not key.startswith((DELETE_LIST, ELEMENT_ORDER)) and key not in names:
            raise errors.bad_request(BAD_RETAIN_KEYS)
    for key in [key for key in original if key not in names]:
        del original[key]


def without_directives(value: Any) -> tuple[Any, bool]:
    """(the value without maps that hold a directive, whether to keep the value itself)."""
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return None, False
        pairs = ((key, *without_directives(item)) for key, item in value.items())
        return {key: item for key, item, keep in pairs if keep}, True
    if isinstance(value, list):
        return [item for item, keep in map(without_directives, value) if keep], True
    return value, True


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


# -- lists


def _merge_ordered_lists(original: Map, patch: Map, info: TypeInfo | None) -> None:
    """Merge the lists for which the patch says an order, and take them out of the patch."""
    for key in [key for key in patch if key.startswith(ELEMENT_ORDER)]:
        order = patch.pop(key)
        if not isinstance(order, list):
            raise _bad_type(_LIST, order)
        name = _target(key, ELEMENT_ORDER, BAD_ELEMENT_ORDER)
        for source in (original, patch):
            if name in source and not isinstance(source[name], list):
                raise _bad_type(_LIST, source[name])
        element, strategy, merge_key = _lookup_list(info, name)
        patched: list[Any] = patch.get(name) or []
        _check_order(patched, order, merge_key)
        current: list[Any] = original.get(name) or []
        if name in original and name in patch:
            merged = _merge_field(list(current), patched, element, strategy, merge_key, deleting=False)
        elif name in original:
            merged = current
        elif name in patch:
            merged = without_directives(patched)[0]
        else:
            continue
        patch_items, server_items = _partition(merged, order, merge_key)
        of_maps = _element_kind(current, patched) is dict
        original[name] = _ordered(patch_items, server_items, order, current, merge_key, of_maps=of_maps)
        patch.pop(name, None)


def _check_order(patched: list[Any], order: list[Any], merge_key: str) -> None:
    """The items of the patch must come in the order that the directive gives."""
    if not order or not patched:
        return
    items = _split_deletions(patched)[0] if merge_key else patched
    position = found = 0
    while found < len(items) and position < len(order):
        if isinstance(items[found], dict) and DIRECTIVE in items[found]:
            found += 1
            continue
        if _same_key(items[found], order[position], merge_key):
            found += 1
        position += 1
    if found < len(items):
        raise _fail(
            f"The order in patch list:\n{gotext.value(patched)}\n doesn't match {ELEMENT_ORDER} list:\n{gotext.value(order)}\n"
        )


def _same_key(left: Any, right: Any, merge_key: str) -> bool:
    if not merge_key:
        return _same(left, right)
    for item in (left, right):
        if not isinstance(item, dict):
            raise _bad_type(_MAP, item)
        if merge_key not in item:
            raise _no_merge_key(item, merge_key)
    return _same(left[merge_key], right[merge_key])


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def _merge_field(
    original: list[Any], patch: list[Any], element: TypeInfo | None, strategy: str, merge_key: str, *, deleting: bool
) -> list[Any]:
    if strategy != "merge" and not deleting:
        return patch
    return _merge_list(original, patch, element, merge_key, deleting=deleting)


def _merge_list(
    original: list[Any], patch: list[Any], element: TypeInfo | None, merge_key: str, *, deleting: bool
) -> list[Any]:
    if not original and not patch:
        return original
    of_maps = _element_kind(original, patch) is dict
    if not of_maps:
        if deleting:
            gone = set(map(_identity, patch))
            return [item for item in original if _identity(item) not in gone]
        merged = _deduplicated([*original, *patch])
    else:
        if not merge_key:
            raise _fail("cannot merge lists without merge key for struct")
        original, patch = _special_elements(original, patch, merge_key)
        merged = _merge_items(list(original), patch, element, merge_key)
    patch_items, server_items = _partition(merged, patch, merge_key)
    return _ordered(patch_items, server_items, patch, original, merge_key, of_maps=of_maps)


def _element_kind(*lists: list[Any]) -> type:
    """The type of all elements; they must agree."""
    kinds = [type(item) for items in lists for item in items]
    if not kinds:
        raise _fail("no elements in any of the given slices")
    if kinds[0] is list:
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})
    if any(kind is not kinds[0] for kind in kinds):
        drawn = " ".join(gotext.value(items) for items in lists)
        raise _fail(f"list element types are not identical: [{drawn}]")
    return kinds[0]


def _special_elements(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the directives among the patch's items: (what remains of the original, the patch's other items)."""
    rest = []
    gone: set[Hashable] = set()
    replace = False
    for item in patch:
        if DIRECTIVE not in item:
            rest.append(item)
            continue
        directive = item[DIRECTIVE]
        if directive == "delete":
            if merge_key not in item:
                raise _no_merge_key(item, merge_key)
            gone.add(_identity(item[merge_key]))
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _fail("merging lists cannot yet be specified in the patch")
        else:
            raise _fail(f"unknown patch type: {gotext.string(directive)} in map: {gotext.value(item)}")
    if gone:
        original = [kept for kept in original if merge_key not in kept or _identity(kept[merge_key]) not in gone]
    return (rest, []) if replace else (original, rest)


def _identity(value: Any) -> Hashable:
    """Equal for values that _same() holds to be the same."""
    if isinstance(value, dict | list):
        return (type(value), orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    return (type(value), value)


class _Places:
    """Where in a list of maps the first item with some merge key is. Lists of tens of thousands need an index."""

    def __init__(self, items: list[Any], merge_key: str) -> None:
        self.places: dict[Hashable, int] = {}
        self.odd: int | None = None  # the first item that is no map: nothing behind it is found
        for position, item in enumerate(items):
            if not isinstance(item, dict):
                self.odd = position
                break
            if merge_key in item:
                self.places.setdefault(_identity(item[merge_key]), position)

    def find(self, wanted: Any) -> int:
        position = self.places.get(_identity(wanted), -1)
        if position < 0 and self.odd is not None:
            raise _fail(f"value for key {self.odd} is not a map")
        return position


def _merge_items(original: list[Any], patch: list[Any], element: TypeInfo | None, merge_key: str) -> list[Any]:
    places = _Places(original, merge_key)
    for item in patch:
        if merge_key not in item:
            raise _no_merge_key(item, merge_key)
        position = places.find(item[merge_key])
        if position < 0:
            places.places[_identity(item[merge_key])] = len(original)
            original.append(item)
        else:
            original[position] = _merge_map(original[position], dict(item), element)
    return original


def _deduplicated(items: list[Any]) -> list[Any]:
    """Without repeated scalars; the last item takes the place of a repeated one, as in the original."""
    identities = [_identity(item) for item in items]
    if len(set(identities)) == len(items):
        return items
    places: dict[Hashable, list[int]] = {}  # heaps
    for position, identity in enumerate(identities):
        places.setdefault(identity, []).append(position)
    last = len(items) - 1
    i = 0
    while i < last:
        heap = places[identities[i]]
        while heap:
            j = heapq.heappop(heap)
            if j <= i or j > last:
                continue
            items[j], identities[j] = items[last], identities[last]
            last -= 1
            if j <= last:
                heapq.heappush(places[identities[j]], j)
        i += 1
    return items[: last + 1]


# -- order


def _partition(items: list[Any], by: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """(items that `by` names, items that only the server has)."""
    named: list[Any] = []
    others: list[Any] = []
    known = set() if merge_key else set(map(_identity, by))
    places = _Places(by, merge_key) if merge_key else None
    for item in items:
        if places is None:
            found = _identity(item) in known
        else:
            if not isinstance(item, dict):
                raise _bad_type(_MAP, item)
            if merge_key not in item:
                raise _no_merge_key(item, merge_key)
            found = places.find(item[merge_key]) >= 0
        (named if found else others).append(item)
    return named, others


def _split_deletions(items: list[Any]) -> tuple[list[Any], list[Any]]:
    kept: list[Any] = []
    deleted: list[Any] = []
    for item in items:
        if not isinstance(item, dict):
            raise _bad_type(_MAP, item)
        (deleted if item.get(DIRECTIVE) == "delete" else kept).append(item)
    return kept, deleted


def _ordered(
    patch: list[Any],
    server: list[Any],
    patch_order: list[Any],
    server_order: list[Any],
    merge_key: str,
    *,
    of_maps: bool,
) -> list[Any]:
    """Interleave: items of the patch in its order; a server item goes before one of the patch that it preceded before."""
    left = _sorted_by(server, server_order, merge_key, of_maps=of_maps)
    right = _sorted_by(patch, patch_order, merge_key, of_maps=of_maps)
    rank = _ranks(server_order, merge_key, of_maps=of_maps)
    out = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i >= len(left):
            take_left = False
        elif j >= len(right):
            take_left = True
        else:
            take_left = 0 <= rank(left[i]) < rank(right[j])
        if take_left:
            out.append(left[i])
            i += 1
        else:
            out.append(right[j])
            j += 1
    return out


def _sorted_by(items: list[Any], order: list[Any], merge_key: str, *, of_maps: bool) -> list[Any]:
    deleted: list[Any] = []
    if of_maps:
        for item in [*items, *order]:
            if not isinstance(item, dict):
                raise _bad_type(_MAP, item)
            if merge_key not in item:
                raise _no_merge_key(item, merge_key)
        items, deleted = _split_deletions(items)
    rank = _ranks(order, merge_key, of_maps=of_maps)
    ranked = [(rank(item), item) for item in items]
    if all(place >= 0 for place, _ in ranked):
        return [item for _, item in sorted(ranked, key=lambda pair: pair[0])] + deleted
    return _insertion_sorted(ranked) + deleted


def _insertion_sorted(ranked: list[tuple[int, Any]]) -> list[Any]:
    """What the original's insertion sort makes of its odd comparison, in which an item of unknown rank is less than any other
    and any other is less than it: the unknown go to the front, one before the other, and the known move to behind the last
    known one that is not greater, past the unknown in between.
    """
    front: list[Any] = []  # what precedes the first known item, reversed
    places: list[int] = []  # ranks of the known items, ascending
    groups: list[list[Any]] = []  # each known item and the unknown ones behind it
    for place, item in ranked:
        if place < 0:
            front.append(item)
            continue
        at = bisect.bisect_right(places, place)
        places.insert(at, place)
        if at:
            before = groups[at - 1]
            groups.insert(at, [item, *before[1:]])
            del before[1:]
        else:
            groups.insert(0, [item, *reversed(front)])
            front = []
    return [*reversed(front), *(item for group in groups for item in group)]


def _ranks(order: list[Any], merge_key: str, *, of_maps: bool) -> Callable[[Any], int]:
    """A function from an item to its first place in the order, -1 for one that has none."""
    places: dict[Hashable, int] = {}
    for position, other in enumerate(order):
        if not of_maps:
            places.setdefault(_identity(other), position)
        elif isinstance(other, dict):
            places.setdefault(_identity(other.get(merge_key)), position)
    if of_maps:
        return lambda item: places.get(_identity(item.get(merge_key)), -1)
    return lambda item: places.get(_identity(item), -1)
