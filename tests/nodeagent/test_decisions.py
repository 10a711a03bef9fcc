"""Smaller decisions: admission at the node, backoff, status patches, node conditions, networks, runtimes that are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from nodeagent import admission, containerd, machine, nodestatus, resize, statuswriter
from nodeagent import config as config_module
from nodeagent.admission import NodeView
from nodeagent.backoff import Backoff, draw_duration
from nodeagent.config import Config
from nodeagent.network import cni
from nodeagent.network import host as host_network
from nodeagent.runtime import RuntimeInfo
from tests.nodeagent.pods import container, pod

Obj = dict[str, Any]
VIEW = NodeView({"cpu": "2", "memory": "1Gi", "pods": "3"}, {"disk": "ssd"})


def asking(cpu: str) -> Obj:
    return pod(container(resources={"requests": {"cpu": cpu}}))


def test_a_node_takes_what_fits() -> None:
    assert admission.check(asking("1"), [asking("1")], VIEW) is None
    refusal = admission.check(asking("1500m"), [asking("1")], VIEW)
    assert refusal is not None
    assert refusal.reason == "OutOfcpu"
    assert refusal.message == "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"
    full = admission.check(pod(), [pod(), pod(), pod()], VIEW)
    assert full is not None
    assert full.reason == "OutOfpods"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"nodeSelector": {"disk": "hdd"}}, "NodeAffinity"),
        ({"os": {"name": "windows"}}, "PodOSNotSupported"),
        ({"securityContext": {"sysctls": [{"name": "vm.swappiness", "value": "1"}]}}, "SysctlForbidden"),
    ],
)
def test_a_node_refuses_with_the_originals_reason(spec: Obj, reason: str) -> None:
    refusal = admission.check(pod(**spec), [], VIEW)
    assert refusal is not None
    assert refusal.reason == reason


def test_host_ports_are_given_once() -> None:
    one = pod(container(ports=[{"containerPort": 80, "hostPort": 80}]))
    refusal = admission.check(one, [one], VIEW)
    assert refusal is not None
    assert refusal.reason == "NodePorts"


def test_under_memory_pressure_best_effort_pods_are_turned_away() -> None:
    view = NodeView(VIEW.allocatable, {}, (), ["MemoryPressure"])
    refusal = admission.check(pod(), [], view)
    assert refusal is not None
    assert (refusal.reason, refusal.message) == ("Evicted", "The node had condition: [MemoryPressure]. ")
    assert admission.check(asking("1"), [], view) is None


async def test_backoff_doubles_and_is_forgotten() -> None:
    clock = ControlledClock()
    backoff = Backoff(clock, 10.0, 40.0)
    delays = []
    for _ in range(4):
        backoff.failed("a", clock.time())
        delays.append(backoff.delay("a"))
    assert delays == [10.0, 20.0, 40.0, 40.0]
    assert backoff.remaining("a", clock.time() - 15) == 25.0
    await clock.advance(81)
    backoff.failed("a", clock.time())
    assert backoff.delay("a") == 10.0
    assert backoff.remaining("b", clock.time()) == 0.0


def test_a_resize_waits_or_is_impossible() -> None:
    assert resize.feasible(asking("1"), [asking("1")], VIEW.allocatable) is None
    deferred = resize.feasible(asking("1500m"), [asking("1")], VIEW.allocatable)
    assert deferred is not None
    assert deferred.reason == "Deferred"
    impossible = resize.feasible(asking("3"), [], VIEW.allocatable)
    assert impossible is not None
    assert impossible.message == "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"


def test_a_pod_keeps_what_was_allocated_until_more_is() -> None:
    spec = asking("1")
    allocated: dict[str, Obj] = {"c": {"requests": {"cpu": "500m"}}}
    kept = resize.with_resources(spec, allocated)
    assert kept["spec"]["containers"][0]["resources"] == allocated["c"]
    assert spec["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}
    assert resize.with_resources(spec, resize.resources_of(spec)) is spec


def test_a_resize_that_is_done_leaves_no_condition() -> None:
    pending = {"type": "PodResizePending", "status": "True"}
    assert statuswriter.patch_of({"conditions": [pending]}, {"conditions": []}) == {
        "conditions": [{"type": "PodResizePending", "$patch": "delete"}]
    }


def test_durations_as_go_draws_them() -> None:
    assert [draw_duration(s) for s in (0, 0.25, 1.5, 10, 160, 300, 3661)] == [
        "0s",
        "250ms",
        "1.5s",
        "10s",
        "2m40s",
        "5m0s",
        "1h1m1s",
    ]


def test_a_status_patch_holds_what_changed_and_is_ours() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "t"}
    old = {
        "phase": "Pending",
        "podIPs": [{"ip": "a"}],
        "conditions": [{"type": "x/y", "status": "True"}],
        "reason": "r",
    }
    new = {"phase": "Running", "podIPs": [{"ip": "b"}], "conditions": [{"type": "x/y", "status": "False"}, ready]}
    assert statuswriter.patch_of(old, new) == {
        "phase": "Running",
        "reason": None,
        "podIPs": [{"$patch": "replace"}, {"ip": "b"}],
        "conditions": [ready],
    }
    assert statuswriter.patch_of(new, new) == {}


def config(tmp_path: Path, **fields: Any) -> Config:
    return Config(kubeconfig=tmp_path / "k", root_dir=tmp_path, **fields)


def test_a_node_as_the_api_sees_it(tmp_path: Path) -> None:
    host = machine.inspect()
    used = machine.usage(tmp_path)
    info = RuntimeInfo("containerd", "1.6", {}, False, {}, False)
    health = nodestatus.Health(None, {"DiskPressure": True})
    drawn = nodestatus.status(
        "n",
        host,
        used,
        config(tmp_path, kube_reserved={"cpu": "100m"}),
        runtime=info,
        images=[],
        addresses=["192.0.2.1"],
        port=10250,
        health=health,
        old=[],
        now=0.0,
    )
    assert drawn["capacity"]["cpu"] == str(host.cpus)
    assert drawn["allocatable"]["cpu"] == f"{host.cpus * 1000 - 100}m"
    assert drawn["nodeInfo"]["containerRuntimeVersion"] == "containerd://1.6"
    assert {c["type"]: c["status"] for c in drawn["conditions"]} == {
        "MemoryPressure": "False",
        "DiskPressure": "True",
        "PIDPressure": "False",
        "Ready": "True",
    }
    later = nodestatus.conditions(nodestatus.Health("down", {}), drawn["conditions"], 60.0)
    assert later[0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    assert (later[3]["reason"], later[3]["lastTransitionTime"]) == ("KubeletNotReady", "1970-01-01T00:01:00Z")


def test_taints_are_read() -> None:
    assert config_module.parse_taint("a=b:NoSchedule") == {"key": "a", "value": "b", "effect": "NoSchedule"}
    with pytest.raises(ValueError, match="invalid taint spec"):
        config_module.parse_taint("a=b")


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("runtime", "docker", "must be auto, containerd, cri=SOCKET or simulated"),
        ("register_with_taints", ("a=b",), "invalid taint spec"),
        ("cluster_cidr", "10.0.0.1/8", "--cluster-cidr: 10.0.0.1/8 has host bits set"),
        ("node_ip", "here", "--node-ip"),
        ("kube_reserved", {"cpu": "much"}, "reserved cpu"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(tmp_path: Path, field: str, value: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        config(tmp_path, **{field: value})


def test_the_pod_network(tmp_path: Path) -> None:
    document = cni.conflist("0123abcd", ["10.1.0.0/24"], mtu=1400, ipam_dir="/ipam")
    assert document["plugins"][0]["bridge"] == "sm0123abcd"
    assert cni.write(tmp_path, document)
    assert not cni.write(tmp_path, document)
    assert cni.foreign_configuration(tmp_path) == ""
    (tmp_path / "05-other.conf").write_text("{}")
    assert cni.foreign_configuration(tmp_path) == "05-other.conf"
    written = json.loads((tmp_path / "10-steersman.conflist").read_text())
    assert written["plugins"][1]["type"] == "portmap"
    ranges = host_network.Ranges(("10.1.0.0/24",), ("10.1.0.0/16",), ("10.2.0.0/16",))
    assert ranges.fenced == ("10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/24")
    rules = host_network.masquerade_rules("0123abcd", ranges)
    assert "ip saddr 10.1.0.0/24 ip daddr != { 10.1.0.0/16, 10.1.0.0/24, 224.0.0.0/4 } masquerade" in rules


def test_a_runtime_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(containerd.RuntimeMissing, match="nothing answers at the runtime socket"):
        containerd.discover(f"cri={tmp_path}/no.sock", tmp_path)
    with pytest.raises(ValueError, match="must be auto, containerd, cri=SOCKET or simulated"):
        containerd.discover("docker", tmp_path)
    assert containerd.discover("simulated", tmp_path).kind == "simulated"


def test_a_machine_without_a_runtime_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerd, "connectable", lambda path: False)
    monkeypatch.setattr(containerd, "_which", lambda name: "")
    monkeypatch.setattr(containerd, "find_cni_bin_dir", lambda: "")
    for flag in ("auto", "containerd"):
        with pytest.raises(containerd.RuntimeMissing) as caught:
            containerd.discover(flag, tmp_path)
        text = str(caught.value)
        assert "missing: containerd-shim-runc-v2" in text
        assert "missing: the CNI plugins bridge" in text
        assert "apt-get install containerd runc containernetworking-plugins" in text
        assert "--runtime simulated" in text


def test_a_docker_containerd_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerd, "connectable", lambda path: path == containerd.DEFAULT_SOCKETS[0])
    monkeypatch.setattr(containerd, "missing_for_private", list)
    monkeypatch.setattr(containerd, "serves_cri", lambda path: False)
    choice = containerd.discover("auto", tmp_path)
    assert choice.kind == "private"
    assert "has its CRI plugin disabled" in choice.note
    monkeypatch.setattr(containerd, "serves_cri", lambda path: True)
    assert containerd.discover("auto", tmp_path).socket == containerd.DEFAULT_SOCKETS[0]


def test_sockets_stay_short(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-directory-name"] * 8)
    assert len(containerd.private(deep).socket) < 100
    text = containerd.render_config(containerd.private(deep), snapshotter="native")
    assert 'snapshotter = "native"' in text
    assert "version = 2" in text
