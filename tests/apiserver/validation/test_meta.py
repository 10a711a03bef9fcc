"""Metadata of new and updated objects."""

from __future__ import annotations

from typing import Any

from apiserver.validation import labels, meta, names


def texts(errors: list[Any]) -> list[str]:
    return [str(error) for error in errors]


def check(**fields: Any) -> list[str]:
    return texts(meta.validate_object_meta({"name": "a", "namespace": "n", **fields}, True, names.dns_subdomain))


def test_good_metadata() -> None:
    assert check(labels={"a": "b"}, annotations={"Example.com/Foo": "c\n"}) == []


def test_each_part_is_checked() -> None:
    assert check(name="") == ["metadata.name: Required value: name or generateName is required"]
    assert check(namespace="") == ["metadata.namespace: Required value"]
    assert check(generation=-1) == ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"]
    assert check(annotations={"a": "é" * 131072}) == [
        "metadata.annotations: Too long: may not be more than 262144 bytes"
    ]
    assert check(finalizers=["orphan", "foregroundDeletion"])[0].endswith(
        "finalizer orphan and foregroundDeletion cannot be both set"
    )
    assert texts(meta.validate_object_meta({"name": "a", "namespace": "n"}, False, names.dns_subdomain)) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_owner_references() -> None:
    good = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    assert check(ownerReferences=[good]) == []
    assert "Only one reference can have Controller set to true" in check(ownerReferences=[good, good])[0]
    assert check(ownerReferences=[{**good, "kind": "Event"}])[0].endswith(
        "/v1, Kind=Event is disallowed from being an owner"
    )
    assert check(ownerReferences=[{**good, "apiVersion": "a/b/c", "uid": ""}]) == [
        'metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty',
        'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
    ]


def test_finalizers_of_core() -> None:
    def found(*finalizers: str) -> list[str]:
        names_of = {"name": "a", "namespace": "n", "finalizers": list(finalizers)}
        return texts(meta.validate_object_meta(names_of, True, names.dns_subdomain, core=True))

    assert found("kubernetes", "orphan", "example.com/x") == []
    assert found("example.com/x", "mine") == [
        'metadata.finalizers[1]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'
    ]
    assert check(finalizers=["mine"]) == []


def test_conditions() -> None:
    good = {"type": "A", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert meta.validate_conditions([good], "c") == []
    assert texts(meta.validate_conditions([good, {**good, "status": ""}], "c")) == [
        'c[1].type: Duplicate value: "A"',
        'c[1].status: Unsupported value: "": supported values: "False", "True", "Unknown"',
    ]
    assert texts(meta.validate_conditions([{**good, "type": ""}], "c"))[0] == (
        'c[0].type: Invalid value: "": name part must be non-empty'
    )


def test_updates() -> None:
    old = {
        "name": "a",
        "uid": "u",
        "resourceVersion": "1",
        "deletionTimestamp": "x",
        "finalizers": ["a/b"],
        "generation": 2,
    }
    assert meta.validate_object_meta_update(old, old) == []
    new = {**old, "uid": "v", "finalizers": ["a/b", "c/d"], "generation": 1, "resourceVersion": ""}
    assert texts(meta.validate_object_meta_update(new, old)) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"c/d"}',
        'metadata.resourceVersion: Invalid value: "": must be specified for an update',
        "metadata.generation: Invalid value: 1: must not be decremented",
        'metadata.uid: Invalid value: "v": field is immutable',
    ]


def test_semantic_equality() -> None:
    assert meta.same({"a": None, "b": {"c": []}}, {"b": {}})
    assert meta.same(None, {})
    assert meta.same([], None)
    assert not meta.same(0, None)
    assert not meta.same(None, "")
    assert not meta.same(None, False)
    assert not meta.same({"a": 1}, {"a": 2})
    assert not meta.same([1], [1, 2])


def test_label_selectors() -> None:
    selector = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["x y"]}]}
    assert texts(labels.validate_label_selector(selector, "spec.selector"))[0].startswith(
        'spec.selector.matchExpressions[0].values[0]: Invalid value: "x y": a valid label must be'
    )
    assert labels.validate_label_selector(selector, "s", allow_invalid_values=True) == []
    assert labels.has_invalid_values(selector)
    bad = {"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Exists", "values": ["v"]},
                                {"key": "c", "operator": "Like"}]}  # fmt: skip
    assert texts(labels.validate_label_selector(bad, "s")) == [
        "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        "s.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        's.matchExpressions[2].operator: Invalid value: "Like": not a valid selector operator',
    ]
