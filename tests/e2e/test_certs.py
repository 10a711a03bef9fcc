"""Certificates are rotated under a running cluster: nobody is restarted, nothing stops, the old ones are gone from the wire."""

from __future__ import annotations

import json
import ssl
import time
from pathlib import Path

from cryptography import x509

from tests.e2e.manifests import deployment, text
from tests.support import machine
from tests.support.cluster import Cluster


def served(port: int) -> int:
    """The serial number of the certificate that a server shows."""
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode()).serial_number


def await_other(port: int, old: int) -> None:
    deadline = time.monotonic() + 60
    while served(port) == old:
        assert time.monotonic() < deadline, f"port {port} still shows its old certificate"
        time.sleep(0.2)


def test_a_running_cluster_takes_rotated_certificates(tmp_path: Path) -> None:
    node_port = machine.free_port()
    cluster = Cluster(tmp_path / "cluster", "--runtime=simulated", f"--nodeagent.port={node_port}")
    cluster.start()
    try:
        shown = cluster.steersman("certs").stdout
        assert "CN=kubernetes-admin,O=system:masters" in shown
        assert "front-proxy-ca" in shown
        old, old_node, pids = served(cluster.port), served(node_port), cluster.pids()
        old_admin = cluster.kubeconfig.read_bytes()
        written = cluster.steersman("certs", "rotate").stdout
        assert "rotated apiserver\n" in written
        assert cluster.kubeconfig.read_bytes() != old_admin
        await_other(cluster.port, old)
        await_other(node_port, old_node)
        cluster.apply(text(deployment("web", replicas=2)))
        cluster.out("rollout", "status", "deployment/web", "--timeout=60s")
        cluster.out("get", "--raw", f"/api/v1/nodes/{cluster.get('nodes')['items'][0]['metadata']['name']}/proxy/pods")
        assert cluster.pids() == pids
        bad = cluster.steersman("certs", "rotate", "nobody", check=False)
        assert bad.returncode == 1
        assert "no certificate 'nobody'" in bad.stderr
        token = cluster.out("create", "token", "default").strip()
        cluster.steersman("certs", "rotate", "sa")
    finally:
        cluster.stop()
    cluster.start()
    try:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        for reviewed in (review, {**review, "spec": {"token": cluster.out("create", "token", "default").strip()}}):
            answer = cluster.out("create", "-f", "-", "-o", "json", stdin=json.dumps(reviewed))
            assert json.loads(answer)["status"]["authenticated"]
    finally:
        cluster.stop()
