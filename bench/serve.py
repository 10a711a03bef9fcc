"""An API server for measuring: python -m bench.serve DATA PORT. Serves until killed; makes its own PKI in DATA."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path

import uvloop

from apimachinery.clock import RealClock
from apiserver import authn, server
from apiserver.config import Config
from steersman import pki

TOKEN = "bench-token"
GREEDY, MODEST = "greedy-token", "modest-token"  # of two users who are nobody special


def credentials(data: Path) -> Path:
    """Make certificates and a token file in the folder; where the certificates are."""
    data.mkdir(parents=True, exist_ok=True)
    folder = data / "pki"
    leaves = pki.cluster_leaves(node_name="bench", dns_names=(), addresses=(), node_addresses=())
    pki.ensure(folder, leaves, RealClock())
    tokens = f"{TOKEN},bench,bench,system:masters\n{GREEDY},greedy,greedy\n{MODEST},modest,modest\n"
    (data / "tokens.csv").write_text(tokens)
    return folder


def config_for(data: Path, port: int) -> Config:
    """An API server as `steersman up` runs it, with one privileged token."""
    folder = credentials(data)
    return Config(
        bind_address="127.0.0.1",
        secure_port=port,
        tls_cert_file=folder / "apiserver.crt",
        tls_private_key_file=folder / "apiserver.key",
        storage=f"sqlite://{data.resolve() / 'cluster.db'}",
        authn=authn.Config(
            client_ca_file=folder / "ca.crt",
            token_auth_file=data / "tokens.csv",
            service_account_signing_key_file=folder / "sa.key",
        ),
    )


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    data, port = Path(sys.argv[1]), int(sys.argv[2])

    def ready() -> None:
        gc.collect()
        gc.freeze()
        print("ready", flush=True)

    uvloop.run(server.run(config_for(data, port), ready))


if __name__ == "__main__":
    main()
