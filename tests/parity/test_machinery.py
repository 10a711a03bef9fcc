"""The suite itself: nothing that an answer says may differ unnoticed, and every area is there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.parity import paths, scenario
from tests.parity.normalise import Normaliser
from tests.parity.runner import compare
from tests.parity.scenario import FOLDER

AREAS = {"access", "admission", "defaults", "errors", "extending", "reading", "validation", "writing"}
UID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of everything in value that holds nothing itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [leaf for key, item in items for leaf in leaves(item, paths.child(path, key))]
    yield from inner or [path]


def test_every_area_has_scenarios() -> None:
    assert {path.name for path in FOLDER.iterdir()} == AREAS
    assert sum(len(list(what.every_step())) for what in scenario.load()) > 1300


def test_titles_are_unique() -> None:
    names = [what.name for what in scenario.load()]
    assert len(set(names)) == len(names)


def test_any_change_of_any_answer_is_noticed() -> None:
    """Each leaf of each expected answer of some scenarios is changed, and taken away, in turn."""
    changes = 0
    for what in scenario.load()[::10]:
        before = None
        for step in what.every_step():
            want = scenario.expected(step, before)
            if scenario.is_object(want.get("body")):
                before = want["body"]
            if "before" in step["answer"]:
                continue
            for leaf in list(leaves(want))[:200]:
                broken = copy.deepcopy(want)
                paths.put(broken, leaf, {"other": "value"})
                assert list(compare([(step, broken)])), f"{what.name}: {step['request']}: {leaf}"
                paths.drop(broken, leaf)
                assert list(compare([(step, broken)])), f"{what.name}: {step['request']}: {leaf}"
                changes += 2
    assert changes > 1000


def test_a_word_that_means_nothing_is_refused() -> None:
    step = {"request": "GET /api", "answer": {"code": 200, "boddy": {}}}
    with pytest.raises(ValueError, match="boddy"):
        scenario.check("x", step)


def test_only_what_runs_do_not_share_is_replaced() -> None:
    requests = [{"request": "POST /x", "body": {"spec": {"clusterIP": "10.96.0.7"}}}]
    normaliser = Normaliser(requests, {"id": "qwertyui", "ns": "ns-qwertyui"}, 6443)
    metadata = {"name": "a-qwertyui", "uid": UID, "resourceVersion": "17", "creationTimestamp": "2026-01-02T03:04:05Z"}
    body = {"metadata": metadata, "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.9"], "port": 17}}
    first, again = normaliser.answer(body, "POST /x"), normaliser.answer(body, "GET /x")
    assert first == {
        "metadata": {"name": "a-${id}", "uid": "<uuid>", "resourceVersion": "<rv new>", "creationTimestamp": "<time>"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["<clusterIP>"], "port": 17},
    }
    assert again["metadata"]["resourceVersion"] == "<rv seen>"
    times = normaliser.value(
        {"a": "2026-01-02T03:04:05.000001Z", "b": "2026-01-02T03:04:05Z", "c": "2026-01-02 03:04:05"}
    )
    assert times == {"a": "<microtime>", "b": "<time>", "c": "2026-01-02 03:04:05"}


def test_places_are_read_changed_and_compared() -> None:
    value = {"a": [{"type": "x", "b.c": 1}, {"type": "y"}]}
    assert paths.read(value, '.a[type=x]["b.c"]') == 1
    assert paths.read(value, ".a[2].type") is paths.ABSENT
    changed = scenario.changed(value, {".a[0].new": True, ".a[1]": 0, ".a[2]": "appended"}, ['.a[0]["b.c"]'])
    assert changed == {"a": [{"type": "x", "new": True}, 0, "appended"]}
    assert [place for place, _, _ in paths.differences(value, changed)] == [
        '.a[0]["b.c"]',
        ".a[0].new",
        ".a[1]",
        ".a[2]",
    ]
    assert [place for place, _, _ in paths.differences({"n": 1}, {"n": True})] == [".n"]
    assert paths.without(value, [".a[*].type"]) == {"a": [{"b.c": 1}, {}]}
