"""Kinds of storage.k8s.io."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.storage.csidriver import CSIDriver
from apiserver.kinds.storage.csinode import CSINode
from apiserver.kinds.storage.storageclass import StorageClass
from apiserver.kinds.storage.volumeattachment import VolumeAttachment
from tests.support.kindtest import KindTester, changed

CLASS: dict[str, Any] = {"metadata": {"name": "c"}, "provisioner": "example.com/p", "parameters": {"a": "b"}}
DRIVER: dict[str, Any] = {"metadata": {"name": "d.example.com"}, "spec": {}}
NODE: dict[str, Any] = {"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d.example.com", "nodeID": "n"}]}}
ATTACHMENT: dict[str, Any] = {
    "metadata": {"name": "a"},
    "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
}
classes = KindTester(StorageClass())


def test_class_defaults() -> None:
    obj = classes.create(CLASS).obj
    assert (obj["reclaimPolicy"], obj["volumeBindingMode"]) == ("Delete", "Immediate")


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"provisioner": ""}, "provisioner: Required value"),
        ({"parameters": {"": "b"}}, 'parameters: Invalid value: "": field can not be empty.'),
        ({"reclaimPolicy": "Recycle"}, "reclaimPolicy: Unsupported value"),
        ({"volumeBindingMode": "Later"}, "volumeBindingMode: Unsupported value"),
        ({"allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": []}]}]}, "allowedTopologies[0]"),
    ],
)
def test_faulty_classes(edits: dict[str, Any], error: str) -> None:
    assert classes.create(changed(CLASS, edits)).errors[0].startswith(error)


def test_what_of_a_class_stays() -> None:
    old = classes.create(CLASS).obj
    assert classes.update(changed(CLASS, {"allowVolumeExpansion": True}), old).errors == []
    edits = {
        "parameters.a": "c",
        "provisioner": "x",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    found = classes.update(changed(CLASS, edits), old).errors
    assert [text.partition(":")[0] for text in found] == [
        "parameters",
        "provisioner",
        "reclaimPolicy",
        "volumeBindingMode",
    ]


def test_driver_defaults_and_what_of_a_driver_stays() -> None:
    tester = KindTester(CSIDriver())
    old = tester.create(DRIVER)
    assert old.errors == []
    spec = old.obj["spec"]
    assert (spec["attachRequired"], spec["podInfoOnMount"], spec["storageCapacity"]) == (True, False, False)
    assert (spec["fsGroupPolicy"], spec["volumeLifecycleModes"]) == ("ReadWriteOnceWithFSType", ["Persistent"])
    found = tester.update(changed(DRIVER, {"spec.attachRequired": False}), old.obj).errors
    assert found == ["spec.attachedRequired: Invalid value: false: field is immutable"]


def test_drivers_of_a_node() -> None:
    tester = KindTester(CSINode())
    assert tester.create(NODE).errors == []
    twice = changed(NODE, {"spec.drivers[1]": NODE["spec"]["drivers"][0]})
    assert tester.create(twice).errors == ['spec.drivers[1].name: Duplicate value: "d.example.com"']
    old = tester.create(NODE).obj
    assert tester.update(changed(NODE, {"spec.drivers[0].nodeID": "m"}), old).errors


def test_what_is_attached_stays() -> None:
    tester = KindTester(VolumeAttachment())
    old = tester.create(ATTACHMENT).obj
    assert tester.create(ATTACHMENT).errors == []
    assert tester.update(changed(ATTACHMENT, {"spec.nodeName": "m"}), old).errors[0].startswith("spec: Invalid value")
    assert tester.create(changed(ATTACHMENT, {"spec.source": {}})).errors
