from typing import Any

import pytest

from apimachinery import meta
from client.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from controllers import endpointplan, endpointslicemirroring
from controllers.endpoints import EndpointsController
from controllers.endpointslice import EndpointSliceController
from controllers.endpointslicemirroring import EndpointSliceMirroringController
from tests.controllers.harness import Harness

Obj = dict[str, Any]


def service(name: str = "web", **spec: Any) -> Obj:
    described = {
        "selector": {"app": "a"},
        "clusterIP": "10.96.0.5",
        "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
        **spec,
    }
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": described}


def pod(name: str, ip: str, *, ready: bool = True, port: int = 8080, **extra: Any) -> Obj:
    containers = [{"name": "c", "ports": [{"name": "web", "containerPort": port, "protocol": "TCP"}]}]
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "a"}, **extra},
        "spec": {"nodeName": "n1", "containers": containers},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions},
    }


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({"port": 80, "targetPort": 8081}, 8081),
        ({"port": 80, "targetPort": "web"}, 8080),
        ({"port": 80, "targetPort": "web", "protocol": "UDP"}, None),
        ({"port": 80, "targetPort": "other"}, None),
        ({"port": 80}, 80),
    ],
)
def test_ports_by_number_and_name(port: Obj, expected: int | None) -> None:
    assert endpointplan.find_port(pod("p", "10.0.0.1"), port) == expected


def test_conditions_of_an_endpoint() -> None:
    going = pod("p", "10.0.0.1", deletionTimestamp="2026-01-01T00:00:00Z")

    def conditions(svc: Obj, entry: Obj) -> tuple[bool, ...]:
        found = endpointplan.endpoint(svc, entry, "IPv4", None)
        assert found is not None
        return tuple(found["conditions"].values())

    assert conditions(service(), pod("p", "10.0.0.1")) == (True, True, False)
    assert conditions(service(), pod("p", "10.0.0.1", ready=False)) == (False, False, False)
    assert conditions(service(), going) == (False, True, True)
    assert conditions(service(publishNotReadyAddresses=True), going) == (True, True, True)
    assert endpointplan.endpoint(service(), pod("p", "10.0.0.1"), "IPv6", None) is None


TEMPLATE: Obj = {"metadata": {"labels": {"l": "1"}, "generateName": "web-"}, "addressType": "IPv4"}
HTTP = [{"name": "http", "port": 80, "protocol": "TCP"}]


def wanted(count: int, start: int = 0) -> list[tuple[list[Obj], Obj]]:
    return [(HTTP, {"addresses": [f"10.0.0.{number}"]}) for number in range(start, start + count)]


def existing(name: str, entries: list[tuple[list[Obj], Obj]]) -> Obj:
    metadata = {"name": name, "labels": {"l": "1"}}
    return {"metadata": metadata, "ports": HTTP, "endpoints": [entry for _, entry in entries]}


def test_slices_are_filled_to_the_limit() -> None:
    plan = endpointplan.plan_slices(wanted(7), [], TEMPLATE, 3)
    assert [len(slice_["endpoints"]) for slice_ in plan.create] == [3, 3, 1]
    assert (plan.update, plan.delete) == ([], [])


def test_nothing_is_written_when_nothing_changes() -> None:
    plan = endpointplan.plan_slices(wanted(2), [existing("a", wanted(2))], TEMPLATE, 3)
    assert (plan.create, plan.update, plan.delete) == ([], [], [])


def test_one_more_endpoint_changes_one_slice() -> None:
    present = [existing("a", wanted(3)), existing("b", wanted(1, 3))]
    plan = endpointplan.plan_slices(wanted(5), present, TEMPLATE, 3)
    assert [slice_["metadata"]["name"] for slice_ in plan.update] == ["b"]
    assert (plan.create, plan.delete) == ([], [])


def test_without_endpoints_one_empty_slice_remains() -> None:
    plan = endpointplan.plan_slices([], [existing("a", wanted(1)), existing("b", wanted(1, 1))], TEMPLATE, 3)
    (updated,) = plan.update
    assert (updated["endpoints"], updated["ports"]) == ([], None)
    assert len(plan.delete) == 1
    again = endpointplan.plan_slices([], [updated], TEMPLATE, 3)
    assert (again.create, again.update, again.delete) == ([], [], [])


def test_subsets_by_port_and_readiness() -> None:
    everyone = [
        pod("b", "10.0.0.2"),
        pod("a", "10.0.0.1"),
        pod("c", "10.0.0.3", ready=False),
        pod("d", "10.0.0.4", port=9090),
    ]
    subsets, truncated = endpointplan.subsets_of(service(), everyone, 1000)
    assert not truncated
    first = next(subset for subset in subsets if subset["ports"][0]["port"] == 8080)
    assert [address["ip"] for address in first["addresses"]] == ["10.0.0.1", "10.0.0.2"]
    assert [address["ip"] for address in first["notReadyAddresses"]] == ["10.0.0.3"]
    assert len(subsets) == 2
    assert endpointplan.subsets_of(service(), everyone, 1)[1]


async def test_follow_the_pods(harness: Harness) -> None:
    harness.api.put(NODES, {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z"}}})
    harness.api.put(PODS, pod("a", "10.0.0.1"))
    harness.start(EndpointSliceController, EndpointsController)
    await harness.client.create(SERVICES, service())
    (slice_,) = await harness.until(lambda: [s for s in harness.all(ENDPOINT_SLICES) if s["endpoints"]])
    assert slice_["endpoints"][0]["zone"] == "z"
    assert slice_["endpoints"][0]["targetRef"]["name"] == "a"
    assert meta.labels(slice_)["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert meta.controller_of(slice_)["kind"] == "Service"  # type: ignore[index]
    harness.api.put(PODS, pod("b", "10.0.0.2", ready=False))

    def both() -> bool:
        subsets = (harness.get(ENDPOINTS, "web") or {}).get("subsets") or [{}]
        found = harness.get(ENDPOINT_SLICES, meta.name(slice_)) or {}
        return "notReadyAddresses" in subsets[0] and len(found["endpoints"]) == 2

    await harness.until(both)
    harness.api.remove(PODS, "default/a")
    harness.api.remove(PODS, "default/b")
    await harness.until(lambda: (harness.get(ENDPOINTS, "web") or {}).get("subsets") == [])
    await harness.until(lambda: [s["endpoints"] for s in harness.all(ENDPOINT_SLICES)] == [[]])
    await harness.client.delete(SERVICES, "web", "default")
    await harness.until(lambda: harness.get(ENDPOINTS, "web") is None)


def endpoints(*addresses: str, **labels: str) -> Obj:
    subset = {"addresses": [{"ip": address} for address in addresses], "ports": [{"port": 80}]}
    return {"metadata": {"name": "ext", "namespace": "default", "labels": labels}, "subsets": [subset]}


async def test_endpoints_written_by_people_are_mirrored(harness: Harness) -> None:
    harness.start(EndpointSliceMirroringController)
    bare = service("ext")
    del bare["spec"]["selector"]
    await harness.client.create(SERVICES, bare)
    await harness.client.create(ENDPOINTS, endpoints("192.0.2.1", "2001:db8::1", "nonsense"))
    await harness.until(lambda: len(harness.all(ENDPOINT_SLICES)) == 2)
    found = {s["addressType"]: s for s in harness.all(ENDPOINT_SLICES)}
    assert found["IPv4"]["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
    assert meta.labels(found["IPv6"])["endpointslice.kubernetes.io/managed-by"] == endpointslicemirroring.MANAGER
    await harness.until(lambda: harness.events("InvalidIPAddress"))
    skipping = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    await harness.client.patch(ENDPOINTS, "ext", {"metadata": {"labels": skipping}}, "default")
    await harness.until(lambda: not harness.all(ENDPOINT_SLICES))
