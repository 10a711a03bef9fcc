"""The server of the parity suite: the real command, started once; real TLS, a database on disk, no controllers."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parity.client import TOKENS, Client
from tests.support import machine

ROOT = Path(__file__).resolve().parents[2]
USERS = {"admin": ("admin", "admin", "system:masters"), "plain": ("plain", "plain-uid", "team-a")}
USERS["node"] = ("system:node:n1", "n1-uid", "system:nodes")


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the server that this session shares."""
    folder = tmp_path_factory.mktemp("parity")
    tokens = folder / "tokens.csv"
    tokens.write_text("".join(f'{TOKENS[who]},{name},{uid},"{group}"\n' for who, (name, uid, group) in USERS.items()))
    port = machine.free_port()
    command = [sys.executable, "-m", "steersman", "apiserver", f"--data-dir={folder / 'data'}", f"--secure-port={port}"]
    command += ["--bind-address=127.0.0.1", f"--token-auth-file={tokens}", "--enable-admission-plugins=NodeRestriction"]
    log = folder / "log"
    with log.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as server:
        try:
            _await_ready(server, log)
            tls = ssl.create_default_context(cafile=str(folder / "data" / "pki" / "ca.crt"))
            shared = Client(port, tls)
            yield shared
            shared.close()
        finally:
            server.terminate()
    assert "Traceback" not in log.read_text(), log.read_text()


def _await_ready(server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while "is ready" not in log.read_text():
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the API server did not start:\n{log.read_text()}")
        time.sleep(0.05)
