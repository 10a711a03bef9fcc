"""Laws of server-side apply, of pruning and of validation; jsonschema is the independent judge of the last."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.errors import ApiError
from apiserver.patch.managed import FieldManager
from openapi import schemas, structural
from openapi.structural import Structural
from openapi.validate import Validator

Obj = dict[str, Any]
NOW = "2026-01-02T03:04:05Z"
PODS = FieldManager("v1", "Pod", types=lambda version: schemas.load().type("v1/Pod") if version == "v1" else None)

# -- apply

names = st.sampled_from(["a", "b", "c"])
texts = st.sampled_from(["1", "2", "3"])
env = st.lists(
    st.fixed_dictionaries({"name": names, "value": texts}), min_size=1, max_size=3, unique_by=lambda each: each["name"]
)
container = st.fixed_dictionaries(
    {"name": names, "image": texts}, optional={"env": env, "command": st.lists(texts, min_size=1, max_size=2)}
)
pods = st.fixed_dictionaries(
    {"apiVersion": st.just("v1"), "kind": st.just("Pod")},
    optional={
        "metadata": st.fixed_dictionaries(
            {"name": st.just("p")},
            optional={
                "labels": st.dictionaries(names, texts, min_size=1, max_size=3),
                "finalizers": st.lists(names, unique=True, min_size=1, max_size=3),
            },
        ),
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(container, min_size=1, max_size=3, unique_by=lambda each: each["name"])},
            optional={"nodeName": texts, "nodeSelector": st.dictionaries(names, texts, min_size=1, max_size=2)},
        ),
    },
)  # fmt: skip


def applied(live: Obj | None, patch: Obj, manager: str, *, force: bool = True) -> Obj:
    out = PODS.apply(copy.deepcopy(live), copy.deepcopy(patch), manager=manager, now=NOW, force=force)
    out.update(apiVersion="v1", kind="Pod")
    return out


def fields_of(obj: Obj, manager: str) -> Obj:
    for entry in obj["metadata"].get("managedFields") or ():
        if entry["manager"] == manager:
            found: Obj = entry["fieldsV1"]
            return found
    return {}


def without_managers(obj: Obj) -> Obj:
    meta = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": meta}


def paths(value: Any, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The leaves of a pod that apply owns, in fieldsV1's own notation."""
    if value is None:
        return set()
    if at in ((), ("f:metadata",), ("f:spec",)) or at[-1] == "f:labels" or at[-1].startswith("k:"):
        out = {(*at, ".")} if at and at[-1].startswith("k:") else set()
        for key, item in value.items():
            if at or key not in ("apiVersion", "kind"):
                out |= paths(item, (*at, f"f:{key}")) if (*at, key) != ("f:metadata", "name") else set()
        return out
    if at[-1] in ("f:containers", "f:env"):
        return set().union(*(paths(item, (*at, f'k:{{"name":"{item["name"]}"}}')) for item in value))
    if at[-1] == "f:finalizers":
        return {(*at, f'v:"{item}"') for item in value}
    return {at}


def leaves(fields: Obj, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """As paths(), of a fieldsV1, without the maps that were named only by what is in them."""
    if not fields:
        return {at} if at else set()
    out = set()
    for key, below in fields.items():
        if key != "." or (at and at[-1].startswith("k:")):
            out |= leaves(below, (*at, key))
    return out


@given(pods, pods)
def test_apply_twice_is_apply_once(first: Obj, second: Obj) -> None:
    live = applied(None, first, "one")
    once = applied(live, second, "two")
    twice = applied(once, second, "two")
    assert without_managers(twice) == without_managers(once)
    assert fields_of(twice, "two") == fields_of(once, "two")


@given(pods, pods)
def test_a_managers_fields_are_what_it_applied(first: Obj, second: Obj) -> None:
    live = applied(None, first, "one")
    assert leaves(fields_of(live, "one")) == paths(first)
    both = applied(live, second, "two")
    assert leaves(fields_of(both, "two")) == paths(second)
    again = applied(both, first, "two")
    assert leaves(fields_of(again, "two")) == paths(first)


@given(pods, pods)
def test_what_is_applied_alone_is_the_object(first: Obj, second: Obj) -> None:
    """What a manager no longer applies goes, when nobody else owns it."""
    once = applied(None, second, "one")
    after = applied(applied(None, first, "one"), second, "one")
    assert paths(without_managers(after)) == paths(without_managers(once))


@given(pods, pods)
def test_a_conflict_is_told_exactly_when_force_would_take_something(first: Obj, second: Obj) -> None:
    live = applied(None, first, "one")
    forced = applied(live, second, "two")
    taken = leaves(fields_of(live, "one")) - leaves(fields_of(forced, "one"))
    try:
        applied(live, second, "two", force=False)
    except ApiError as error:
        assert (error.code, bool(taken)) == (409, True)  # noqa: PT017
    else:
        assert not taken


# -- schemas

schema_leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "maxLength": 2},
        {"type": "string", "minLength": 1},
        {"type": "string", "pattern": "^a"},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "integer", "minimum": 0, "maximum": 5},
        {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        {"type": "integer", "multipleOf": 2},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "string", "nullable": True},
        {"type": "string", "not": {"enum": ["a"]}},
        {"type": "integer", "anyOf": [{"minimum": 3}, {"maximum": 1}]},
        {"type": "integer", "oneOf": [{"minimum": 3}, {"maximum": 4}]},
        {"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 4}]},
    ]
)  # fmt: skip
fields = st.sampled_from(["x", "y", "z"])


def composite(inner: st.SearchStrategy[Obj]) -> st.SearchStrategy[Obj]:
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(fields, inner, max_size=3)},
            optional={"required": st.lists(fields, unique=True, max_size=2), "maxProperties": st.just(2)},
        ),
        st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner}),
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"maxItems": st.just(2), "minItems": st.just(1)}
        ),
    )


any_schema = st.recursive(schema_leaves, composite, max_leaves=6)
json_leaves = st.none() | st.booleans() | st.integers(-1, 6) | st.sampled_from(["", "a", "b", "abc", 0.5])
any_value = st.recursive(
    json_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=3), max_leaves=8
)


def translated(schema: Any) -> Any:
    """OpenAPI v3's dialect in that of JSON schema's draft 4, which has the same exclusiveMinimum."""
    if isinstance(schema, list):
        return [translated(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: value if key in ("enum", "required") else translated(value) for key, value in schema.items()}
    if out.pop("nullable", False) is True:
        return {"anyOf": [out, {"type": "null"}]}
    return out


@settings(max_examples=400)
@given(any_schema, any_value)
def test_validation_agrees_with_jsonschema(schema: Obj, value: Any) -> None:
    judge = jsonschema.Draft4Validator(translated(schema))
    assert bool(Validator(schema).check(copy.deepcopy(value))) == (not judge.is_valid(value))


@settings(max_examples=300)
@given(any_schema, any_value)
def test_pruning_is_done_once(schema: Obj, value: Any) -> None:
    shape = Structural(schema)
    once = copy.deepcopy(value)
    dropped: list[str] = []
    structural.prune(once, shape, dropped)
    twice, more = copy.deepcopy(once), list[str]()
    structural.prune(twice, shape, more)
    assert twice == once
    assert not more
    if not dropped:
        assert once == value
    if not Validator(schema).check(once):
        assert bool(Validator(schema).check(value)) is False or bool(dropped)


@settings(max_examples=300)
@given(any_schema, any_value)
def test_defaulting_is_done_once(schema: Obj, value: Any) -> None:
    shape = Structural({"type": "object", "properties": {"x": schema, "y": {"type": "integer", "default": 3}}})
    once: Any = {"x": copy.deepcopy(value)}
    structural.default(once, shape)
    twice = copy.deepcopy(once)
    structural.default(twice, shape)
    assert twice == once
    assert once["y"] == 3
