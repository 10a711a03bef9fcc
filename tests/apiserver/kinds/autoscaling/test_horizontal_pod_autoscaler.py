"""HorizontalPodAutoscaler: rules, and v1 as another shape of v2."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apiserver.kinds.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from tests.support.kindtest import KindTester, changed

KIND = HorizontalPodAutoscaler()
CPU: dict[str, Any] = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
QUEUE: dict[str, Any] = {
    "type": "External",
    "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}},
}
GOOD: dict[str, Any] = {
    "metadata": {"name": "h"},
    "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 5},
}
tester = KindTester(KIND)


def test_defaults() -> None:
    spec = tester.create(GOOD).obj["spec"]
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [CPU]


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({"spec.maxReplicas": 0}, ["spec.maxReplicas: Required value: must be set and greater than 0"]),
        (
            {"spec.minReplicas": 9},
            ["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"],
        ),
        ({"spec.scaleTargetRef.name": ""}, ["spec.scaleTargetRef.name: Required value"]),
        ({"spec.metrics": [CPU, QUEUE]}, []),
        (
            {"spec.metrics": [changed(CPU, {"type": "Pods"})]},
            ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
        ),
    ],
)
def test_faults(edits: dict[str, Any], errors: list[str]) -> None:
    found = tester.create(changed(GOOD, edits)).errors
    assert (found[:1] if len(errors) == 1 else found) == errors


def test_what_v1_has_no_fields_for_is_in_annotations() -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 5}}
    stored = tester.create(changed(GOOD, {"spec.metrics": [CPU, QUEUE], "spec.behavior": behavior})).obj
    old = KIND.convert(stored, "v2", "v1")
    assert old["apiVersion"] == "autoscaling/v1"
    assert old["spec"]["targetCPUUtilizationPercentage"] == 80
    notes = old["metadata"]["annotations"]
    assert [metric["type"] for metric in json.loads(notes["autoscaling.alpha.kubernetes.io/metrics"])] == ["External"]
    assert "autoscaling.alpha.kubernetes.io/behavior" in notes
    again = KIND.convert(old, "v1", "v2")
    assert "annotations" not in again["metadata"] or not again["metadata"]["annotations"]
    assert sorted(metric["type"] for metric in again["spec"]["metrics"]) == ["External", "Resource"]
    assert again["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 5


def test_clients_cannot_forge_annotations_of_v1() -> None:
    note = {"metadata.annotations": {"autoscaling.alpha.kubernetes.io/metrics": "no json"}}
    given = changed({**GOOD, "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}, note)
    assert KIND.convert(given, "v1", "v2")["spec"]["maxReplicas"] == 5
