"""Dynamic resource allocation."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.kinds.resource.deviceclass import DeviceClass
from apiserver.kinds.resource.resourceclaim import ResourceClaim
from apiserver.kinds.resource.resourceclaimtemplate import ResourceClaimTemplate
from apiserver.kinds.resource.resourceslice import ResourceSlice
from tests.support.kindtest import KindTester, changed
from tests.support.reader import MemoryObjects

CLAIM: dict[str, Any] = {
    "metadata": {"name": "c"},
    "spec": {
        "devices": {
            "requests": [
                {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}},
                {"name": "other", "firstAvailable": [{"name": "big", "deviceClassName": "x"}]},
            ],
            "constraints": [{"requests": ["gpu", "other/big"], "matchAttribute": "example.com/numa"}],
        }
    },
}
SLICE: dict[str, Any] = {
    "metadata": {"name": "s"},
    "spec": {
        "driver": "d.example.com",
        "nodeName": "n",
        "pool": {"name": "p", "resourceSliceCount": 1, "generation": 1},
        "devices": [{"name": "d0", "attributes": {"a": {"int": 1}}, "capacity": {"memory": {"value": "1Gi"}}}],
    },
}
RESULT = {"request": "gpu", "driver": "d.example.com", "pool": "p", "device": "d0"}
claims, slices = KindTester(ResourceClaim()), KindTester(ResourceSlice())
REQUEST = "spec.devices.requests[0]"


def test_defaults_of_requests() -> None:
    outcome = claims.create(CLAIM)
    assert outcome.errors == []
    requests = outcome.obj["spec"]["devices"]["requests"]
    assert requests[0]["exactly"] == {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1}
    assert requests[1]["firstAvailable"][0]["count"] == 1


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({f"{REQUEST}.name": "Gpu"}, f"{REQUEST}.name: Invalid value"),
        ({f"{REQUEST}.exactly.deviceClassName": ""}, f"{REQUEST}.exactly.deviceClassName: Required value"),
        (
            {f"{REQUEST}.exactly": None},
            f"{REQUEST}: Required value: exactly one of `exactly` or `firstAvailable` is required",
        ),
        ({f"{REQUEST}.exactly.count": -1}, f"{REQUEST}.exactly.count: Invalid value: -1: must be greater than zero"),
        ({"spec.devices.constraints[0].requests[0]": "no"}, "spec.devices.constraints[0].requests[0]: Invalid value"),
        (
            {"spec.devices.constraints[0].matchAttribute": "numa"},
            "spec.devices.constraints[0].matchAttribute: Invalid value",
        ),
    ],
)
def test_faulty_claims(edits: dict[str, Any], error: str) -> None:
    assert claims.create(changed(CLAIM, edits)).errors[0].startswith(error)


def test_what_is_claimed_stays() -> None:
    old = claims.create(CLAIM).obj
    assert claims.update(changed(CLAIM, {"metadata.labels": {"a": "b"}}), old).errors == []
    found = claims.update(changed(CLAIM, {f"{REQUEST}.exactly.count": 2}), old).errors
    assert found[0].startswith("spec: Invalid value")
    assert found[0].endswith("field is immutable")
    templates = KindTester(ResourceClaimTemplate())
    template = {"metadata": {"name": "t"}, "spec": {"spec": CLAIM["spec"]}}
    stored = templates.create(template).obj
    assert templates.update(changed(template, {f"spec.{REQUEST}.exactly.count": 2}), stored).errors


def test_allocation_comes_before_use() -> None:
    old = claims.create(CLAIM).obj
    consumer = {"resource": "pods", "name": "p", "uid": "1"}
    early = changed(old, {"status": {"reservedFor": [consumer]}})
    assert claims.update(early, old, subresource="status").errors == [
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
    ]
    allocated = changed(old, {"status": {"allocation": {"devices": {"results": [RESULT]}}, "reservedFor": [consumer]}})
    outcome = claims.update(allocated, old, subresource="status")
    assert outcome.errors == []
    moved = changed(allocated, {"status.allocation.devices.results[0].device": "d1"})
    assert claims.update(moved, outcome.obj, subresource="status").errors[0].startswith("status.allocation: ")


def test_admin_access_is_for_namespaces_that_have_the_label() -> None:
    wanted = changed(CLAIM, {f"{REQUEST}.exactly.adminAccess": True})
    namespaces = MemoryObjects()
    namespaces.put("", "namespaces", {"metadata": {"name": "ns"}})
    tester = KindTester(ResourceClaim(), objects=namespaces)
    with pytest.raises(ApiError) as refused:
        tester.create(wanted)
    text = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"
    assert refused.value.message.endswith(f"{REQUEST}.adminAccess: Forbidden: {text}")
    label = {"resource.kubernetes.io/admin-access": "true"}
    namespaces.put("", "namespaces", {"metadata": {"name": "ns", "labels": label}})
    assert tester.create(wanted).errors == []


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"spec.nodeName": ""}, "spec"),
        (
            {"spec.pool.resourceSliceCount": 0},
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        ),
        ({"spec.devices[0].attributes.a": {}}, "spec.devices[0].attributes[a]: "),
        ({"spec.devices[0].attributes.a": {"version": "01"}}, "spec.devices[0].attributes[a].version: Invalid value"),
        ({"spec.devices[1]": {"name": "d0"}}, "spec.devices[1]: Duplicate value"),
    ],
)
def test_faulty_slices(edits: dict[str, Any], error: str) -> None:
    assert slices.create(SLICE).errors == []
    assert slices.create(changed(SLICE, edits)).errors[0].startswith(error)


def test_classes() -> None:
    tester = KindTester(DeviceClass())
    good: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"selectors": [{"cel": {"expression": "true"}}]}}
    assert tester.create(good).errors == []
    assert tester.create(changed(good, {"spec.selectors[0]": {}})).errors == ["spec.selectors[0].cel: Required value"]
