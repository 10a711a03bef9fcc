"""PersistentVolume: defaults, validation, warnings, update rules."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apiserver.kinds.core.persistent_volume import PERSISTENT_VOLUME
from tests.support.kindtest import GONE, KindTester, changed
from tests.support.texts import SUBDOMAIN

VOLUME: dict[str, Any] = {
    "metadata": {"name": "a"},
    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
}
tester = KindTester(PERSISTENT_VOLUME)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        (
            {"spec.capacity": GONE},
            ["spec.capacity: Required value", 'spec.capacity: Unsupported value: null: supported values: "storage"'],
            [],
        ),
        (
            {"spec.capacity": {"storage": "1Gi", "cpu": "1"}},
            ['spec.capacity: Unsupported value: {"cpu":"1","storage":"1Gi"}: supported values: "storage"'],
            [],
        ),
        (
            {"spec.capacity": {"storage": "0"}},
            ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
            [],
        ),
        (
            {"spec.capacity": {"storage": "-1"}},
            [
                "spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
                'spec.capacity[storage]: Invalid value: "-1": must be greater than zero',
            ],
            [],
        ),
        ({"spec.accessModes": []}, ["spec.accessModes: Required value"], []),
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
        (
            {"spec.accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]},
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
            [],
        ),
        (
            {"spec.persistentVolumeReclaimPolicy": "X"},
            [
                (
                    'spec.persistentVolumeReclaimPolicy: Unsupported value: "X": supported values: "Delete", '
                    '"Recycle", "Retain"'
                )
            ],
            [],
        ),
        (
            {"spec.persistentVolumeReclaimPolicy": "Recycle"},
            [],
            [
                (
                    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
                    "recommended approach is to use dynamic provisioning."
                )
            ],
        ),
        (
            {"spec.persistentVolumeReclaimPolicy": "Recycle", "spec.hostPath.path": "/./"},
            ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
            [],
        ),
        ({"spec.hostPath": GONE}, ["spec: Required value: must specify a volume type"], []),
        (
            {"spec.nfs": {"server": "s", "path": "/p"}},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
            [],
        ),
        (
            {"spec.hostPath": GONE, "spec.nfs": {"server": "", "path": "p"}},
            ["spec.nfs.server: Required value", 'spec.nfs.path: Invalid value: "p": must be an absolute path'],
            [],
        ),
        (
            {"spec.hostPath.path": "a/../b"},
            ["spec.hostPath.path: Invalid value: \"a/../b\": must not contain '..'"],
            [],
        ),
        (
            {"spec.hostPath": GONE, "spec.local": {"path": "/x"}},
            ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
            [],
        ),
        (
            {
                "spec.hostPath": GONE,
                "spec.local": {"path": "/x"},
                "spec.nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n"]}]}
                        ]
                    }
                },
            },
            [],
            [],
        ),
        (
            {"spec.nodeAffinity": {}},
            ["spec.nodeAffinity.required: Required value: must specify required node constraints"],
            [],
        ),
        (
            {
                "spec.nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "In", "values": ["n"]}]}
                        ]
                    }
                }
            },
            [],
            [
                (
                    "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: "
                    'beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead'
                )
            ],
        ),
        ({"spec.storageClassName": "A_b"}, [('spec.storageClassName: Invalid value: "A_b":' + SUBDOMAIN)], []),
        (
            {"spec.volumeMode": "X"},
            ['spec.volumeMode: Unsupported value: "X": supported values: "Block", "Filesystem"'],
            [],
        ),
        (
            {"spec.volumeAttributesClassName": "a"},
            ["spec.csi: Required value: has to be specified when using volumeAttributesClassName"],
            [],
        ),
        (
            {"spec.volumeAttributesClassName": ""},
            [
                "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ],
            [],
        ),
        (
            {"spec.hostPath": GONE, "spec.csi": {"driver": "d_", "volumeHandle": ""}},
            [('spec.csi.driver: Invalid value: "d_":' + SUBDOMAIN), "spec.csi.volumeHandle: Required value"],
            [],
        ),
        (
            {
                "spec.hostPath": GONE,
                "spec.csi": {
                    "driver": "d",
                    "volumeHandle": "v",
                    "nodeStageSecretRef": {"name": "s", "namespace": "n"},
                    "controllerExpandSecretRef": {"name": "s"},
                },
            },
            ["spec.csi.controllerExpandSecretRef.namespace: Required value"],
            [],
        ),
        (
            {"spec.hostPath": GONE, "spec.rbd": {"monitors": ["a"], "image": "i"}},
            [],
            ["spec.rbd: deprecated in v1.28, non-functional in v1.31+"],
        ),
        ({"spec.hostPath": GONE, "spec.cephfs": {}}, ["spec.cephfs.monitors: Required value"], []),
        (
            {"spec.hostPath": GONE, "spec.iscsi": {"targetPortal": "1.2.3.4", "iqn": "x", "lun": 300}},
            [
                'spec.iscsi.iqn: Invalid value: "x": must be valid format',
                "spec.iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive",
            ],
            [],
        ),
        (
            {"spec.hostPath": GONE, "spec.azureFile": {"secretName": "", "shareName": "s", "secretNamespace": ""}},
            ["spec.azureFile.secretName: Required value", "spec.azureFile.secretNamespace: Required value"],
            [],
        ),
        (
            {"spec.hostPath": GONE, "spec.fc": {"lun": 1}},
            ["spec.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"],
            [],
        ),
        (
            {
                "metadata.annotations": {
                    "volume.beta.kubernetes.io/storage-class": "x",
                    "volume.beta.kubernetes.io/mount-options": "ro",
                }
            },
            [
                (
                    "metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify "
                    "mount options for this volume type"
                )
            ],
            [],
        ),
        (
            {
                "metadata.annotations": {"volume.beta.kubernetes.io/mount-options": "ro"},
                "spec.hostPath": GONE,
                "spec.nfs": {"server": "s", "path": "/p"},
            },
            [],
            [
                (
                    "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use "
                    '"mountOptions" attribute instead'
                )
            ],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(VOLUME, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)


def test_defaults() -> None:
    volume = tester.create(VOLUME).obj
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["volumeMode"] == "Filesystem"
    assert volume["spec"]["hostPath"] == {"path": "/x", "type": ""}
    assert volume["status"]["phase"] == "Pending"
    assert volume["status"]["lastPhaseTransitionTime"]


def test_the_source_stays() -> None:
    old = tester.create(VOLUME).obj
    (error,) = tester.update(changed(VOLUME, {"spec.hostPath.path": "/y"}), old).errors
    assert error.startswith(
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ "
    )
    assert error.endswith('-  "Path": "/x",\n+  "Path": "/y",\n   "Type": ""\n  },\n  "Glusterfs": null,\n')
    assert tester.update(changed(VOLUME, {"spec.capacity.storage": "2Gi"}), old).errors == []


def test_one_secret_may_be_added_to_a_driver() -> None:
    given = changed(VOLUME, {"spec.hostPath": GONE, "spec.csi": {"driver": "d", "volumeHandle": "v"}})
    old = tester.create(given).obj
    reference = {"name": "s", "namespace": "n"}
    assert tester.update(changed(given, {"spec.csi.controllerExpandSecretRef": reference}), old).errors == []
    assert tester.update(changed(given, {"spec.csi.nodeStageSecretRef": reference}), old).errors


def test_affinity_is_set_once() -> None:
    def affinity(key: str) -> dict[str, Any]:
        term = {"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}
        return changed(VOLUME, {"spec.nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}})

    old = tester.create(affinity("beta.kubernetes.io/os")).obj
    assert tester.update(affinity("beta.kubernetes.io/os"), tester.create(VOLUME).obj).errors == []
    assert tester.update(affinity("kubernetes.io/os"), old).errors == []
    assert tester.update(affinity("other"), old).errors[0].startswith("nodeAffinity: Invalid value: ")
    text = "field is immutable, except for updating from beta label to GA"
    assert tester.update(VOLUME, old).errors == [f"nodeAffinity: Invalid value: null: {text}"]


def test_a_new_phase_has_a_time() -> None:
    old = tester.create(VOLUME).obj
    before = old["status"]["lastPhaseTransitionTime"]
    asyncio.run(tester.clock.advance(60))
    same = tester.update(changed(VOLUME, {"status": {"phase": "Pending"}}), old, subresource="status").obj
    assert same["status"]["lastPhaseTransitionTime"] == before
    bound = tester.update(changed(VOLUME, {"status": {"phase": "Bound"}}), old, subresource="status").obj
    assert bound["status"]["lastPhaseTransitionTime"] > before
