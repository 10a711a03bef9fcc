"""ResourceQuota: validation and update rules."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.resource_quota import RESOURCE_QUOTA
from tests.support.kindtest import KindTester, changed
from tests.support.texts import NAME_PART

QUOTA: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"hard": {"pods": "10", "requests.cpu": "1"}}}
tester = KindTester(RESOURCE_QUOTA)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        (
            {"spec.hard": {"a b": "1"}},
            [
                ('spec.hard[a b]: Invalid value: "a b":' + NAME_PART),
                'spec.hard[a b]: Invalid value: "a b": must be a standard resource for quota',
            ],
            [],
        ),
        (
            {"spec.hard": {"bananas": "1"}},
            [
                'spec.hard[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified',
                'spec.hard[bananas]: Invalid value: "bananas": must be a standard resource for quota',
            ],
            [],
        ),
        ({"spec.hard": {"example.com/x": "1"}}, [], []),
        ({"spec.hard": {"count/pods": "1", "requests.storage": "1Gi", "hugepages-2Mi": "2Mi"}}, [], []),
        (
            {"spec.hard": {"pods": "-1"}},
            ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
            [],
        ),
        ({"spec.hard": {"pods": "1.5"}}, ['spec.hard[pods]: Invalid value: "1500m": must be an integer'], []),
        ({"spec.scopes": ["Terminating"]}, [], []),
        (
            {"spec.scopes": ["BestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
            [],
        ),
        ({"spec.scopes": ["X"]}, ['spec.scopes: Invalid value: ["X"]: unsupported scope'], []),
        (
            {"spec.scopes": ["Terminating", "NotTerminating"]},
            ['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'],
            [],
        ),
        (
            {"spec.hard": {"persistentvolumeclaims": "1"}, "spec.scopes": ["PriorityClass"]},
            ['spec.scopes: Invalid value: ["PriorityClass"]: unsupported scope applied to resource'],
            [],
        ),
        (
            {
                "spec.hard": {"persistentvolumeclaims": "1", "requests.storage": "1"},
                "spec.scopes": ["VolumeAttributesClass"],
            },
            [],
            [],
        ),
        (
            {
                "spec.scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
                }
            },
            [],
            [],
        ),
        (
            {"spec.scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}},
            [
                (
                    "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when "
                    "`operator` is 'In' or 'NotIn' for scope selector"
                )
            ],
            [],
        ),
        (
            {
                "spec.scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists", "values": ["x"]}]
                }
            },
            [
                (
                    'spec.scopeSelector.matchExpressions.values: Invalid value: ["x"]: must be no value when '
                    "`operator` is 'Exist' or 'DoesNotExist' for scope selector"
                )
            ],
            [],
        ),
        (
            {"spec.scopeSelector": {"matchExpressions": [{"scopeName": "Terminating", "operator": "Is"}]}},
            [
                (
                    "spec.scopeSelector.matchExpressions.operator: Invalid value: \"Is\": must be 'Exists' when "
                    "scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                    "ResourceQuotaScopeCrossNamespacePodAffinity"
                ),
                'spec.scopeSelector.matchExpressions.operator: Invalid value: "Is": not a valid selector operator',
            ],
            [],
        ),
        (
            {"spec.scopeSelector": {"matchExpressions": [{"scopeName": "X", "operator": "Exists"}]}},
            ['spec.scopeSelector.matchExpressions.scopeName: Invalid value: "X": unsupported scope'],
            [],
        ),
        (
            {
                "spec.hard": {"pods": "1"},
                "spec.scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "BestEffort", "operator": "Exists"},
                        {"scopeName": "NotBestEffort", "operator": "Exists"},
                    ]
                },
            },
            ["spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes"],
            [],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(QUOTA, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)


def test_scopes_stay() -> None:
    old = tester.create(changed(QUOTA, {"spec.scopes": ["Terminating"]})).obj
    assert tester.update(QUOTA, old).errors == ["spec.scopes: Invalid value: null: field is immutable"]
    assert tester.update(changed(QUOTA, {"spec.scopes": ["Terminating"], "spec.hard": {"pods": "1"}}), old).errors == []


def test_status() -> None:
    new = changed(QUOTA, {"status.hard": {"pods": "1"}, "status.used": {"pods": "-1", "bananas": "1"}})
    assert tester.update(new, tester.create(QUOTA).obj, subresource="status").errors == [
        'status.used[pods]: Invalid value: "-1": must be greater than or equal to 0',
        'status.used[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified',
        'status.used[bananas]: Invalid value: "bananas": must be a standard resource for quota',
    ]
