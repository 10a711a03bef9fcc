"""Node: validation, warnings, update rules."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.node import NODE
from apiserver.registry import updating
from tests.support.kindtest import GONE, KindTester, changed
from tests.support.texts import NAME_PART, SUBDOMAIN

NODE_OBJECT: dict[str, Any] = {
    "metadata": {"name": "n"},
    "spec": {"podCIDR": "10.0.0.0/24"},
    "status": {"capacity": {"cpu": "4"}},
}
tester = KindTester(NODE)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        ({"metadata.name": "N"}, [('metadata.name: Invalid value: "N":' + SUBDOMAIN)], []),
        (
            {"spec.taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule", "value": "b"}]},
            [
                (
                    "metadata.taints[1]: Duplicate value: "
                    '{"Key":"a","Value":"b","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by '
                    "key and effect pair"
                )
            ],
            [],
        ),
        (
            {"spec.taints": [{"key": "a b", "value": "-", "effect": "Never"}, {"key": "a"}]},
            [
                ('metadata.taints[0].key: Invalid value: "a b":' + NAME_PART),
                (
                    'metadata.taints[0].value: Invalid value: "-": a valid label must be an empty string or '
                    "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
                    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
                    "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                ),
                (
                    'metadata.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", '
                    '"PreferNoSchedule", "NoExecute"'
                ),
                "metadata.taints[1].effect: Required value",
            ],
            [],
        ),
        (
            {"status.capacity": {"cpu": "-1", "pods": "1.5"}},
            [
                'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
                'status.capacity.pods: Invalid value: "1500m": must be an integer',
                'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
                'status.allocatable.pods: Invalid value: "1500m": must be an integer',
            ],
            [],
        ),
        (
            {"status.allocatable": {"memory": "-1"}},
            ['status.allocatable.memory: Invalid value: "-1": must be greater than or equal to 0'],
            [],
        ),
        (
            {"status.nodeInfo": {"swap": {"capacity": 0}}},
            ["metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero"],
            [],
        ),
        (
            {"status.declaredFeatures": ["B", "A", "A", "a-b"]},
            [
                'status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically',
                'status.declaredFeatures[2]: Duplicate value: "A"',
                (
                    'status.declaredFeatures[3]: Invalid value: "a-b": invalid feature name "a-b": must start '
                    "with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature "
                    "or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
                ),
            ],
            [],
        ),
        (
            {"spec.podCIDR": GONE, "spec.podCIDRs": ["10.0.0.1/24"]},
            ['spec.podCIDRs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length'],
            [],
        ),
        (
            {"spec.podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]},
            [
                (
                    'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one '
                    "CIDR for each IP family"
                )
            ],
            [],
        ),
        ({"spec.podCIDRs": ["10.0.0.0/24", "fd00::/64"]}, [], []),
        (
            {"spec.podCIDRs": ["10.0.0.0/24", "fd00:0::/64"]},
            [],
            ['spec.podCIDRs[1]: IPv6 CIDR value "fd00:0::/64" should be in RFC 5952 canonical format ("fd00::/64")'],
        ),
        ({"spec.externalID": "x"}, [], ["spec.externalID: this field is deprecated, and is unused by Kubernetes"]),
        ({"spec.configSource": {"configMap": {"name": "a"}}}, [], []),
        (
            {"metadata.annotations": {"scheduler.alpha.kubernetes.io/taints": "["}},
            [
                (
                    'metadata.annotations: Invalid value: "scheduler.alpha.kubernetes.io/taints": unexpected end '
                    "of JSON input"
                )
            ],
            [],
        ),
        (
            {"metadata.annotations": {"scheduler.alpha.kubernetes.io/taints": '[{"key":"a","effect":"x"}]'}},
            [
                (
                    "metadata.annotations.scheduler.alpha.kubernetes.io/taints[0].effect: Unsupported value: "
                    '"x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'
                )
            ],
            [],
        ),
        (
            {"metadata.annotations": {"scheduler.alpha.kubernetes.io/preferAvoidPods": '{"preferAvoidPods":[{}]}'}},
            ["metadata.annotations.scheduler.alpha.kubernetes.io/preferAvoidPods[0].PodSignature: Required value"],
            [],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(NODE_OBJECT, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)


def test_defaults() -> None:
    node = tester.create(NODE_OBJECT).obj
    assert node["spec"]["podCIDRs"] == ["10.0.0.0/24"]
    assert node["status"]["allocatable"] == {"cpu": "4"}
    assert tester.create(changed(NODE_OBJECT, {"status.allocatable": {"cpu": "3"}})).obj["status"]["allocatable"] == {
        "cpu": "3"
    }


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        (
            {"spec.podCIDR": "10.0.1.0/24"},
            'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        ),
        (
            {"spec.providerID": "b"},
            'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
        ),
        ({"spec.externalID": "x"}, "spec.externalID: Forbidden: may not be updated"),
        ({"spec.unschedulable": True}, ""),
        ({"spec.taints": [{"key": "a", "effect": "NoExecute"}]}, ""),
    ],
)
def test_updates(edits: dict[str, Any], error: str) -> None:
    given = changed(NODE_OBJECT, {"spec.providerID": "a"})
    found = tester.update(changed(given, edits), tester.create(given).obj).errors
    assert found == ([error] if error else [])


def test_a_status_has_each_address_once() -> None:
    address = {"type": "InternalIP", "address": "10.0.0.1"}
    new = changed(NODE_OBJECT, {"status.addresses": [address, address]})
    assert tester.update(new, tester.create(NODE_OBJECT).obj, subresource="status").errors == [
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"10.0.0.1"}'
    ]


def test_a_configuration_source_may_only_stay() -> None:
    source = {"configMap": {"name": "a", "namespace": "b", "kubeletConfigKey": "c"}}
    given = changed(NODE_OBJECT, {"spec.configSource": source})
    old = tester.create(given).obj
    assert "configSource" not in old["spec"]
    assert "configSource" not in tester.update(given, old).obj["spec"]
    kept = changed(old, {"spec.configSource": source})
    outcome = tester.update(given, kept)
    assert (outcome.errors, outcome.warnings) == ([], ["spec.configSource: the feature is removed"])
    faulty = changed(given, {"spec.configSource.configMap": {"uid": "x", "namespace": "A"}})
    assert [error.split(": ")[0] for error in tester.update(faulty, kept).errors] == [
        "spec.configSource.configMap.uid",
        "spec.configSource.configMap.namespace",
        "spec.configSource.configMap.name",
        "spec.configSource.configMap.kubeletConfigKey",
    ]


def test_ranges_of_one_node() -> None:
    """One of each family, each once, and all of them readable."""
    family = "may specify no more than one CIDR for each IP family"

    def errors(*ranges: str) -> list[str]:
        return tester.create(changed(NODE_OBJECT, {"spec": {"podCIDRs": list(ranges)}})).errors

    assert errors("10.0.0.0/24", "fd00::/64") == []
    (twice,) = errors("10.0.0.0/24", "10.0.0.0/24")
    assert twice.startswith("spec.podCIDRs: Invalid value")
    assert twice.endswith(family)
    unread = [error for error in errors("10.0.0.0/24", "x") if error.startswith("spec.podCIDRs: Internal error: ")]
    assert len(unread) == 1
    assert "failed to check with dual stack" in unread[0]


def test_a_change_is_checked_as_a_new_node_too() -> None:
    """So the causes of bad metadata come once for all kinds' rules, for those of new nodes and for those of changes."""
    old = tester.create(NODE_OBJECT).obj
    bad = changed(NODE_OBJECT, {"metadata.labels": {"a b": "c"}})
    new = tester.decode(bad)
    new["metadata"] = {**old["metadata"], "resourceVersion": "1", "labels": new["metadata"]["labels"]}
    assert len(updating.validate(NODE, tester.ctx(), new, old)) == 4
    assert len(updating.validate(NODE, tester.ctx("status"), new, old)) == 3
