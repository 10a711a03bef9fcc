"""PodDisruptionBudget."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from tests.support.kindtest import KindTester, changed

GOOD: dict[str, Any] = {
    "metadata": {"name": "b"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}},
}
tester = KindTester(PodDisruptionBudget())


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({}, []),
        ({"spec.minAvailable": "50%"}, []),
        ({"spec.minAvailable": -1}, ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"spec.minAvailable": "101%"},
            ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            {"spec.maxUnavailable": 1},
            ["spec: Invalid value"],
        ),
        (
            {"spec.unhealthyPodEvictionPolicy": "Sometimes"},
            ["spec.unhealthyPodEvictionPolicy: Unsupported value"],
        ),
    ],
)
def test_faults(edits: dict[str, Any], errors: list[str]) -> None:
    found = tester.create(changed(GOOD, edits)).errors
    assert len(found) == len(errors)
    assert all(text.startswith(error) for text, error in zip(found, errors, strict=True))


def test_status_counts() -> None:
    old = tester.create(GOOD).obj
    status = {"disruptionsAllowed": -1, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    assert tester.update(changed(old, {"status": status}), old, subresource="status").errors == [
        "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"
    ]
