"""LimitRange: defaults and validation."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.limit_range import LIMIT_RANGE
from tests.support.kindtest import KindTester, changed
from tests.support.texts import NAME_PART

LIMITS: dict[str, Any] = {
    "metadata": {"name": "a"},
    "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]},
}
tester = KindTester(LIMIT_RANGE)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        (
            {"spec.limits[0].type": "Any"},
            ['spec.limits[0].type: Invalid value: "Any": must be a standard limit type or fully qualified'],
            [],
        ),
        ({"spec.limits[0].type": "a b"}, [('spec.limits[0].type: Invalid value: "a b":' + NAME_PART)], []),
        ({"spec.limits[0].type": "example.com/x"}, [], []),
        ({"spec.limits[1]": {"type": "Container"}}, ['spec.limits[1].type: Duplicate value: "Container"'], []),
        (
            {"spec.limits[0].max": {"storage": "1"}},
            [
                'spec.limits[0].max[storage]: Invalid value: "storage": must be a standard resource for containers',
                'spec.limits[0].default[storage]: Invalid value: "storage": must be a standard resource for containers',
                (
                    'spec.limits[0].defaultRequest[storage]: Invalid value: "storage": must be a standard '
                    "resource for containers"
                ),
            ],
            [],
        ),
        ({"spec.limits[0].max": {"example.com/x": "1", "cpu": "2"}}, [], []),
        (
            {"spec.limits[0].min": {"a b": "1"}},
            [
                ('spec.limits[0].min[a b]: Invalid value: "a b":' + NAME_PART),
                'spec.limits[0].min[a b]: Invalid value: "a b": must be a standard resource for containers',
                ('spec.limits[0].defaultRequest[a b]: Invalid value: "a b":' + NAME_PART),
                'spec.limits[0].defaultRequest[a b]: Invalid value: "a b": must be a standard resource for containers',
            ],
            [],
        ),
        (
            {"spec.limits[0].min": {"cpu": "3"}},
            [
                'spec.limits[0].min[cpu]: Invalid value: "3": min value 3 is greater than max value 2',
                (
                    'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": min value 3 is greater than default '
                    "request value 2"
                ),
                'spec.limits[0].default[cpu]: Invalid value: "3": min value 3 is greater than default value 2',
            ],
            [],
        ),
        (
            {"spec.limits[0].default": {"cpu": "3"}},
            [
                (
                    'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater '
                    "than max value 2"
                ),
                'spec.limits[0].default[cpu]: Invalid value: "2": default value 3 is greater than max value 2',
            ],
            [],
        ),
        (
            {"spec.limits[0].default": {"cpu": "500m"}},
            [
                (
                    'spec.limits[0].defaultRequest[cpu]: Invalid value: "500m": min value 1 is greater than '
                    "default request value 500m"
                ),
                'spec.limits[0].default[cpu]: Invalid value: "1": min value 1 is greater than default value 500m',
            ],
            [],
        ),
        (
            {"spec.limits[0].defaultRequest": {"cpu": "500m"}},
            [
                (
                    'spec.limits[0].defaultRequest[cpu]: Invalid value: "500m": min value 1 is greater than '
                    "default request value 500m"
                )
            ],
            [],
        ),
        (
            {"spec.limits[0].defaultRequest": {"cpu": "3"}},
            [
                (
                    'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater '
                    "than max value 2"
                ),
                (
                    'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater '
                    "than default limit value 2"
                ),
            ],
            [],
        ),
        (
            {"spec.limits[0].default": {"cpu": "1"}, "spec.limits[0].defaultRequest": {"cpu": "1500m"}},
            [
                (
                    'spec.limits[0].defaultRequest[cpu]: Invalid value: "1500m": default request value 1500m is '
                    "greater than default limit value 1"
                )
            ],
            [],
        ),
        (
            {"spec.limits[0].maxLimitRequestRatio": {"cpu": "500m"}},
            ['spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
            [],
        ),
        (
            {"spec.limits[0].maxLimitRequestRatio": {"cpu": "4"}},
            [
                'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "4": ratio 4 is greater than max/min = 2.000000'
            ],
            [],
        ),
        (
            {
                "spec.limits[0]": {
                    "type": "Container",
                    "default": {"hugepages-2Mi": "4Mi"},
                    "defaultRequest": {"hugepages-2Mi": "2Mi"},
                }
            },
            [
                (
                    'spec.limits[0].defaultRequest[hugepages-2Mi]: Invalid value: "2Mi": default value 4Mi must '
                    "equal to defaultRequest value 2Mi in hugepages-2Mi"
                )
            ],
            [],
        ),
        (
            {"spec.limits[0]": {"type": "Pod", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}},
            [
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                "spec.limits[0].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'",
            ],
            [],
        ),
        (
            {"spec.limits[0]": {"type": "PersistentVolumeClaim"}},
            [
                (
                    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, "
                    "but neither was provided"
                )
            ],
            [],
        ),
        ({"spec.limits[0]": {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}}, [], []),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(LIMITS, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)


def test_containers_get_defaults() -> None:
    limit = {
        "type": "Container",
        "max": {"cpu": "2"},
        "min": {"cpu": "1", "memory": "1Mi"},
        "default": {"memory": "1Gi"},
    }
    item = tester.create(changed(LIMITS, {"spec.limits[0]": limit})).obj["spec"]["limits"][0]
    assert item["default"] == {"cpu": "2", "memory": "1Gi"}
    assert item["defaultRequest"] == {"cpu": "2", "memory": "1Gi"}
    item = tester.create(changed(LIMITS, {"spec.limits[0]": {"type": "Container", "min": {"cpu": "1"}}})).obj["spec"]
    assert item["limits"][0] == {"type": "Container", "min": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}
    item = tester.create(changed(LIMITS, {"spec.limits[0]": {"type": "Pod", "max": {"cpu": "1"}}})).obj["spec"]
    assert item["limits"][0] == {"type": "Pod", "max": {"cpu": "1"}}


def test_one_without_a_name_gets_one() -> None:
    assert len(tester.create({"metadata": {}, "spec": LIMITS["spec"]}).obj["metadata"]["name"]) == 36
