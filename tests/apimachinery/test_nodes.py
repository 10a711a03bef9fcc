from typing import Any

import pytest

from apimachinery import nodes

Obj = dict[str, Any]
TAINT = {"key": "a", "value": "1", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "a", "value": "1"}, True),
        ({"key": "a", "value": "2"}, False),
        ({"key": "a", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "a", "operator": "Lt", "value": "5"}, True),
        ({"key": "a", "operator": "Gt", "value": "5"}, False),
        ({"key": "a", "operator": "Gt", "value": "x"}, False),
    ],
)
def test_tolerations(toleration: Obj, expected: bool) -> None:
    assert nodes.tolerates(toleration, TAINT) is expected


def test_untolerated_looks_at_some_effects_only() -> None:
    soft = {"key": "b", "effect": "PreferNoSchedule"}
    assert nodes.untolerated([soft, TAINT], []) == TAINT
    assert nodes.untolerated([soft], []) is None
    assert nodes.untolerated([TAINT], [{"operator": "Exists"}]) is None


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ({"key": "zone", "operator": "In", "values": ["z", "y"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["z"]}, False),
        ({"key": "absent", "operator": "NotIn", "values": ["z"]}, True),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, False),
        ({"key": "cpus", "operator": "Gt", "values": ["7"]}, True),
        ({"key": "cpus", "operator": "Lt", "values": ["7"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["7"]}, False),
    ],
)
def test_affinity(requirement: Obj, expected: bool) -> None:
    node: Obj = {"metadata": {"name": "n", "labels": {"zone": "z", "cpus": "8"}}}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    assert nodes.matches_required({"spec": {"affinity": {"nodeAffinity": required}}}, node) is expected


def test_names_selectors_and_empty_terms() -> None:
    node: Obj = {"metadata": {"name": "n", "labels": {"zone": "z"}}}
    by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
    assert nodes.matches_term(by_name, node)
    assert not nodes.matches_term({}, node)
    assert nodes.matches_required({"spec": {"nodeSelector": {"zone": "z"}}}, node)
    assert not nodes.matches_required({"spec": {"nodeSelector": {"zone": "y"}}}, node)
