"""PriorityClass."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.scheduling.priorityclass import PriorityClass
from tests.support.kindtest import KindTester, changed

GOOD: dict[str, Any] = {"metadata": {"name": "p"}, "value": 5}
tester = KindTester(PriorityClass())


def test_default_policy() -> None:
    assert tester.create(GOOD).obj["preemptionPolicy"] == "PreemptLowerPriority"


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"value": 1_000_000_001}, "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
        (
            {"metadata.name": "system-x"},
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved",
        ),
        ({"preemptionPolicy": "Maybe"}, "preemptionPolicy: Unsupported value"),
    ],
)
def test_faults(edits: dict[str, Any], error: str) -> None:
    assert tester.create(changed(GOOD, edits)).errors[0].startswith(error)


def test_the_value_stays() -> None:
    old = tester.create(GOOD).obj
    assert tester.update(changed(GOOD, {"description": "d", "globalDefault": True}), old).errors == []
    assert tester.update(changed(GOOD, {"value": 6}), old).errors[0].startswith("value: ")
