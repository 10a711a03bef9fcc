"""PersistentVolumeClaim: defaults, validation, warnings, update rules."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.persistent_volume_claim import PERSISTENT_VOLUME_CLAIM
from tests.support.kindtest import KindTester, changed
from tests.support.texts import SUBDOMAIN

CLAIM: dict[str, Any] = {
    "metadata": {"name": "a"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
tester = KindTester(PERSISTENT_VOLUME_CLAIM)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        ({"spec.accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"], []),
        (
            {"spec.accessModes": ["X"]},
            [
                (
                    'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", '
                    '"ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
                )
            ],
            [],
        ),
        ({"spec.resources": {}}, ["spec.resources[storage]: Required value"], []),
        (
            {"spec.resources.requests.storage": "0"},
            ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
            [],
        ),
        (
            {"spec.resources.requests.storage": "100m"},
            [],
            ['spec.resources.requests[storage]: fractional byte value "100m" is invalid, must be an integer'],
        ),
        (
            {"spec.selector": {"matchLabels": {"a": "-"}}},
            [
                (
                    'spec.selector.matchLabels: Invalid value: "-": a valid label must be an empty string or '
                    "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
                    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
                    "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                )
            ],
            [],
        ),
        ({"spec.storageClassName": "A"}, [('spec.storageClassName: Invalid value: "A":' + SUBDOMAIN)], []),
        ({"spec.storageClassName": ""}, [], []),
        (
            {"spec.volumeMode": "x"},
            ['spec.volumeMode: Unsupported value: "x": supported values: "Block", "Filesystem"'],
            [],
        ),
        (
            {"spec.dataSource": {"kind": "PersistentVolumeClaim", "name": ""}},
            ["spec.dataSource.name: Required value", "spec.dataSourceRef.name: Required value"],
            [],
        ),
        (
            {"spec.dataSourceRef": {"kind": "X", "name": "x"}},
            [
                (
                    "spec.dataSource: Invalid value: \"X\": must be 'PersistentVolumeClaim' when referencing the "
                    "default apiGroup"
                ),
                (
                    "spec.dataSourceRef: Invalid value: \"X\": must be 'PersistentVolumeClaim' when referencing "
                    "the default apiGroup"
                ),
            ],
            [],
        ),
        (
            {"spec.dataSourceRef": {"kind": "X", "name": "x", "apiGroup": "a_b"}},
            [
                ('spec.dataSource.apiGroup: Invalid value: "a_b":' + SUBDOMAIN),
                ('spec.dataSourceRef.apiGroup: Invalid value: "a_b":' + SUBDOMAIN),
            ],
            [],
        ),
        (
            {
                "spec.dataSource": {"kind": "PersistentVolumeClaim", "name": "a"},
                "spec.dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "b"},
            },
            ["spec: Invalid value: {}: must match dataSourceRef"],
            [],
        ),
        (
            {"spec.volumeAttributesClassName": "A"},
            [('spec.volumeAttributesClassName: Invalid value: "A":' + SUBDOMAIN)],
            [],
        ),
        (
            {"metadata.annotations": {"volume.beta.kubernetes.io/storage-class": "x"}},
            [],
            [
                (
                    "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "
                    '"storageClassName" attribute instead'
                )
            ],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(CLAIM, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)


def test_defaults() -> None:
    claim = tester.create(CLAIM).obj
    assert claim["spec"]["volumeMode"] == "Filesystem"
    assert claim["status"] == {"phase": "Pending"}


@pytest.mark.parametrize(
    ("given", "source", "reference"),
    [
        ({"dataSource": {"kind": "PersistentVolumeClaim", "name": "a"}}, "a", "a"),
        ({"dataSourceRef": {"apiGroup": "x.io", "kind": "Filler", "name": "a"}}, "a", "a"),
        ({"dataSource": {"apiGroup": "x.io", "kind": "Filler", "name": "a"}}, None, None),
        ({"dataSourceRef": {"apiGroup": "x.io", "kind": "Filler", "name": "a", "namespace": "other"}}, None, None),
    ],
)
def test_sources_fill_in_each_other(given: dict[str, Any], source: str | None, reference: str | None) -> None:
    spec = tester.create({**CLAIM, "spec": {**CLAIM["spec"], **given}}).obj["spec"]
    assert (spec.get("dataSource") or {}).get("name") == source
    assert (spec.get("dataSourceRef") or {}).get("name") == reference
    assert "namespace" not in (spec.get("dataSourceRef") or {})


def bound(**spec: Any) -> dict[str, Any]:
    return changed(tester.create(CLAIM).obj, {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}, **spec})


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"spec.volumeName": "v"}, ""),
        ({"spec.storageClassName": "fast"}, ""),
        ({"spec.accessModes": ["ReadOnlyMany"]}, "spec: Forbidden: spec is immutable after creation except"),
        ({"spec.resources.requests.storage": "2Gi"}, ""),
        (
            {"spec.resources.requests.storage": "1Mi"},
            "spec.resources.requests.storage: Forbidden: field can not be less than",
        ),
        ({"spec.volumeAttributesClassName": "fast"}, ""),
        ({"spec.volumeMode": "Block"}, "spec: Forbidden: spec is immutable"),
    ],
)
def test_updates_of_a_bound_claim(edits: dict[str, Any], error: str) -> None:
    found = tester.update(changed(CLAIM, edits), bound()).errors
    assert found[0].startswith(error) if error else found == []


def test_an_unbound_claim_keeps_its_size() -> None:
    old = tester.create(CLAIM).obj
    (error,) = tester.update(changed(CLAIM, {"spec.resources.requests.storage": "2Gi"}), old).errors
    assert error.startswith("spec: Forbidden: spec is immutable after creation except resources.requests and ")


def test_classes_change_only_from_none() -> None:
    old = bound(**{"spec.storageClassName": "fast", "spec.volumeName": "v"})
    given = changed(CLAIM, {"spec.volumeName": "v", "spec.storageClassName": "slow"})
    assert tester.update(given, old).errors[0].startswith("spec: Forbidden: spec is immutable")
    annotated = changed(bound(), {"metadata.annotations": {"volume.beta.kubernetes.io/storage-class": "old"}})
    assert tester.update(changed(CLAIM, {"spec.storageClassName": "old"}), annotated).errors == []
    assert tester.update(CLAIM, annotated).errors == [
        'metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: "": field is immutable'
    ]


def test_an_attributes_class_in_effect_is_not_removed() -> None:
    old = bound(**{"spec.volumeAttributesClassName": "gold", "status.currentVolumeAttributesClassName": "gold"})
    assert tester.update(CLAIM, old).errors == [
        "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when "
        "status.currentVolumeAttributesClassName is not nil"
    ]


def test_status() -> None:
    status = {
        "capacity": {"storage": "-1"},
        "allocatedResources": {"cpu": "1"},
        "allocatedResourceStatuses": {"storage": "Wrong"},
    }
    assert tester.update(changed(CLAIM, {"status": status}), bound(), subresource="status").errors == [
        "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
        'status.allocatedResourceStatuses: Unsupported value: "storage": supported values: '
        '"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", '
        '"NodeResizePending"',
        'status.allocatedResources: Unsupported value: "cpu": supported values: "storage"',
    ]
