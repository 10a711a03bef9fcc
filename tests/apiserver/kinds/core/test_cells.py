"""Table rows of core kinds."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from apiserver.kinds.core import KINDS
from apiserver.kinds.core.endpoints import format_endpoints
from apiserver.kinds.core.node import NODE
from apiserver.kinds.core.pod import POD
from apiserver.kinds.core.service import SERVICE
from apiserver.registry.kind import Kind, Obj

CLOCK = ControlledClock()


def state(name: str, **fields: Any) -> Obj:
    return {name: fields}


def status(ready: bool, given: Obj, restarts: int = 0, **more: Any) -> Obj:
    return {"name": "c", "ready": ready, "restartCount": restarts, "state": given, **more}


def pod_row(status: Obj, spec: Obj | None = None, **metadata: Any) -> list[Any]:
    containers = {"containers": [{"name": "c"}]}
    return POD.cells(
        {"metadata": {"name": "p", **metadata}, "spec": {**containers, **(spec or {})}, "status": status}, CLOCK
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_has_a_cell_for_each_column(kind: Kind) -> None:
    bare: Obj = {"metadata": {"name": "x"}}
    assert len(kind.cells(bare, CLOCK)) == len(kind.columns)


@pytest.mark.parametrize(
    ("given", "spec", "metadata", "cells"),
    [
        ({"phase": "Pending"}, {}, {}, ["0/1", "Pending", "0"]),
        ({"phase": "Failed", "reason": "Evicted"}, {}, {}, ["0/1", "Evicted", "0"]),
        (
            {"phase": "Running", "containerStatuses": [status(True, state("running"), 2)]},
            {},
            {},
            ["1/1", "Running", "2"],
        ),
        (
            {"phase": "Pending", "containerStatuses": [status(False, state("waiting", reason="ErrImagePull"))]},
            {},
            {},
            ["0/1", "ErrImagePull", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [status(False, state("terminated", exitCode=3))]},
            {},
            {},
            ["0/1", "ExitCode:3", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [status(False, state("terminated", signal=9, exitCode=137))]},
            {},
            {},
            ["0/1", "Signal:9", "0"],
        ),
        (
            {"phase": "Succeeded", "containerStatuses": [status(False, state("terminated", reason="Completed"))]},
            {},
            {},
            ["0/1", "Completed", "0"],
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [{**status(False, state("running")), "name": "i"}]},
            {"initContainers": [{"name": "i"}, {"name": "j"}]},
            {},
            ["0/1", "Init:0/2", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [status(True, state("running"))]},
            {},
            {"deletionTimestamp": "2023-11-14T22:13:20Z"},
            ["1/1", "Terminating", "0"],
        ),
    ],
)
def test_pods(given: Obj, spec: Obj, metadata: Obj, cells: list[str]) -> None:
    row = pod_row(given, spec, **metadata)
    assert row[1:4] == cells


def test_ages() -> None:
    row = pod_row({"phase": "Running"}, creationTimestamp="2023-11-14T22:12:00Z")
    assert row[4] == "80s"
    assert pod_row({"phase": "Running"})[4] == "<unknown>"


def test_ended_pods_have_a_condition() -> None:
    for phase in ("Succeeded", "Failed"):
        (condition,) = POD.row_conditions({"metadata": {}, "status": {"phase": phase}})
        assert (condition["type"], condition["status"], condition["reason"]) == ("Completed", "True", phase)
    assert POD.row_conditions({"metadata": {}, "status": {"phase": "Running"}}) == []


@pytest.mark.parametrize(
    ("spec", "given", "cells"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.0.0.1"}, {}, ["ClusterIP", "10.0.0.1", "<none>", "<none>"]),
        (
            {
                "type": "NodePort",
                "clusterIP": "10.0.0.1",
                "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}],
            },
            {},
            ["NodePort", "10.0.0.1", "<none>", "80:30000/TCP"],
        ),
        ({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}, {}, ["LoadBalancer", "10.0.0.1", "<pending>", "<none>"]),
        (
            {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["9.9.9.9"]},
            {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "a"}, {"ip": "1.1.1.1"}]}},
            ["LoadBalancer", "10.0.0.1", "1.1.1.1,2.2.2.2,a,9.9.9.9", "<none>"],
        ),
        ({"type": "ExternalName", "externalName": "a.b"}, {}, ["ExternalName", "<none>", "a.b", "<none>"]),
    ],
)
def test_services(spec: Obj, given: Obj, cells: list[str]) -> None:
    assert SERVICE.cells({"metadata": {"name": "s"}, "spec": spec, "status": given}, CLOCK)[1:5] == cells


def test_nodes() -> None:
    node: Obj = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "main"}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
        },
    }
    assert NODE.cells(node, CLOCK)[1:3] == ["Ready,SchedulingDisabled", "main,worker"]
    assert NODE.cells(node, CLOCK)[5:7] == ["1.2.3.4", "<none>"]
    assert NODE.cells({"metadata": {"name": "n"}}, CLOCK)[1:3] == ["Unknown", "<none>"]


def test_endpoints() -> None:
    addresses = [{"ip": f"10.0.0.{number}"} for number in range(1, 5)]
    assert format_endpoints({"subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]}) == (
        "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."
    )
    assert format_endpoints({"subsets": [{"addresses": [{"ip": "::1"}], "ports": [{"port": 80}]}]}) == "[::1]:80"
    assert format_endpoints({}) == "<none>"
