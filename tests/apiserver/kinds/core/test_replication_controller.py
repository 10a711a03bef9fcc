"""ReplicationController: defaults, validation, status."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.replication_controller import REPLICATION_CONTROLLER
from tests.support.kindtest import GONE, KindTester, changed

CONTROLLER: dict[str, Any] = {
    "metadata": {"name": "a"},
    "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
}
tester = KindTester(REPLICATION_CONTROLLER)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        (
            {"metadata.name": "a.b"},
            [],
            [
                (
                    "metadata.name: this is used in Pod names and hostnames, which can result in surprising "
                    "behavior; a DNS label is recommended: [must not contain dots]"
                )
            ],
        ),
        ({"spec.replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"], []),
        (
            {"spec.minReadySeconds": -1},
            ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"],
            [],
        ),
        (
            {"spec.selector": {"x": "y"}},
            ['spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'],
            [],
        ),
        ({"spec.template.metadata.labels": GONE}, ["spec.selector: Required value"], []),
        ({"spec.template": GONE}, ["spec.selector: Required value", "spec.template: Required value"], []),
        (
            {"spec.template.spec.restartPolicy": "Never"},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
            [],
        ),
        (
            {"spec.template.spec.activeDeadlineSeconds": 1},
            [
                (
                    "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in "
                    "ReplicationController is not Supported"
                )
            ],
            [],
        ),
        (
            {"spec.template.spec.containers[0].image": ""},
            ["spec.template.spec.containers[0].image: Required value"],
            [],
        ),
        (
            {"spec.template.spec.nodeSelector": {"beta.kubernetes.io/os": "linux"}},
            [],
            [
                (
                    "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "
                    '"kubernetes.io/os" instead'
                )
            ],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(CONTROLLER, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)


def test_defaults() -> None:
    made = tester.create(CONTROLLER).obj
    assert made["spec"]["selector"] == made["metadata"]["labels"] == {"a": "b"}
    assert (made["spec"]["replicas"], made["metadata"]["generation"]) == (1, 1)
    own = tester.create(changed(CONTROLLER, {"metadata.labels": {"x": "y"}, "spec.replicas": 0})).obj
    assert (own["metadata"]["labels"], own["spec"]["replicas"]) == ({"x": "y"}, 0)


def test_updates_are_checked() -> None:
    old = tester.create(CONTROLLER).obj
    text = "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    assert tester.update(changed(CONTROLLER, {"spec.replicas": -1}), old).errors == [text]
    assert tester.update(changed(CONTROLLER, {"spec.replicas": 3}), old).obj["metadata"]["generation"] == 2


def test_status() -> None:
    new = changed(CONTROLLER, {"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}})
    assert tester.update(new, tester.create(CONTROLLER).obj, subresource="status").errors == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ]


def test_a_change_warns_of_the_template_it_replaces() -> None:
    old = tester.create(changed(CONTROLLER, {"spec.template.spec.nodeSelector": {"beta.kubernetes.io/os": "a"}})).obj
    changed_only_here = changed(CONTROLLER, {"spec.template.metadata.labels.c": "d"})
    changed_only_here["metadata"]["generation"] = 2
    assert any("beta.kubernetes.io/os" in text for text in tester.update(changed_only_here, old).warnings)
