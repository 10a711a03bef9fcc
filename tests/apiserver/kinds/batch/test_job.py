"""Jobs: generated selector and labels, rules, what an update may change, status transitions."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.batch.job import Job
from tests.support.kindtest import KindTester, changed

GOOD: dict[str, Any] = {
    "metadata": {"name": "j"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
}
UID = "00000000-0000-0000-0000-000000000001"
INDEXED = changed(GOOD, {"spec.completionMode": "Indexed", "spec.completions": 3, "spec.parallelism": 2})
tester = KindTester(Job())


def test_a_job_selects_its_own_pods() -> None:
    outcome = tester.create(GOOD)
    assert outcome.errors == []
    spec = outcome.obj["spec"]
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": UID}}
    assert spec["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": UID,
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": UID,
        "job-name": "j",
    }
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 6)
    assert (spec["completionMode"], spec["suspend"], spec["podReplacementPolicy"]) == (
        "NonIndexed",
        False,
        "TerminatingOrFailed",
    )


def test_manual_selectors_are_kept() -> None:
    manual = {
        "spec.manualSelector": True,
        "spec.selector": {"matchLabels": {"app": "a"}},
        "spec.template.metadata": {"labels": {"app": "a"}},
    }
    outcome = tester.create(changed(GOOD, manual))
    assert outcome.errors == []
    assert outcome.obj["spec"]["selector"] == {"matchLabels": {"app": "a"}}
    assert outcome.obj["spec"]["template"]["metadata"]["labels"] == {"app": "a"}


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        (
            {"spec.template.spec.restartPolicy": "Always"},
            [
                'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
            ],
        ),
        ({"spec.backoffLimit": -1}, ["spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"spec.completionMode": "Indexed"},
            [],
        ),
        (
            {"spec.backoffLimitPerIndex": 1},
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
    ],
)
def test_faults(edits: dict[str, Any], errors: list[str]) -> None:
    assert tester.create(changed(GOOD, edits)).errors == errors


def test_what_an_update_may_change() -> None:
    old = tester.create(INDEXED).obj
    given = changed(INDEXED, {"spec.selector": old["spec"]["selector"], "spec.template": old["spec"]["template"]})
    assert tester.update(changed(given, {"spec.parallelism": 5, "spec.suspend": True}), old).errors == []
    assert tester.update(changed(given, {"spec.completions": 5}), old).errors == [
        "spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"
    ]
    assert tester.update(changed(given, {"spec.completions": 5, "spec.parallelism": 5}), old).errors == []
    image = {"spec.template.spec.containers[0].image": "new"}
    assert [text.split(":")[0] for text in tester.update(changed(given, image), old).errors] == ["spec.template"]


def test_conditions_do_not_turn_back() -> None:
    old = tester.create(GOOD).obj
    now = "2026-01-01T00:00:00Z"
    complete = {
        "conditions": [
            {"type": "SuccessCriteriaMet", "status": "True"},
            {"type": "Complete", "status": "True"},
        ],
        "startTime": now,
        "completionTime": now,
        "succeeded": 1,
    }
    done = tester.update(changed(old, {"status": complete}), old, subresource="status")
    assert done.errors == []
    both = changed(old, {"status": complete})
    both["status"]["conditions"].append({"type": "Failed", "status": "True"})
    assert tester.update(both, old, subresource="status").errors
    undone = changed(old, {"status": {"startTime": now}})
    assert tester.update(undone, done.obj, subresource="status").errors
