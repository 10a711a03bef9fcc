"""logs, exec, cp, attach, port-forward, debug: through API server and node agent to the container, with several kubectls."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import IMAGE
from tests.e2e.manifests import pod, text
from tests.support import machine
from tests.support.cluster import Cluster

Kubectl = Callable[..., str]
VERSIONS = machine.kubectls()
ENDS = sorted({next(iter(VERSIONS), ""), next(reversed(VERSIONS), "")}) if VERSIONS else [""]


@pytest.fixture
def shell(kubectl: Kubectl) -> str:
    """A running pod named shell."""
    server = "mkdir -p /www; echo hello > /www/index.html; httpd -f -p 8080 -h /www"
    kubectl("apply", "-f", "-", stdin=text(pod("shell", "sh", "-c", server)))
    kubectl("wait", "pod/shell", "--for=condition=Ready", "--timeout=60s")
    return "shell"


def test_logs_in_all_their_forms(kubectl: Kubectl) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; done; sleep 1; echo last"
    kubectl("apply", "-f", "-", stdin=text(pod("talk", "sh", "-c", script, restartPolicy="Never")))
    kubectl(
        "wait", "pod/talk", "--for=jsonpath={.status.containerStatuses[0].started}=true", "--timeout=60s", check=False
    )
    followed = kubectl("logs", "-f", "talk", "--pod-running-timeout=30s")
    assert followed.splitlines() == ["line 1", "line 2", "line 3", "line 4", "line 5", "last"]
    assert kubectl("logs", "talk", "--tail=2").splitlines() == ["line 5", "last"]
    assert kubectl("logs", "talk", "--limit-bytes=6") == "line 1"
    stamped = kubectl("logs", "talk", "--timestamps", "--tail=1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z last\n", stamped)
    assert kubectl("logs", "talk", "--since=1h").count("\n") == 6
    assert "previous terminated container" in kubectl("logs", "talk", "--previous", check=False)


@pytest.mark.parametrize("version", ENDS)
def test_exec_with_the_oldest_and_the_newest_kubectl(
    cluster: Cluster, namespace: str, shell: str, version: str
) -> None:
    def run(*arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        binary = VERSIONS.get(version)
        return cluster.kubectl("-n", namespace, *arguments, stdin=stdin, check=check, binary=binary)

    done = run("exec", shell, "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert "err" in done.stderr
    assert run("exec", "-i", shell, "--", "cat", stdin="through and back").stdout == "through and back"
    big = "x" * 300_000
    assert run("exec", "-i", shell, "--", "cat", stdin=big).stdout == big


def test_exec_with_a_terminal(cluster: Cluster, namespace: str, shell: str) -> None:
    parent, child = pty.openpty()
    command = [
        cluster.kubectl_path,
        f"--kubeconfig={cluster.kubeconfig}",
        "-n",
        namespace,
        "exec",
        "-it",
        shell,
        "--",
        "sh",
    ]
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, start_new_session=True) as process:
        os.close(child)
        os.write(parent, b"test -t 0 && echo is-a-terminal-$((40+2))\nexit 5\n")
        seen = b""
        while True:
            try:
                data = os.read(parent, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
        process.wait(30)
        os.close(parent)
    assert b"is-a-terminal-42" in seen
    assert process.returncode == 5


@pytest.mark.parametrize("version", ENDS)
def test_cp_both_ways(cluster: Cluster, namespace: str, shell: str, version: str, tmp_path: Path) -> None:
    binary = VERSIONS.get(version)
    source, back = tmp_path / "there", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 4096)
    cluster.kubectl("-n", namespace, "cp", str(source), f"{shell}:/tmp/file", binary=binary)
    cluster.kubectl("-n", namespace, "cp", f"{shell}:/tmp/file", str(back), binary=binary)
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("version", ENDS)
def test_port_forward(cluster: Cluster, namespace: str, shell: str, version: str) -> None:
    binary = VERSIONS.get(version, cluster.kubectl_path)
    command = [binary, f"--kubeconfig={cluster.kubeconfig}", "-n", namespace, "port-forward", f"pod/{shell}", ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            timer = threading.Timer(30, process.kill)
            timer.start()
            line = process.stdout.readline()
            timer.cancel()
            found = re.search(r"127\.0\.0\.1:(\d+) -> 8080", line)
            assert found, line
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/", timeout=10) as answer:
                    assert answer.read() == b"hello\n"
        finally:
            process.kill()


def test_attach_sees_what_is_printed(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    script = "while read line; do echo got $line; done"
    wanted = pod("listener", "sh", "-c", script, container={"stdin": True, "stdinOnce": True}, restartPolicy="Never")
    kubectl("apply", "-f", "-", stdin=text(wanted))
    kubectl("wait", "pod/listener", "--for=condition=Ready", "--timeout=60s")
    assert "got one\ngot two\n" in kubectl("attach", "-i", "listener", stdin="one\ntwo\n")
    kubectl("wait", "pod/listener", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")


def test_debug_with_an_ephemeral_container(kubectl: Kubectl, shell: str) -> None:
    kubectl("debug", shell, f"--image={IMAGE}", "--container=probe", "--", "sh", "-c", "echo probing; sleep 3600")
    kubectl(
        "wait", f"pod/{shell}", "--timeout=30s",
        "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}",
    )  # fmt: skip
    assert kubectl("logs", shell, "-c", "probe") == "probing\n"


def test_the_proxy_subresource_reaches_the_pod(cluster: Cluster, namespace: str, shell: str) -> None:
    assert cluster.out("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{shell}:8080/proxy/") == "hello\n"
