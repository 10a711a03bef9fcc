"""Deployments: defaults, rules of their fields, what an update may change, status."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.apps.deployment import Deployment
from tests.support.kindtest import GONE, KindTester, changed

GOOD: dict[str, Any] = {
    "metadata": {"name": "d"},
    "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}
ROLLING = "spec.strategy.rollingUpdate"
TYPE_TEXT = "may not be specified when strategy `type` is 'Recreate'"
tester = KindTester(Deployment())


def test_defaults() -> None:
    outcome = tester.create(GOOD)
    assert outcome.errors == []
    spec = outcome.obj["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert outcome.obj["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({"spec.replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        ({"spec.selector": {}}, ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]),
        (
            {"spec.selector.matchLabels": {"app": "b"}},
            ['spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`'],
        ),
        (
            {"spec.strategy": {"type": "Rolling"}},
            [
                'spec.strategy: Unsupported value: {"Type":"Rolling","RollingUpdate":null}: '
                'supported values: "Recreate", "RollingUpdate"'
            ],
        ),
        (
            {"spec.strategy": {"type": "Recreate", "rollingUpdate": {}}},
            [f"{ROLLING}: Forbidden: {TYPE_TEXT}"],
        ),
        (
            {"spec.strategy.rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}},
            [f"{ROLLING}.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            {"spec.strategy.rollingUpdate": {"maxUnavailable": "101%"}},
            [f'{ROLLING}.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            {"spec.template.spec.restartPolicy": "Never"},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            {"spec.progressDeadlineSeconds": 5, "spec.minReadySeconds": 10},
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
    ],
)
def test_faults(edits: dict[str, Any], errors: list[str]) -> None:
    assert tester.create(changed(GOOD, edits)).errors == errors


def test_selector_and_strategy_over_time() -> None:
    old = tester.create(GOOD).obj
    both = {"spec.selector.matchLabels": {"app": "b"}, "spec.template.metadata.labels": {"app": "b"}}
    assert tester.update(changed(GOOD, both), old).errors == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable'
    ]
    assert tester.update(changed(GOOD, {"spec.template.spec.containers[0].image": "new"}), old).errors == []


def test_generation_counts_specs_only() -> None:
    old = tester.create(GOOD).obj
    assert tester.update(changed(GOOD, {"metadata.labels": {"a": "b"}}), old).obj["metadata"]["generation"] == 1
    assert tester.update(changed(GOOD, {"spec.replicas": 2}), old).obj["metadata"]["generation"] == 2


def test_status_is_its_own() -> None:
    given = changed(GOOD, {"status": {"replicas": 3}})
    old = tester.create(given).obj
    assert old["status"] == {}
    assert tester.update(given, old).obj["status"] == {}
    assert tester.update(given, old, subresource="status").obj["status"] == {"replicas": 3}
    wrong = changed(GOOD, {"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}})
    assert tester.update(wrong, old, subresource="status").errors == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ]
    count = tester.update(changed(GOOD, {"status": {"collisionCount": 2}}), old, subresource="status").obj
    assert tester.update(changed(GOOD, {"status": {}}), count, subresource="status").errors == [
        "status.collisionCount: Invalid value: 0: cannot be decremented"
    ]


def test_missing_selector() -> None:
    assert tester.create(changed(GOOD, {"spec.selector": GONE})).errors[0] == "spec.selector: Required value"


def test_an_unknown_strategy_is_shown_as_the_original_draws_it() -> None:
    odd = {"spec.strategy": {"type": "Odd", "rollingUpdate": {"maxSurge": "10%"}}}
    assert tester.create(changed(GOOD, odd)).errors == [
        'spec.strategy: Unsupported value: {"Type":"Odd","RollingUpdate":{"MaxUnavailable":0,"MaxSurge":"10%"}}: '
        'supported values: "Recreate", "RollingUpdate"'
    ]
