"""Pods on a real node: a cluster without a scheduler, pods bound by name, real containers; what users see in the API."""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import images, machine
from tests.support.cluster import Cluster

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(machine.why_no_containers()), reason=machine.why_no_containers()),
    pytest.mark.skipif(machine.kubectl() is None, reason="needs kubectl"),
]

Obj = dict[str, Any]
IMAGE = "example.com/tests/busybox:1"
# Runs for ever and ends at once when asked to.
SERVE = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    base = tmp_path_factory.mktemp("agent")
    made = Cluster(base / "d", "--disable=scheduler")
    made.start()
    try:
        made.steersman("image", "load", str(images.build(base / "image.tar", IMAGE)))
        wait(lambda: made.out("get", "serviceaccount", "default", check=False))
        yield made
    finally:
        made.stop()
        made.steersman("reset", "--yes")


def wait(found: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


class Pods:
    """Pods of one test by name."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.names: list[str] = []
        self.node = cluster.get("nodes")["items"][0]["metadata"]["name"]

    def create(self, name: str, *containers: Obj, **spec: Any) -> str:
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": list(containers), "nodeName": self.node, "terminationGracePeriodSeconds": 2, **spec},
        }
        self.names.append(name)
        self.cluster.apply(json.dumps(manifest))
        return name

    def get(self, name: str) -> Obj:
        found: Obj = self.cluster.get("pod", name)
        return found

    def phase(self, name: str, wanted: str) -> Obj:
        def look() -> Obj | None:
            pod = self.get(name)
            return pod if pod["status"]["phase"] == wanted else None

        found: Obj = wait(look)
        return found

    def state(self, name: str, wanted: Callable[[Obj], Any], kind: str = "containerStatuses") -> Obj:
        """The first container's status once it is as wanted."""

        def look() -> Obj | None:
            entries = self.get(name)["status"].get(kind) or []
            return entries[0] if entries and wanted(entries[0]) else None

        found: Obj = wait(look)
        return found

    def ready(self, name: str) -> None:
        self.cluster.out("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=30s")

    def exec(self, name: str, *command: str) -> str:
        return self.cluster.out("exec", name, "--", *command)

    def events(self, name: str) -> list[str]:
        items = self.cluster.get("events", f"--field-selector=involvedObject.name={name}")["items"]
        return [f"{item['reason']}: {item['message']}" for item in items]


@pytest.fixture
def pods(cluster: Cluster) -> Iterator[Pods]:
    made = Pods(cluster)
    yield made
    if made.names:
        cluster.out("delete", "pod", *made.names, "--ignore-not-found", "--grace-period=1")


def one(*command: str, name: str = "c", **fields: Any) -> Obj:
    return {"name": name, "image": IMAGE, "command": list(command) or SERVE, **fields}


def test_the_node(cluster: Cluster, pods: Pods) -> None:
    node = cluster.get("nodes")["items"][0]
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert conditions == {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == pods.node
    lease = cluster.get("lease", pods.node, "-n", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == pods.node


def test_a_pod_runs_and_is_gone(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("simple", one())
    pods.ready(name)
    pod = pods.get(name)
    assert pod["status"]["podIP"].startswith("10.")
    assert pod["status"]["qosClass"] == "BestEffort"
    entry = pod["status"]["containerStatuses"][0]
    assert (entry["ready"], entry["started"], entry["restartCount"]) == (True, True, 0)
    assert pods.exec(name, "hostname").strip() == name
    assert pods.events(name) == [
        f'Pulled: Container image "{IMAGE}" already present on machine and can be accessed by the pod',
        "Created: Container created",
        "Started: Container started",
    ]
    uid = pod["metadata"]["uid"]
    cluster.out("delete", "pod", name)
    node_dir = cluster.data_dir / "node"
    wait(lambda: not (node_dir / "pods" / uid).exists() and not list((node_dir / "pod-logs").glob(f"*_{uid}")))


def test_init_containers_sidecars_and_their_order(cluster: Cluster, pods: Pods, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    tell = {"volumeMounts": [{"name": "t", "mountPath": "/t"}]}

    def serve(who: str) -> list[str]:
        return [
            "sh",
            "-c",
            f"echo start-{who} >> /t/log; trap 'echo end-{who} >> /t/log; exit 0' TERM; while true; do sleep 0.1; done",
        ]

    name = pods.create(
        "ordered",
        one(*serve("main"), name="main", **tell),
        initContainers=[
            one("sh", "-c", "echo init >> /t/log", name="init", **tell),
            one(*serve("side1"), name="side1", restartPolicy="Always", **tell),
            one(*serve("side2"), name="side2", restartPolicy="Always", **tell),
        ],
        volumes=[{"name": "t", "hostPath": {"path": str(tmp_path)}}],
        terminationGracePeriodSeconds=20,
    )
    pods.ready(name)
    status = pods.get(name)["status"]
    assert [e["name"] for e in status["initContainerStatuses"]] == ["init", "side1", "side2"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    wait(lambda: "start-main" in (tmp_path / "log").read_text())
    cluster.out("delete", "pod", name)
    lines = (tmp_path / "log").read_text().split()
    assert lines == ["init", "start-side1", "start-side2", "start-main", "end-main", "end-side2", "end-side1"]


def test_a_job_like_pod(pods: Pods) -> None:
    good = pods.create("good", one("sh", "-c", "echo fine > /dev/termination-log"), restartPolicy="Never")
    bad = pods.create("bad", one("sh", "-c", "exit 3"), restartPolicy="Never")
    ended = pods.phase(good, "Succeeded")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "fine\n")
    failed = pods.phase(bad, "Failed")
    assert failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    ready = next(c for c in failed["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodFailed")


def test_crash_loop(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("crash", one("sh", "-c", "echo boom; exit 1"))
    entry = pods.state(name, lambda e: (e["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff")
    uid = pods.get(name)["metadata"]["uid"]
    text = f"back-off 10s restarting failed container=c pod=crash_default({uid})"
    assert entry["state"]["waiting"]["message"] == text
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    assert cluster.out("logs", name) == "boom\n"
    assert cluster.out("logs", name, "--previous") == "boom\n"
    wait(lambda: any(e.startswith("BackOff: Back-off restarting failed container c in pod") for e in pods.events(name)))


def test_images_that_are_not_there(pods: Pods) -> None:
    never = pods.create("never", {**one(), "image": "example.com/none:1", "imagePullPolicy": "Never"})
    pull = pods.create("pull", {**one(), "image": "127.0.0.1:1/none:1"})
    entry = pods.state(never, lambda e: (e["state"].get("waiting") or {}).get("reason") == "ErrImageNeverPull")
    assert entry["state"]["waiting"]["message"] == (
        'Container image "example.com/none:1" is not present with pull policy of Never'
    )
    entry = pods.state(pull, lambda e: (e["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff")
    assert entry["state"]["waiting"]["message"].startswith('Back-off pulling image "127.0.0.1:1/none:1": ErrImagePull:')


def test_configuration_and_its_updates(cluster: Cluster, pods: Pods) -> None:
    cluster.out("create", "configmap", "conf", "--from-literal=k=one")
    name = pods.create(
        "configured",
        one(
            env=[{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "k"}}}],
            volumeMounts=[{"name": "conf", "mountPath": "/conf"}, {"name": "sec", "mountPath": "/sec"}],
        ),
        volumes=[{"name": "conf", "configMap": {"name": "conf"}}, {"name": "sec", "secret": {"secretName": "later"}}],
    )
    wait(
        lambda: 'FailedMount: MountVolume.SetUp failed for volume "sec" : secret "later" not found' in pods.events(name)
    )
    cluster.out("create", "secret", "generic", "later", "--from-literal=pw=x")
    pods.ready(name)
    assert pods.exec(name, "sh", "-c", "echo $K; cat /conf/k /sec/pw") == "one\nonex"
    cluster.out("patch", "configmap", "conf", "-p", '{"data":{"k":"two"}}')
    wait(lambda: pods.exec(name, "cat", "/conf/k") == "two")
    cluster.out("delete", "configmap/conf", "secret/later")


def test_a_missing_key_is_told_and_healed(cluster: Cluster, pods: Pods) -> None:
    reference = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k"}}}
    name = pods.create("config-error", one(env=[reference]))
    entry = pods.state(name, lambda e: (e["state"].get("waiting") or {}).get("reason") == "CreateContainerConfigError")
    assert entry["state"]["waiting"]["message"] == 'secret "gone" not found'
    cluster.out("create", "secret", "generic", "gone", "--from-literal=k=v")
    pods.ready(name)
    cluster.out("delete", "secret/gone")


def test_probes(pods: Pods) -> None:
    script = "trap 'exit 0' TERM; touch /alive; while true; do sleep 0.1; done"
    name = pods.create(
        "probed",
        one(
            "sh",
            "-c",
            script,
            startupProbe={"exec": {"command": ["true"]}, "periodSeconds": 1},
            readinessProbe={"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1},
            livenessProbe={"exec": {"command": ["test", "-e", "/alive"]}, "periodSeconds": 1, "failureThreshold": 1},
        ),
    )
    pods.state(name, lambda e: e["started"] and not e["ready"])
    pods.exec(name, "touch", "/ready")
    pods.ready(name)
    pods.exec(name, "rm", "/alive")
    entry = pods.state(name, lambda e: e["restartCount"] == 1 and "running" in e["state"])
    assert entry["lastState"]["terminated"]["exitCode"] == 0
    events = wait(lambda: [e for e in pods.events(name) if e.startswith(("Unhealthy", "Killing"))])
    wait(lambda: "Killing: Container c failed liveness probe, will be restarted" in pods.events(name))
    assert any(e.startswith("Unhealthy: ") for e in events)


def test_a_deadline(pods: Pods) -> None:
    name = pods.create("late", one(), activeDeadlineSeconds=1, restartPolicy="Never")
    status = pods.phase(name, "Failed")["status"]
    assert status["reason"] == "DeadlineExceeded"
    assert status["message"] == "Pod was active on the node longer than the specified deadline"


def test_a_pod_too_large_is_rejected(pods: Pods) -> None:
    name = pods.create("huge", one(resources={"requests": {"cpu": "1000"}}))
    status = pods.phase(name, "Failed")["status"]
    assert status["reason"] == "OutOfcpu"
    assert status["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000")


def test_a_grace_period_can_be_shortened(cluster: Cluster, pods: Pods) -> None:
    name = pods.create(
        "stubborn", one("sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"), terminationGracePeriodSeconds=600
    )
    pods.ready(name)
    cluster.out("delete", "pod", name, "--wait=false")
    wait(lambda: "Killing: Stopping container c" in pods.events(name))
    begun = time.monotonic()
    cluster.out("delete", "pod", name, "--grace-period=1")
    assert time.monotonic() - begun < 20


def test_force_deletion_leaves_nothing(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("forced", one())
    pods.ready(name)
    uid = pods.get(name)["metadata"]["uid"]
    cluster.out("delete", "pod", name, "--grace-period=0", "--force")
    wait(lambda: not (cluster.data_dir / "node" / "pods" / uid).exists())


def test_security_context(pods: Pods) -> None:
    name = pods.create(
        "secure",
        one(
            securityContext={
                "runAsUser": 1000,
                "runAsGroup": 3000,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
        ),
        securityContext={
            "supplementalGroups": [4000],
            "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "2000 3000"}],
        },
    )
    pods.ready(name)
    told = pods.exec(
        name, "sh", "-c", "id; cat /proc/self/status /proc/sys/net/ipv4/ip_local_port_range; touch /x || true"
    )
    assert "uid=1000 gid=3000" in told
    assert "4000" in told
    for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "2000\t3000"):
        assert line in told
    root = pods.create("rootless", one(), securityContext={"runAsNonRoot": True})
    entry = pods.state(root, lambda e: (e["state"].get("waiting") or {}).get("reason") == "CreateContainerConfigError")
    assert "container has runAsNonRoot and image will run as root" in entry["state"]["waiting"]["message"]


def test_hooks(cluster: Cluster, pods: Pods, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo post > /t/post"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo pre > /t/pre"]}},
    }
    name = pods.create(
        "hooked",
        one(lifecycle=hooks, volumeMounts=[{"name": "t", "mountPath": "/t"}]),
        volumes=[{"name": "t", "hostPath": {"path": str(tmp_path)}}],
    )
    pods.ready(name)
    assert (tmp_path / "post").read_text() == "post\n"
    cluster.out("delete", "pod", name)
    assert (tmp_path / "pre").read_text() == "pre\n"
    broken = pods.create("badhook", one(lifecycle={"postStart": {"exec": {"command": ["false"]}}}))
    wait(lambda: "FailedPostStartHook: PostStartHook failed" in pods.events(broken))


def test_an_ephemeral_container(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("debugged", one())
    pods.ready(name)
    cluster.out("debug", name, f"--image={IMAGE}", "--target=c", "-c", "dbg", "--", "sh", "-c", "ps; echo here")
    pods.state(name, lambda e: "terminated" in e["state"], "ephemeralContainerStatuses")
    assert "here" in cluster.out("logs", name, "-c", "dbg")


def test_resizing_a_running_container(cluster: Cluster, pods: Pods) -> None:
    small = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    name = pods.create("resized", one(resources=small))
    pods.ready(name)
    before = pods.get(name)["status"]["containerStatuses"][0]
    assert before["allocatedResources"] == small["requests"]

    def ask(resources: Obj) -> None:
        patch = {"spec": {"containers": [{"name": "c", "resources": resources}]}}
        cluster.out("patch", "pod", name, "--subresource=resize", "-p", json.dumps(patch))

    larger = {"requests": {"cpu": "60m", "memory": "40Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}
    ask(larger)
    after = pods.state(name, lambda e: e["resources"] == larger)
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    wait(lambda: str(128 << 20) in pods.exec(name, "sh", "-c", f"cat {files} 2>/dev/null || true"))
    allocatable = cluster.get("nodes")["items"][0]["status"]["allocatable"]["cpu"]
    milli = int(allocatable[:-1]) if allocatable.endswith("m") else int(allocatable) * 1000
    hog = pods.create("hog", one(resources={"requests": {"cpu": f"{milli - 500}m"}}))
    pods.ready(hog)
    largest = {"requests": {"cpu": "600m", "memory": "40Mi"}, "limits": {"cpu": "600m", "memory": "128Mi"}}
    ask(largest)

    def pending() -> Obj | None:
        found = [c for c in pods.get(name)["status"]["conditions"] if c["type"] == "PodResizePending"]
        return found[0] if found else None

    condition = wait(pending)
    assert condition["reason"] == "Deferred"
    assert condition["message"].startswith("Node didn't have enough resource: cpu, requested: 600, used: ")
    assert pods.get(name)["status"]["containerStatuses"][0]["resources"] == larger
    cluster.out("delete", "pod", hog)
    pods.state(name, lambda e: e["resources"] == largest)
    wait(lambda: pending() is None)


def test_attaching(cluster: Cluster, pods: Pods) -> None:
    reads = one("sh", "-c", "read line; echo got $line; sleep 1", stdin=True, stdinOnce=True)
    name = pods.create("attached", reads, restartPolicy="Never")
    pods.phase(name, "Running")
    assert "got it" in cluster.out("attach", "-i", name, stdin="it\n")


def test_the_nodes_own_api(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("measured", one())
    pods.ready(name)
    proxy = f"/api/v1/nodes/{pods.node}/proxy"
    assert cluster.out("get", "--raw", f"{proxy}/healthz") == "ok"
    assert name in [p["metadata"]["name"] for p in json.loads(cluster.out("get", "--raw", f"{proxy}/pods"))["items"]]
    summary = json.loads(cluster.out("get", "--raw", f"{proxy}/stats/summary"))
    (mine,) = [p for p in summary["pods"] if p["podRef"]["name"] == name]
    assert mine["containers"][0]["memory"]["workingSetBytes"] > 0
    assert f'pod="{name}"' in cluster.out("get", "--raw", f"{proxy}/metrics/resource")
    assert "kubelet_running_pods" in cluster.out("get", "--raw", f"{proxy}/metrics")
    port = cluster.get("nodes")["items"][0]["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]

    def ask(token: str = "") -> tuple[int, str]:
        context = ssl.create_default_context(cafile=str(cluster.data_dir / "pki" / "ca.crt"))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"https://127.0.0.1:{port}/pods", headers=headers)
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    assert ask() == (401, "Unauthorized\n")
    assert ask("nonsense") == (401, "Unauthorized\n")
    token = cluster.out("create", "token", "default").strip()
    code, text = ask(token)
    assert code == 403
    assert text.startswith("Forbidden (user=system:serviceaccount:default:default, verb=get, resource=nodes")
    cluster.out(
        "create",
        "clusterrolebinding",
        "peek",
        "--clusterrole=system:kubelet-api-admin",
        "--serviceaccount=default:peek",
    )
    cluster.out("create", "serviceaccount", "peek")
    assert ask(cluster.out("create", "token", "peek").strip())[0] == 200


def test_a_restarted_agent_leaves_containers_alone(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("kept", one(readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1}))
    pods.ready(name)
    before = pods.get(name)["status"]["containerStatuses"][0]
    pid = cluster.pids()["nodeagent"]
    os.kill(pid, 9)
    wait(lambda: cluster.pids().get("nodeagent", pid) != pid)
    again = pods.create("after", one())
    pods.ready(again)
    after = pods.get(name)["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"], after["state"]) == (
        before["containerID"],
        0,
        before["state"],
    )
    assert pods.exec(name, "echo", "still").strip() == "still"


def test_a_pod_deleted_while_the_agent_was_away(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("orphan", one())
    pods.ready(name)
    uid = pods.get(name)["metadata"]["uid"]
    pid = cluster.pids()["nodeagent"]
    os.kill(pid, 9)
    cluster.out("delete", "pod", name, "--grace-period=0", "--force")
    wait(lambda: not (cluster.data_dir / "node" / "pods" / uid).exists())


def test_a_sandbox_that_died_is_replaced(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("resurrected", one())
    pods.ready(name)
    # The only other process of the pod's namespaces is the sandbox's own.
    uid = pods.get(name)["metadata"]["uid"]
    group = Path(f"/sys/fs/cgroup/pids/kubepods/besteffort/pod{uid}")
    if not group.is_dir():
        group = Path(f"/sys/fs/cgroup/kubepods/besteffort/pod{uid}")
    if not group.is_dir():
        pytest.skip("pods have no cgroups of their own here")
    for file in group.rglob("cgroup.procs"):
        for line in file.read_text().split():
            if Path(f"/proc/{line}/comm").read_text().strip() == "pause":
                os.kill(int(line), 9)
    pods.state(name, lambda e: e["restartCount"] == 1 and "running" in e["state"])
    assert any(e.startswith("SandboxChanged: Pod sandbox changed") for e in pods.events(name))
