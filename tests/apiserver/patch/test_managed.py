"""Field ownership: what updates and server-side apply do to managedFields and to objects."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.errors import ApiError
from apiserver.patch import fieldset, managed, typed
from apiserver.patch.managed import FieldManager
from openapi import schemas
from openapi.schemas import TypeInfo
from openapi.structural import CustomType, Structural

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
Obj = dict[str, Any]


def manager(kind: str, **options: Any) -> FieldManager:
    info = schemas.load().type(kind)
    version, _, name = kind.rpartition("/")
    return FieldManager(version, name, types=lambda asked: info if asked == version else None, **options)


CONFIG = manager("v1/ConfigMap")
POD = manager("v1/Pod", reset={"v1": {"f:status": {}}})
SERVICE = manager("v1/Service")


def config(data: Obj | None = None, **metadata: Any) -> Obj:
    out: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}}
    return out if data is None else {**out, "data": data}


def apply(
    live: Obj | None, patch: Obj, who: str, *, by: FieldManager = CONFIG, now: str = NOW, force: bool = False
) -> Obj:
    obj = by.apply(copy.deepcopy(live), copy.deepcopy(patch), manager=who, now=now, force=force)
    obj["metadata"]["uid"] = "u"
    return obj


def update(live: Obj | None, new: Obj, who: str, *, by: FieldManager = CONFIG, now: str = NOW) -> Obj:
    decoded, _ = by.info.decode(new)
    obj = by.update(copy.deepcopy(live), decoded, manager=who, now=now)
    obj["metadata"]["uid"] = "u"
    return obj


def owners(obj: Obj) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def test_a_creation_owns_what_it_sets_and_containers_it_makes() -> None:
    pod = {
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
        "status": {"phase": "Running"},
    }
    assert owners(update(None, pod, "kubectl", by=POD)) == {
        "kubectl": {
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {
                "f:containers": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:image": {},
                        "f:name": {},
                        "f:ports": {
                            ".": {},
                            'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                        },
                        "f:resources": {},
                    }
                }
            },
        }
    }


def test_apply_shares_moves_and_removes_fields() -> None:
    live = apply(None, config({"a": "1", "b": "2"}), "one")
    live = apply(live, config({"a": "1"}), "one")
    assert live["data"] == {"a": "1"}
    live = apply(live, config({"a": "1"}), "two")
    assert owners(live) == {"one": {"f:data": {"f:a": {}}}, "two": {"f:data": {"f:a": {}}}}
    assert "time" not in live["metadata"]["managedFields"][0]  # nothing changed, so `two` has no time yet
    live = apply(live, config(), "one")
    assert (live["data"], set(owners(live))) == ({"a": "1"}, {"two"})
    live = apply(live, config(), "two")
    assert "data" not in live


def test_conflicts_name_managers_and_fields() -> None:
    live = apply(None, config({"a": "1", "b": "1"}), "one")
    with pytest.raises(ApiError) as error:
        apply(live, config({"a": "2"}), "two")
    assert error.value.code == 409
    assert error.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert error.value.causes == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    ]
    forced = apply(live, config({"a": "2"}), "two", force=True)
    assert owners(forced) == {"one": {"f:data": {"f:b": {}}}, "two": {"f:data": {"f:a": {}}}}
    live = update(live, {**live, "data": {"a": "3", "b": "3"}}, "editor")
    with pytest.raises(ApiError) as error:
        apply(live, config({"a": "1", "b": "1"}), "one")
    assert error.value.message == (
        'Apply failed with 2 conflicts: conflicts with "editor" using v1:\n- .data.a\n- .data.b'
    )


def test_an_untracked_object_belongs_to_who_was_before() -> None:
    with pytest.raises(ApiError) as error:
        apply(config({"a": "1"}, uid="u"), config({"a": "2"}), "one")
    assert 'conflict with "before-first-apply" using v1: .data.a' in error.value.message


def test_times_move_only_when_something_changes() -> None:
    live = update(None, config({"a": "1"}), "x")
    same = update(live, {**live, "metadata": {**live["metadata"]}}, "y", now=LATER)
    assert same["metadata"]["managedFields"] == live["metadata"]["managedFields"]
    changed = update(live, {**live, "data": {"a": "2"}}, "x", now=LATER)
    assert changed["metadata"]["managedFields"][0]["time"] == LATER


def test_clearing_and_forging() -> None:
    live = update(None, config({"a": "1"}), "x")
    assert (
        "managedFields" not in update(live, {**live, "metadata": {"name": "c", "managedFields": [{}]}}, "x")["metadata"]
    )
    assert (
        "managedFields" not in update(live, {**live, "metadata": {"name": "c", "managedFields": []}}, "x")["metadata"]
    )
    kept = update(
        live, {**live, "metadata": {"name": "c", "managedFields": [{"manager": "x", "operation": "Bogus"}]}}, "x"
    )
    assert owners(kept) == owners(live)


def test_old_update_managers_are_joined() -> None:
    live = update(None, config({"k0": "v"}), "m0")
    for number in range(1, 12):
        data = {**live["data"], f"k{number}": "v"}
        live = update(live, {**live, "data": data}, f"m{number}", now=f"2026-01-01T00:00:{number:02}Z")
    entries = live["metadata"]["managedFields"]
    assert len(entries) == 10
    assert "ancient-changes" in owners(live)


def test_default_keys_of_list_maps() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    live = apply(None, service, "one", by=SERVICE)
    assert 'k:{"port":80,"protocol":"TCP"}' in owners(live)["one"]["f:spec"]["f:ports"]
    live["spec"]["ports"][0]["protocol"] = "TCP"
    again = apply(live, service, "one", by=SERVICE)
    assert again["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 0}]


@pytest.mark.parametrize(
    ("patch", "code", "text"),
    [
        ({"metadata": {"name": "c"}}, 400, "invalid object type: /, Kind="),
        ({**config(), "kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
        (config(managedFields=[{"manager": "x"}]), 400, "metadata.managedFields must be nil"),
        (
            {**config(), "foo": "bar"},
            500,
            "failed to create typed patch object (/c; /v1, Kind=ConfigMap): .foo: field not declared in schema",
        ),
        (
            config({"a": 1}),
            500,
            "failed to create typed patch object (/c; /v1, Kind=ConfigMap): .data.a: expected string, got &value.valueUnstructured{Value:1}",  # noqa: E501
        ),
    ],
)
def test_patches_that_fit_nothing(patch: Obj, code: int, text: str) -> None:
    with pytest.raises(ApiError) as error:
        CONFIG.apply(None, patch, manager="m", now=NOW)
    assert (error.value.code, error.value.message) == (code, text)


def test_kubectl_takes_over_what_it_applied_from_the_client() -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}'
    created = config({"a": "1"}, annotations={managed.LAST_APPLIED: text})
    live = update(None, created, "kubectl-client-side-apply")
    changed = apply(live, config({"a": "2"}), "kubectl")
    assert changed["data"] == {"a": "2"}
    assert '"a":"2"' in changed["metadata"]["annotations"][managed.LAST_APPLIED]
    with pytest.raises(ApiError):
        apply(live, config({"a": "2"}), "other")


# -- laws


LIST_MAP: Obj = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                 "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}}  # fmt: skip
CUSTOM_SCHEMA: Obj = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "list": LIST_MAP,
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "atomic": {"type": "array", "items": {"type": "integer"}},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}
CUSTOM_TYPE: TypeInfo = CustomType(Structural(CUSTOM_SCHEMA), "Foo")
words = st.sampled_from(["p", "q", "r"])
specs = st.fixed_dictionaries(
    {},
    optional={
        "list": st.lists(
            st.fixed_dictionaries({"k": words}, optional={"v": st.integers(0, 2)}),
            unique_by=lambda item: item["k"],
            max_size=3,
        ),
        "set": st.lists(words, unique=True, max_size=3),
        "atomic": st.lists(st.integers(0, 2), max_size=2),
        "map": st.dictionaries(words, words, max_size=2),
        "free": st.recursive(
            st.one_of(st.booleans(), words), lambda inner: st.dictionaries(words, inner, max_size=2), max_leaves=4
        ).filter(lambda value: isinstance(value, dict)),
    },
)


def custom(spec: Obj) -> Obj:
    return {"apiVersion": "g/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": spec}


def foo() -> FieldManager:
    return FieldManager("g/v1", "Foo", types=lambda version: CUSTOM_TYPE if version == "g/v1" else None)


@settings(max_examples=60, deadline=None)
@given(specs, specs)
def test_applying_twice_is_applying_once(first: Obj, second: Obj) -> None:
    live = apply(None, custom(first), "one", by=foo())
    once = apply(live, custom(second), "two", by=foo(), force=True)
    twice = apply(once, custom(second), "two", by=foo(), now=LATER)
    assert twice.get("spec") == once.get("spec")
    assert owners(twice) == owners(once)


@settings(max_examples=60, deadline=None)
@given(specs, specs)
def test_a_manager_owns_what_it_applied(first: Obj, second: Obj) -> None:
    live = apply(None, custom(first), "one", by=foo())
    live = apply(live, custom(second), "two", by=foo(), force=True)
    applied = fieldset.difference(typed.field_set(CUSTOM_TYPE, custom(second)), managed._NEVER_TRACKED)
    assert owners(live).get("two", {}) == applied


@settings(max_examples=60, deadline=None)
@given(specs, specs)
def test_what_one_lets_go_is_gone_unless_another_has_it(first: Obj, second: Obj) -> None:
    live = apply(None, custom(first), "one", by=foo())
    live = apply(live, custom(second), "one", by=foo())
    mentioned = typed.field_set(CUSTOM_TYPE, {"spec": live["spec"]} if live.get("spec") else {})
    assert fieldset.difference(mentioned, typed.field_set(CUSTOM_TYPE, {"spec": second})) == {}


sets = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c", "."]), inner, max_size=3),
    max_leaves=8,
).map(lambda value: fieldset.decode({"f:r": value}))


@given(sets, sets)
def test_set_algebra(left: Obj, right: Obj) -> None:
    both = set(fieldset.paths(fieldset.union(left, right)))
    one, two = set(fieldset.paths(left)), set(fieldset.paths(right))
    assert both == one | two
    assert set(fieldset.paths(fieldset.difference(left, right))) == one - two
    assert set(fieldset.paths(fieldset.intersection(left, right))) == one & two
    gone = {path for path in one if any(path[: len(other)] == other for other in two)}
    assert set(fieldset.paths(fieldset.recursive_difference(left, right))) == one - gone
