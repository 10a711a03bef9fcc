from typing import Any

import pytest

from apimachinery import pods, quantity


def container(
    name: str, requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **extra: Any
) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requests or {}, "limits": limits or {}}, **extra}


def drawn(resources: quantity.ResourceList) -> dict[str, str]:
    return quantity.draw_list(resources)


def test_init_containers_raise_the_peak_and_sidecars_add_up() -> None:
    pod = {
        "spec": {
            "containers": [container("a", {"cpu": "1"}), container("b", {"cpu": "1"})],
            "initContainers": [
                container("first", {"cpu": "500m"}),
                container("sidecar", {"cpu": "2", "memory": "1Gi"}, restartPolicy="Always"),
                container("last", {"cpu": "4"}),
            ],
            "overhead": {"cpu": "100m"},
        }
    }
    assert drawn(pods.requests(pod)) == {"cpu": "6100m", "memory": "1Gi"}
    assert drawn(pods.requests(pod, overhead=False)) == {"cpu": "6", "memory": "1Gi"}


def test_pod_level_resources_win_and_overhead_adds() -> None:
    pod = {
        "spec": {
            "containers": [container("a", {"cpu": "1", "example.com/gpu": "1"})],
            "resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "5"}},
            "overhead": {"cpu": "1", "memory": "1Mi"},
        }
    }
    assert drawn(pods.requests(pod)) == {"cpu": "4", "example.com/gpu": "1", "memory": "1Mi"}
    assert drawn(pods.limits(pod)) == {"cpu": "6"}


def test_resize_counts_what_is_given() -> None:
    pod: dict[str, Any] = {
        "spec": {"containers": [container("a", {"cpu": "1"})]},
        "status": {"containerStatuses": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]},
    }
    assert drawn(pods.requests(pod)) == {"cpu": "1"}
    assert drawn(pods.requests(pod, use_status=True)) == {"cpu": "2"}
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "9"
    pod["status"]["conditions"] = [{"type": "PodResizePending", "reason": "Infeasible", "status": "True"}]
    assert drawn(pods.requests(pod, use_status=True)) == {"cpu": "2"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container("a")]}, "BestEffort"),
        ({"containers": [container("a", {"cpu": "0"})]}, "BestEffort"),
        ({"containers": [container("a", {"example.com/x": "1"})]}, "BestEffort"),
        ({"containers": [container("a", {"cpu": "1"})]}, "Burstable"),
        ({"containers": [container("a", {"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})]}, "Guaranteed"),
        ({"containers": [container("a", {"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"})]}, "Burstable"),
        (
            {
                "containers": [container("a", {"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})],
                "initContainers": [container("i")],
            },
            "Burstable",
        ),
        (
            {
                "containers": [container("a")],
                "resources": {"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}},
            },
            "Guaranteed",
        ),
    ],
)
def test_qos(spec: dict[str, Any], expected: str) -> None:
    assert pods.qos_class({"spec": spec}) == expected


def test_states() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Running", "conditions": [ready]}}
    since = pods.ready_since(pod)
    assert since == 1767225600.0
    assert pods.is_active(pod)
    assert pods.is_available(pod, 10, since + 10)
    assert not pods.is_available(pod, 10, since + 9)
    assert not pods.is_active(
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}}
    )
