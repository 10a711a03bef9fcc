"""Laws of patches, over any JSON: an independent and naive reading of each standard is the judge."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apimachinery.errors import ApiError
from apiserver.patch import json_patch, merge_patch, strategic
from openapi import codec, schemas

keys = st.sampled_from(["a", "b", "c", "a/b", "m~n", ""])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "y"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)
objects = st.dictionaries(keys, values, max_size=4)


def parsed(patch: Any) -> codec.Parsed:
    return codec.parse_json(json.dumps(patch).encode())


def copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, word for word."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), value)
    return out


def without_nulls_in_lists(value: Any) -> bool:
    """Whether no map inside of a list has a null, which the original's library takes out and the RFC does not."""
    if isinstance(value, dict):
        return all(map(without_nulls_in_lists, value.values()))
    if isinstance(value, list):
        return not any("null" in json.dumps(item) for item in value)
    return True


@given(objects, objects)
def test_merge_patch_is_that_of_the_standard(target: Any, patch: Any) -> None:
    got = merge_patch.apply(copy(target), parsed(patch))
    if without_nulls_in_lists(patch):
        assert got == merged(target, patch)
        assert merge_patch.apply(copy(got), parsed(patch)) == got


@given(objects, objects)
def test_merge_patch_leaves_the_patch_alone(target: Any, patch: Any) -> None:
    sent = parsed(patch)
    merge_patch.apply(copy(target), sent)
    assert sent.obj == patch


# -- JSON patch


def pointers(value: Any, prefix: str = "") -> list[str]:
    out = [prefix] if prefix else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        out += pointers(item, f"{prefix}/{str(key).replace('~', '~0').replace('/', '~1')}")
    return out


@st.composite
def places(draw: st.DrawFn) -> tuple[Any, str]:
    doc = draw(objects.filter(bool))
    return doc, draw(st.sampled_from(pointers(doc)))


def patched(doc: Any, *operations: Any) -> Any:
    return json_patch.apply(copy(doc), parsed(list(operations)))


@given(places(), values)
def test_what_was_added_is_there_and_can_be_taken_away(place: tuple[Any, str], value: Any) -> None:
    doc, pointer = place
    at = pointer.rpartition("/")[0] + "/new"
    container = doc
    for part in at.split("/")[1:-1]:
        part = part.replace("~1", "/").replace("~0", "~")
        container = container[int(part)] if isinstance(container, list) else container[part]
    assume(isinstance(container, dict))
    added = patched(doc, {"op": "add", "path": at, "value": value})
    assert patched(added, {"op": "test", "path": at, "value": value}) == added
    assert patched(added, {"op": "remove", "path": at}) == doc


@given(places())
def test_copy_is_add_and_move_is_copy_and_remove(place: tuple[Any, str]) -> None:
    doc, pointer = place
    copied = patched(doc, {"op": "copy", "from": pointer, "path": "/new"})
    assert {key: copied[key] for key in copied if key != "new"} == {key: doc[key] for key in doc if key != "new"}
    moved = patched(doc, {"op": "move", "from": pointer, "path": "/new"})
    assert moved["new"] == copied["new"]
    assert moved == patched(doc, {"op": "copy", "from": pointer, "path": "/new"}, {"op": "remove", "path": pointer})


operations = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]) | values,
        "path": st.sampled_from(["", "/", "/a", "/a/0", "/a/-", "/a/-1", "/a/b/c", "/m~0n", "a/b", "~", "/a/²"])
        | values,
        "from": st.sampled_from(["", "/", "/a", "/b", "/a/0"]) | values,
        "value": values,
    },
)


@given(objects, st.lists(operations, max_size=6))
def test_any_json_patch_works_or_is_refused(doc: Any, patch: Any) -> None:
    got: Any = None
    try:
        json_patch.check(parsed(patch))
        got = json_patch.apply(copy(doc), parsed(patch))
    except ApiError as error:
        if error.code not in (400, 413, 422):
            raise
    assert codec.encoded(got) is not None


# -- strategic merge

POD = schemas.load().type("v1/Pod")
names = st.sampled_from(["a", "b", "c", "d"])
env = st.lists(
    st.fixed_dictionaries({"name": names, "value": st.sampled_from(["1", "2"])}),
    max_size=4,
    unique_by=lambda e: e["name"],
)
containers = st.lists(st.fixed_dictionaries({"name": names, "env": env}), max_size=3, unique_by=lambda c: c["name"])
pods: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"finalizers": st.lists(names, unique=True, max_size=4)}),
        "spec": st.fixed_dictionaries({"containers": containers}),
    }
)


def by_name(items: list[Any]) -> dict[str, Any]:
    return {item["name"]: item for item in items}


def changed(pod: Any, patch: Any) -> Any:
    return strategic.apply(copy(pod), copy(patch), POD)


@given(pods, pods)
def test_strategic_merge_joins_by_key(pod: Any, patch: Any) -> None:
    got = changed(pod, patch)
    before, sent, after = (by_name(each["spec"]["containers"]) for each in (pod, patch, got))
    assert after.keys() == before.keys() | sent.keys()
    for name, container in after.items():
        old = by_name(before.get(name, {}).get("env", []))
        new = by_name(sent.get(name, {}).get("env", []))
        assert by_name(container["env"]) == {**old, **new}
    finalizers = got["metadata"]["finalizers"]
    assert sorted(finalizers) == sorted({*pod["metadata"]["finalizers"], *patch["metadata"]["finalizers"]})


@given(pods, pods)
def test_a_strategic_merge_twice_is_once(pod: Any, patch: Any) -> None:
    once = changed(pod, patch)
    assert changed(once, patch) == once


@given(pods)
def test_an_empty_strategic_merge_changes_nothing(pod: Any) -> None:
    assert changed(pod, {}) == pod
    assert changed(pod, pod) == pod


@given(pods, st.sets(names))
def test_what_strategic_merge_deletes_is_gone(pod: Any, gone: set[str]) -> None:
    patch = {
        "spec": {"containers": [{"name": name, "$patch": "delete"} for name in sorted(gone)]},
        "metadata": {"$deleteFromPrimitiveList/finalizers": sorted(gone)},
    }
    got = changed(pod, patch)
    assert [each["name"] for each in got["spec"]["containers"]] == [
        each["name"] for each in pod["spec"]["containers"] if each["name"] not in gone
    ]
    assert got["metadata"]["finalizers"] == [each for each in pod["metadata"]["finalizers"] if each not in gone]


@given(pods.filter(lambda pod: bool(pod["spec"]["containers"])), st.permutations(["a", "b", "c", "d"]))
def test_strategic_merge_sets_the_order(pod: Any, order: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in order]}}
    got = [each["name"] for each in changed(pod, patch)["spec"]["containers"]]
    assert got == [name for name in order if name in got]


@given(pods, pods)
def test_strategic_replace_replaces(pod: Any, patch: Any) -> None:
    wanted = patch["spec"]["containers"]
    got = changed(pod, {"spec": {"containers": [*wanted, {"$patch": "replace"}]}})
    assert got["spec"]["containers"] == wanted


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers()), max_size=9))
def test_the_odd_sort_is_the_originals_insertion_sort(ranked: list[tuple[int, int]]) -> None:
    slow = list(ranked)
    for i in range(1, len(slow)):
        j = i
        while j > 0 and not (slow[j][0] >= 0 and slow[j - 1][0] >= 0 and slow[j][0] >= slow[j - 1][0]):
            slow[j], slow[j - 1] = slow[j - 1], slow[j]
            j -= 1
    assert strategic._insertion_sorted(ranked) == [item for _, item in slow]


@settings(max_examples=300)
@given(st.lists(st.sampled_from([1, 2, 3, True, "a", "1"]), max_size=9))
def test_repeated_scalars_go_as_in_the_original(items: list[Any]) -> None:
    slow, last, i = list(items), len(items) - 1, 0
    while i < last:
        j = i + 1
        while j <= last:
            if type(slow[i]) is type(slow[j]) and slow[i] == slow[j]:
                slow[j] = slow[last]
                last -= 1
                j -= 1
            j += 1
        i += 1
    assert list(map(repr, strategic._deduplicated(list(items)))) == list(map(repr, slow[: last + 1]))
