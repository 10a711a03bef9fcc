"""Empty lists that the store cannot tell from none."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from openapi import emptied


@pytest.mark.parametrize(
    ("kind", "obj", "stored"),
    [
        ("rbac.authorization.k8s.io/v1/ClusterRole", {"rules": []}, {"rules": None}),
        ("rbac.authorization.k8s.io/v1/ClusterRole", {"rules": [{"verbs": []}]}, {"rules": [{"verbs": None}]}),
        ("apps/v1/Deployment", {"spec": {"template": {"spec": {"containers": []}}}}, {"spec": {"template": {"spec": {"containers": None}}}}),  # noqa: E501
        ("rbac.authorization.k8s.io/v1/ClusterRole", {"rules": [{"verbs": ["get"]}]}, {"rules": [{"verbs": ["get"]}]}),
    ],
)  # fmt: skip
def test_become_null_and_come_back(kind: str, obj: dict[str, Any], stored: dict[str, Any]) -> None:
    settle = emptied.settler(kind)
    assert settle is not None
    sent = copy.deepcopy(obj)
    places = settle(obj)
    assert obj == stored
    emptied.undo(places)
    assert obj == sent


@pytest.mark.parametrize("kind", ["v1/ConfigMap", "apiregistration.k8s.io/v1/APIService", "example.com/v1/Widget"])
def test_kinds_without_any_need_no_look(kind: str) -> None:
    assert emptied.settler(kind) is None
