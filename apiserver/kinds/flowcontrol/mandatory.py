"""Flow schemas and priority levels that every server has, whose specs nobody may change."""

from __future__ import annotations

from typing import Any

_EVERY_RESOURCE = {
    "verbs": ["*"],
    "apiGroups": ["*"],
    "resources": ["*"],
    "clusterScope": True,
    "namespaces": ["*"],
}
_EVERY_PATH = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def _groups(*names: str) -> list[dict[str, Any]]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _for_groups(*names: str) -> list[dict[str, Any]]:
    return [
        {"subjects": _groups(*names), "resourceRules": [_EVERY_RESOURCE], "nonResourceRules": [_EVERY_PATH]},
    ]


# Specs by name.
FLOW_SCHEMAS: dict[str, dict[str, Any]] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": _for_groups("system:masters"),
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": _for_groups("system:unauthenticated", "system:authenticated"),
    },
}
PRIORITY_LEVELS: dict[str, dict[str, Any]] = {
    "exempt": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    "catch-all": {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 5,
            "limitResponse": {"type": "Reject"},
            "lendablePercent": 0,
        },
    },
}
