"""Event, as core/v1 and as events.k8s.io/v1 write it."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.event import EVENT
from apiserver.kinds.events.event import Event
from tests.support.kindtest import GONE, KindTester, changed

tester = KindTester(EVENT)
OLD: dict[str, Any] = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "p"}}
NEW: dict[str, Any] = {
    "metadata": {"name": "e"},
    "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "p"},
    "eventTime": "2001-02-03T04:05:06.000007Z",
    "reportingComponent": "example.com/controller",
    "reportingInstance": "one",
    "action": "Doing",
    "reason": "Done",
    "type": "Normal",
}
STRICT = "events.k8s.io"


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({}, []),
        ({"metadata.name": "An_event"}, []),
        ({"type": "Anything", "reason": "r" * 200}, []),
        (
            {"involvedObject.namespace": GONE},
            ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
        ),
        (
            {"involvedObject.namespace": "other"},
            ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
        ),
        (
            {"eventTime": NEW["eventTime"], "reportingComponent": "c"},
            [
                "reportingInstance: Required value",
                "action: Required value",
                "reason: Required value",
            ],
        ),
    ],
)
def test_old_ones(edits: dict[str, Any], errors: list[str]) -> None:
    assert tester.create(changed(OLD, edits)).errors == errors


def test_of_objects_without_a_namespace() -> None:
    event = changed(OLD, {"involvedObject": {"kind": "Node", "name": "n"}, "metadata.namespace": "default"})
    assert tester.create(event).errors == []


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({}, []),
        ({"eventTime": GONE}, ["eventTime: Required value"]),
        ({"type": "X"}, ['type: Invalid value: "": has invalid value: X']),
        ({"action": GONE}, ["action: Required value"]),
        ({"reason": "r" * 129}, ['reason: Invalid value: "": can have at most 128 characters']),
        ({"message": "m" * 1025}, ['message: Invalid value: "": can have at most 1024 characters']),
        ({"reportingComponent": "a/b/c"}, None),
        ({"count": 1}, ['count: Invalid value: "": needs to be unset']),
        ({"source": {"component": "x"}}, ['source: Invalid value: "": needs to be unset']),
        (
            {"series": {"count": 1}},
            ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"],
        ),
        ({"metadata.name": "An_event"}, None),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str] | None) -> None:
    found = tester.create(changed(NEW, edits), group=STRICT).errors
    assert found == errors if errors is not None else found


def test_only_the_series_of_a_new_one_changes() -> None:
    old = tester.create(NEW, group=STRICT).obj
    series = {"count": 2, "lastObservedTime": NEW["eventTime"]}
    assert tester.update(changed(NEW, {"series": series}), old, group=STRICT).errors == []
    assert tester.update(changed(NEW, {"reason": "Other", "message": "m"}), old, group=STRICT).errors == [
        'reason: Invalid value: "Other": field is immutable',
        'message: Invalid value: "m": field is immutable',
        'reason: Invalid value: "Other": field is immutable',
    ]
    assert tester.update(changed(NEW, {"reason": "Other"}), old).errors == []


def test_the_other_group_has_other_names() -> None:
    kind = Event()
    stored = tester.create(NEW).obj
    shown = kind.from_shared(stored)
    assert shown["apiVersion"] == "events.k8s.io/v1"
    assert (shown["regarding"]["name"], shown["reportingController"]) == ("p", "example.com/controller")
    assert kind.to_shared(shown) == stored
    old = kind.from_shared(tester.create(OLD).obj)
    assert "reportingController" not in old


def test_fields_to_select_by() -> None:
    fields = EVENT.selectable_fields(tester.create(changed(OLD, {"source": {"component": "kubelet"}})).obj)
    assert (fields["involvedObject.name"], fields["source"], fields["reason"]) == ("p", "kubelet", "")
