"""FlowSchemas and PriorityLevelConfigurations, the mandatory ones among them."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.flowcontrol import mandatory
from apiserver.kinds.flowcontrol.flowschema import FlowSchema
from apiserver.kinds.flowcontrol.prioritylevelconfiguration import PriorityLevelConfiguration
from tests.support.kindtest import KindTester, changed

SCHEMA: dict[str, Any] = {
    "metadata": {"name": "f"},
    "spec": {
        "priorityLevelConfiguration": {"name": "l"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "ada"}}],
                "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}],
            }
        ],
    },
}
LEVEL: dict[str, Any] = {
    "metadata": {"name": "l"},
    "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}},
}
RULE = "spec.rules[0]"
schemas, levels = KindTester(FlowSchema()), KindTester(PriorityLevelConfiguration())


def test_defaults() -> None:
    assert schemas.create(SCHEMA).obj["spec"]["matchingPrecedence"] == 1000
    limited = levels.create(LEVEL).obj["spec"]["limited"]
    assert limited["nominalConcurrencyShares"] == 30
    assert limited["limitResponse"]["queuing"] == {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        (
            {"spec.matchingPrecedence": 10001},
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            {"spec.matchingPrecedence": 1},
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        ({f"{RULE}.subjects": []}, f"{RULE}.subjects: Required value"),
        ({f"{RULE}.resourceRules[0].verbs": ["*", "get"]}, f"{RULE}.resourceRules[0].verbs: Invalid value"),
        ({f"{RULE}.resourceRules[0].namespaces": []}, f"{RULE}.resourceRules[0].namespaces: Required value"),
        ({f"{RULE}.subjects[0].kind": "Robot"}, f"{RULE}.subjects[0].kind: Unsupported value"),
    ],
)
def test_faulty_schemas(edits: dict[str, Any], error: str) -> None:
    assert schemas.create(changed(SCHEMA, edits)).errors[0].startswith(error)


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"spec.type": "Free"}, "spec.type: Unsupported value"),
        ({"spec.exempt": {}}, "spec.exempt: Forbidden: must be nil if the type is Limited"),
        (
            {"spec.limited.limitResponse.queuing.handSize": 65},
            "spec.limited.limitResponse.queuing.handSize: Invalid value",
        ),
        ({"spec.limited.limitResponse.type": "Reject"}, "spec.limited.limitResponse.queuing: Forbidden"),
        ({"spec.limited.lendablePercent": 101}, "spec.limited.lendablePercent: Invalid value"),
    ],
)
def test_faulty_levels(edits: dict[str, Any], error: str) -> None:
    assert levels.create(changed(LEVEL, edits)).errors[0].startswith(error)


@pytest.mark.parametrize("name", mandatory.FLOW_SCHEMAS)
def test_mandatory_schemas(name: str) -> None:
    good = {"metadata": {"name": name}, "spec": mandatory.FLOW_SCHEMAS[name]}
    assert schemas.create(good).errors == []
    other = changed(good, {"spec.matchingPrecedence": 77})
    assert schemas.create(other).errors


@pytest.mark.parametrize("name", mandatory.PRIORITY_LEVELS)
def test_mandatory_levels(name: str) -> None:
    good = {"metadata": {"name": name}, "spec": mandatory.PRIORITY_LEVELS[name]}
    assert levels.create(good).errors == []
