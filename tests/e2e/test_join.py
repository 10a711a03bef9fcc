"""A second machine joins with a token and a CA hash alone: here a second node agent, with another name and address."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.manifests import deployment, text
from tests.support import machine
from tests.support.cluster import ROOT, Cluster, run

ADDRESS = "198.51.100.7"  # of the second node; no loopback address, for which no node gets a certificate

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives this machine a second address, which takes root")


@pytest.fixture(scope="module", autouse=True)
def second_address() -> Iterator[None]:
    """Another address than that of the first node, and this machine's too."""
    run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"])
    yield
    run(["ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo"], check=False)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("join") / "cluster", "--runtime=simulated")
    running.start()
    yield running
    running.stop()


def join_command(cluster: Cluster) -> list[str]:
    """The arguments that `token create` tells to use on the other machine."""
    printed = cluster.steersman("token", "create", "--print-join-command", "--ttl=1h").stdout
    words = printed.split()
    assert words[:2] == ["steersman", "nodeagent"]
    return words[1:]


@contextlib.contextmanager
def node(folder: Path, arguments: list[str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node agent with a data directory of its own, until the block ends."""
    command = [sys.executable, "-m", "steersman", *arguments, f"--data-dir={folder}", "--runtime=simulated"]
    command += [f"--hostname-override={name}", f"--node-ip={ADDRESS}", f"--port={machine.free_port()}"]
    with (folder.parent / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)


def test_nobody_may_read_cluster_info_before_there_is_a_token(cluster: Cluster) -> None:
    arguments = ("get", "configmap/cluster-info", "-n", "kube-public")
    assert "NotFound" in cluster.kubectl(*arguments, check=False).stderr
    assert "forbidden" in cluster.kubectl(*arguments, "--as=system:anonymous", check=False).stderr


def test_a_node_joins_runs_pods_and_comes_back_without_a_token(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    arguments = join_command(cluster)
    with node(folder, arguments, "joined"):
        cluster.out("wait", "--for=create", "node/joined", "--timeout=60s")
        cluster.out("wait", "--for=condition=Ready", "node/joined", "--timeout=60s")
        requests = cluster.get("certificatesigningrequests")["items"]
        mine = {request["spec"]["signerName"]: request["spec"]["username"] for request in requests}
        assert mine["kubernetes.io/kube-apiserver-client-kubelet"].startswith("system:bootstrap:")
        cluster.out("apply", "-f", "-", stdin=text(deployment("web", replicas=4)))
        cluster.out("rollout", "status", "deployment/web", "--timeout=60s")
        names = cluster.out(
            "get", "pods", "--field-selector=spec.nodeName=joined", "-o", "jsonpath={.items[*].metadata.name}"
        ).split()
        assert names
        # The API server verifies the node's serving certificate: this waits until it is the cluster's.
        cluster.out("wait", "csr", "--all", "--for=jsonpath={.status.certificate}", "--timeout=60s")
        assert '"PodList"' in cluster.out("get", "--raw", "/api/v1/nodes/joined/proxy/pods")
    kept = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert {path.name for path in kept} <= {"ca.crt", "steersman.json", "kubelet.crt"}
    token_id = arguments[2].removeprefix("--token=")[:6]
    cluster.steersman("token", "delete", token_id)
    with node(folder, ["nodeagent"], "joined"):
        cluster.out("delete", "lease/joined", "-n", "kube-node-lease")
        cluster.out("wait", "--for=create", "lease/joined", "-n", "kube-node-lease", "--timeout=60s")
    node_config = str(folder / "kubeconfig" / "nodeagent.yaml")
    other = run([cluster.kubectl_path, f"--kubeconfig={node_config}", "label", "node/joined", "a=b"], check=False)
    assert other.returncode == 0
    names = cluster.get("nodes")["items"]
    first = next(n["metadata"]["name"] for n in names if n["metadata"]["name"] != "joined")
    other = run([cluster.kubectl_path, f"--kubeconfig={node_config}", "label", f"node/{first}", "a=b"], check=False)
    assert "only its own Node object" in other.stderr


def test_a_cluster_that_is_not_the_pinned_one_is_not_joined(cluster: Cluster, tmp_path: Path) -> None:
    arguments = join_command(cluster)
    wrong = [*arguments[:3], "--discovery-token-ca-cert-hash=sha256:" + 64 * "0"]
    command = [sys.executable, "-m", "steersman", *wrong, f"--data-dir={tmp_path / 'wrong'}", "--runtime=simulated"]
    done = run(command, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "has none of the public keys that were pinned" in done.stderr
    assert not (tmp_path / "wrong" / "kubeconfig" / "bootstrap.yaml").exists()
    secret = arguments[2].removeprefix("--token=")
    forged = [arguments[0], arguments[1], f"--token={secret[:7]}{16 * 'x'}", arguments[3]]
    command = [sys.executable, "-m", "steersman", *forged, f"--data-dir={tmp_path / 'forged'}", "--runtime=simulated"]
    done = run(command, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "does not know this token" in done.stderr
    done = run([*command[:5], f"--token={secret}", f"--data-dir={tmp_path / 'none'}"], cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "--discovery-token-ca-cert-hash" in done.stderr


def test_tokens_are_listed_and_end(cluster: Cluster) -> None:
    made = cluster.steersman("token", "create", "--description=mine").stdout.strip()
    listed = cluster.steersman("token", "list").stdout
    assert any(line.startswith(made) and "mine" in line for line in listed.splitlines())
    made = cluster.steersman("token", "create", "--ttl=1s").stdout.strip()
    secret = f"secret/bootstrap-token-{made[:6]}"
    cluster.out("wait", "--for=delete", secret, "-n", "kube-system", "--timeout=60s")
    signed = cluster.get("configmap/cluster-info", "-n", "kube-public")["data"]
    assert f"jws-kubeconfig-{made[:6]}" not in signed
    bad = cluster.steersman("token", "create", "short", check=False)
    assert bad.returncode == 2
    assert "six characters" in bad.stderr
