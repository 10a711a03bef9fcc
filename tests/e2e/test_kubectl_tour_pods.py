"""kubectl commands on running containers and on what makes them, with the oldest and the newest kubectl."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import IMAGE, IMAGE_NEXT
from tests.e2e.manifests import deployment, pod
from tests.e2e.tour import ENDS, Tour, columns, in_order
from tests.support.cluster import Cluster

SERVE = "mkdir -p /www; echo hello > /www/index.html; echo serving; httpd -f -p 8080 -h /www"


@pytest.fixture(params=ENDS)
def tour(cluster: Cluster, namespace: str, request: pytest.FixtureRequest) -> Tour:
    return Tour(cluster, namespace, request.param)


@pytest.fixture
def web(tour: Tour) -> str:
    """A running Deployment and a Service, both named web, that serve a page."""
    probe = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    tour.apply(deployment("web", "sh", "-c", SERVE, container=probe))
    assert tour("expose", "deployment", "web", "--port=80", "--target-port=8080") == "service/web exposed"
    tour("rollout", "status", "deployment/web", "--timeout=60s")
    ready = "--for=jsonpath={.endpoints[0].conditions.ready}=true"
    tour("wait", "endpointslices", "-l", "kubernetes.io/service-name=web", ready, "--timeout=30s")
    return "web"


def test_run(tour: Tour) -> None:
    once = ["run", "once", f"--image={IMAGE}", "--restart=Never", "--labels=a=b", "--env=WHAT=you"]
    assert tour(*once, "--", "sh", "-c", "echo hello $WHAT") == "pod/once created"
    tour("wait", "pod/once", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert tour("logs", "once") == "hello you"
    assert tour("logs", "-l", "a=b", "--prefix") == "[pod/once/once] hello you"
    removed = tour.said(
        "run", "now", f"--image={IMAGE}", "--restart=Never", "--rm", "-i", "--", "sh", "-c", "sleep 1; echo now"
    )
    assert re.search(r'^now\n(.*\n)*pod "now" deleted', removed, re.M)
    dry = tour(
        "run", "dry", "--image=a", "--dry-run=server", "-o", "jsonpath={.spec.restartPolicy} {.spec.schedulerName}"
    )
    assert dry == "Always default-scheduler"
    overrides = '--overrides={"spec":{"nodeSelector":{"no":"node"}}}'
    assert tour("run", "exposed", f"--image={IMAGE}", "--port=80", "--expose", overrides) == (
        "service/exposed created\npod/exposed created"
    )
    assert columns(tour("get", "pod", "exposed", "-o", "wide"))[1][1:3] == ["0/1", "Pending"]
    assert tour("expose", "pod", "exposed", "--name=out", "--type=NodePort") == "service/out exposed"
    assert 'pods "once" already exists' in tour.refused(*once)


def test_set_and_rollout(tour: Tour, web: str) -> None:
    assert tour("set", "image", "deployment/web", f"main={IMAGE_NEXT}") == "deployment.apps/web image updated"
    in_order(tour("rollout", "status", "deployment/web", "--timeout=60s"), ['deployment "web" successfully rolled out'])
    assert tour("rollout", "history", "deployment/web") == (
        "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         <none>\n2         <none>\n"
    ).rstrip("\n")
    in_order(tour("rollout", "history", "deployment/web", "--revision=2"), ["revision #2", f"Image:\t{IMAGE_NEXT}"])
    assert tour("rollout", "pause", "deployment/web") == "deployment.apps/web paused"
    assert tour.refused("rollout", "pause", "deployment/web") == 'error: deployments.apps "web" is already paused'
    # Several changes, one new revision: nothing rolls out while it is paused.
    assert tour("set", "env", "deployment/web", "A=b") == "deployment.apps/web env updated"
    assert tour("set", "env", "deployment/web", "--list") == "# Deployment web, container main\nA=b"
    assert tour("set", "resources", "deployment/web", "--limits=cpu=200m,memory=64Mi") == (
        "deployment.apps/web resource requirements updated"
    )
    assert tour("set", "serviceaccount", "deployment/web", "default") == "deployment.apps/web serviceaccount updated"
    assert "cannot undo" in (said := tour.refused("rollout", "undo", "deployment/web")) or "paused" in said
    assert tour("rollout", "resume", "deployment/web") == "deployment.apps/web resumed"
    assert tour("rollout", "undo", "deployment/web", "--to-revision=1") == "deployment.apps/web rolled back"
    assert tour("rollout", "restart", "deployment/web") == "deployment.apps/web restarted"
    tour("rollout", "status", "deployment/web", "--timeout=60s")
    assert tour("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == IMAGE
    assert tour.refused("rollout", "undo", "deployment/web", "--to-revision=77") == (
        "error: unable to find specified revision 77 in history"
    )


def test_set_of_other_kinds(tour: Tour) -> None:
    tour("create", "service", "clusterip", "s", "--tcp=80")
    assert tour("set", "selector", "service", "s", "app=other") == "service/s selector updated"
    assert tour("get", "service", "s", "-o", "jsonpath={.spec.selector}") == '{"app":"other"}'
    tour("create", "rolebinding", "r", "--clusterrole=view", "--user=jane")
    named = "rolebinding.rbac.authorization.k8s.io/r"
    assert (
        tour("set", "subject", "rolebinding", "r", "--user=joe", "--serviceaccount=default:d")
        == f"{named} subjects updated"
    )
    assert columns(tour("get", "rolebinding", "r", "-o", "wide", "--no-headers"))[0][3:] == [
        "jane,",
        "joe",
        "default/d",
    ]


def test_scale_and_autoscale(tour: Tour, web: str) -> None:
    assert tour("scale", "deployment/web", "--replicas=2") == "deployment.apps/web scaled"
    tour("rollout", "status", "deployment/web", "--timeout=60s")
    assert columns(tour("get", "deployment", "web"))[1][:4] == ["web", "2/2", "2", "2"]
    assert tour.refused("scale", "deployment/web", "--replicas=1", "--current-replicas=7") == (
        "error: Expected replicas to be 7, was 2"
    )
    assert tour("autoscale", "deployment", "web", "--min=2", "--max=4", "--cpu-percent=50") == (
        "horizontalpodautoscaler.autoscaling/web autoscaled"
    )
    assert columns(tour("get", "hpa", "web"))[1][:5] == ["web", "Deployment/web", "cpu:", "<unknown>/50%", "2"]
    assert tour("scale", "deployment/web", "--replicas=0", "--timeout=30s") == "deployment.apps/web scaled"


def test_describe_and_events_of_a_running_pod(tour: Tour, web: str) -> None:
    in_order(
        tour("describe", "pods", "-l", "app=web"),
        [
            "Controlled By:  ReplicaSet/web-",
            "State:          Running",
            "Ready:          True",
            "kube-api-access-",
            "BestEffort",
            "Events:",
            "default-scheduler  Successfully assigned",
            "kubelet            ",
            "Container started",
        ],
    )
    in_order(
        tour("describe", "deployment", "web"),
        [
            "1 desired | 1 updated | 1 total | 1 available | 0 unavailable",
            "NewReplicaSetAvailable",
            "ScalingReplicaSet",
        ],
    )
    in_order(tour("describe", "service", "web"), ["Type:", "ClusterIP", "Endpoints:", ":8080"])
    name = tour("get", "pods", "-l", "app=web", "-o", "name")
    told = columns(tour("events", "--for", name))
    assert told[0] == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert {row[2] for row in told[1:]} >= {"Scheduled", "Pulled", "Created", "Started"}
    assert "ScalingReplicaSet" in tour("get", "events", "--field-selector=involvedObject.kind=Deployment")


def test_logs_exec_attach_and_cp_by_the_name_of_what_owns_the_pod(tour: Tour, web: str, tmp_path: Path) -> None:
    assert tour("logs", "deployment/web") == "serving"
    assert tour("logs", "service/web", "--all-containers") == "serving"
    assert tour("exec", "deployment/web", "--", "echo", "from exec") == "from exec"
    assert tour("exec", "service/web", "-c", "main", "--", "cat", "/www/index.html") == "hello"
    name = tour("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_text("content")
    tour("cp", str(tmp_path / "there"), f"{tour.namespace}/{name}:/tmp")
    tour("cp", f"{name}:/tmp/there/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content"
    assert 'pods "nobody" not found' in tour.refused("exec", "nobody", "--", "true")
    assert tour.refused("logs", name, "-c", "nothing") == f"error: container nothing is not valid for pod {name}"
    assert "executable file not found in $PATH" in tour.refused("exec", name, "--", "nothing")
    tour.apply(pod("lost", nodeSelector={"no": "node"}))
    assert tour.refused("exec", "lost", "--", "true") == (
        "Error from server (BadRequest): pod lost does not have a host assigned"
    )


def test_attach(tour: Tour) -> None:
    tour.apply(pod("talk", "sh", "-c", "while true; do echo tick; sleep 0.2; done"))
    tour("wait", "pod/talk", "--for=condition=Ready", "--timeout=60s")
    with tour.start("attach", "talk") as attached:
        try:
            assert attached.stdout is not None
            assert "tick\n" in (attached.stdout.readline(), attached.stdout.readline(), attached.stdout.readline())
        finally:
            attached.kill()


@pytest.mark.parametrize("kind", ["service", "deployment"])
def test_port_forward(tour: Tour, web: str, kind: str) -> None:
    remote = {"service": 80, "deployment": 8080}[kind]
    with tour.start("port-forward", f"{kind}/web", f":{remote}") as forward:
        found = first_line(forward, r"Forwarding from 127\.0\.0\.1:(\d+) -> 8080")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found}/", timeout=10) as answer:
                assert answer.read() == b"hello\n"
        finally:
            forward.kill()


def test_proxy(tour: Tour, web: str) -> None:
    with tour.start("proxy", "--port=0") as proxy:
        port = first_line(proxy, r"Starting to serve on 127\.0\.0\.1:(\d+)")
        try:
            base = f"http://127.0.0.1:{port}/api/v1/namespaces/{tour.namespace}"
            with urllib.request.urlopen(f"{base}/services/web:80/proxy/index.html", timeout=10) as answer:
                assert answer.read() == b"hello\n"
            with urllib.request.urlopen(f"{base}/pods?limit=1", timeout=10) as answer:
                assert b'"kind":"PodList"' in answer.read().replace(b" ", b"")
        finally:
            proxy.kill()


def first_line(process: subprocess.Popen[str], pattern: str) -> str:
    """The group of the pattern in what the process prints first; the process is ended when that takes 30 s."""
    assert process.stdout is not None
    timer = threading.Timer(30, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    found = re.search(pattern, line)
    if found is None:
        process.kill()
        raise AssertionError(line)
    return found[1]


def test_debug_of_a_node(tour: Tour) -> None:
    node = tour("get", "nodes", "-o", "name")
    said = tour.said("debug", node, f"--image={IMAGE}", "--", "sh", "-c", "ls -d /host/etc; hostname")
    name = re.search(r"Creating debugging pod (node-debugger-\S+) with container debugger", said)
    assert name is not None
    tour("wait", f"pod/{name[1]}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert tour("logs", name[1]).split() == ["/host/etc", node.removeprefix("node/")]


def test_debug_of_a_copy(tour: Tour, web: str) -> None:
    name = tour("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    flags = ["--copy-to=copy", "--container=probe", f"--image={IMAGE}", "--share-processes"]
    tour("debug", name, *flags, "--", "sh", "-c", "sleep 1; ps | grep -c '[h]ttpd'; sleep 3600")
    tour("wait", "pod/copy", "--for=condition=Ready", "--timeout=60s")
    newest = Tour(tour.cluster, tour.namespace, ENDS[-1])
    with newest.start("logs", "-f", "copy", "-c", "probe") as logs:
        try:
            assert logs.stdout is not None
            assert logs.stdout.readline() == "1\n"
        finally:
            logs.kill()


def test_drain_respects_what_may_not_be_disrupted(tour: Tour, web: str) -> None:
    tour("create", "poddisruptionbudget", "all", "--selector=app=web", "--min-available=1")
    tour("wait", "pdb/all", "--for=jsonpath={.status.currentHealthy}=1", "--timeout=30s")
    name = tour("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": tour.namespace}}
    path = f"/api/v1/namespaces/{tour.namespace}/pods/{name}/eviction"
    assert "Cannot evict pod as it would violate the pod's disruption budget." in tour.refused(
        "create", "--raw", path, "-f", "-", stdin=json.dumps(eviction)
    )
