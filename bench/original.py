"""kube-apiserver with its etcd, started so that the same load can be put on it; for the ratios of `make bench`.

Both are given by path (--kube-apiserver, --etcd): neither is part of this project.
"""

from __future__ import annotations

import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench import serve
from bench.api import Server, free_port
from bench.load import Target

READY_SECONDS = 60.0


def starter(apiserver: str, etcd: str) -> Callable[[Path], AbstractContextManager[Server]]:
    """What api.rows() starts its server with."""

    @contextmanager
    def start(data: Path) -> Iterator[Server]:
        folder = serve.credentials(data)
        port, client_port, peer_port = free_port(), free_port(), free_port()
        client = f"http://127.0.0.1:{client_port}"
        begun = time.perf_counter()
        with (data / "etcd.log").open("a") as log:
            store = subprocess.Popen(
                [
                    etcd,
                    f"--data-dir={data / 'etcd'}",
                    f"--listen-client-urls={client}",
                    f"--advertise-client-urls={client}",
                    f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
                    f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
                    f"--initial-cluster=default=http://127.0.0.1:{peer_port}",
                ],
                stdout=log,
                stderr=log,
                text=True,
            )
        with (data / "apiserver.log").open("a") as log:
            server = subprocess.Popen(
                [
                    apiserver,
                    f"--etcd-servers={client}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={port}",
                    f"--tls-cert-file={folder / 'apiserver.crt'}",
                    f"--tls-private-key-file={folder / 'apiserver.key'}",
                    f"--client-ca-file={folder / 'ca.crt'}",
                    f"--token-auth-file={data / 'tokens.csv'}",
                    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                    f"--service-account-key-file={folder / 'sa.pub'}",
                    f"--service-account-signing-key-file={folder / 'sa.key'}",
                    "--service-cluster-ip-range=10.96.0.0/16",
                    "--authorization-mode=Node,RBAC",
                ],
                stdout=log,
                stderr=log,
                text=True,
            )
        target = Target(port, serve.TOKEN, str(folder / "ca.crt"))
        running = Server([server, store], target, 0.0)
        try:
            _await_ready(target, server, data)
            running.ready_seconds = time.perf_counter() - begun
            yield running
        finally:
            running.stop()

    return start


def _await_ready(target: Target, process: subprocess.Popen[str], data: Path) -> None:
    context = ssl.create_default_context(cafile=target.ca)
    deadline = time.perf_counter() + READY_SECONDS
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{target.port}/readyz", context=context, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    lines = (data / "apiserver.log").read_text(errors="replace").splitlines()[-5:]
    raise RuntimeError("the original did not start:\n" + "\n".join(lines))
