"""An API server for trying things out by hand: python -m tests.support.devserver --port N --data DIR [--seconds S]

Makes its own PKI in DIR. Tokens as the differential oracle wants them: admintoken (system:masters), plaintoken (user
plain of team-a), nodetoken (system:node:n1). Not part of the product.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from pathlib import Path

import uvloop

from apimachinery.clock import RealClock
from apiserver import admission, authn, authz, server
from apiserver.config import Config
from steersman import pki

TOKENS = """admintoken,admin,admin,system:masters
plaintoken,plain,plain-uid,team-a
nodetoken,system:node:n1,n1-uid,system:nodes
"""


def config_for(data: Path, port: int, *, storage: str = "") -> Config:
    """A configuration that keeps everything below `data`."""
    data.mkdir(parents=True, exist_ok=True)
    folder = data / "pki"
    leaves = pki.cluster_leaves(node_name="n1", dns_names=(), addresses=("127.0.0.1",), node_addresses=("127.0.0.1",))
    pki.ensure(folder, leaves, RealClock())
    tokens = data / "tokens.csv"
    tokens.write_text(TOKENS)
    return Config(
        bind_address="127.0.0.1",
        secure_port=port,
        advertise_address="127.0.0.1",
        tls_cert_file=folder / "apiserver.crt",
        tls_private_key_file=folder / "apiserver.key",
        storage=storage or f"sqlite://{data.resolve() / 'cluster.db'}",
        authn=authn.Config(
            client_ca_file=folder / "ca.crt",
            token_auth_file=tokens,
            service_account_key_file=(folder / "sa.pub",),
            service_account_signing_key_file=folder / "sa.key",
            requestheader_client_ca_file=folder / "front-proxy-ca.crt",
            requestheader_allowed_names=("front-proxy-client",),
        ),
        authz=authz.Config(),
        admission=admission.Config(enable_admission_plugins=("NodeRestriction",)),
        proxy_client_cert_file=folder / "front-proxy-client.crt",
        proxy_client_key_file=folder / "front-proxy-client.key",
        kubelet_client_certificate=folder / "apiserver-kubelet-client.crt",
        kubelet_client_key=folder / "apiserver-kubelet-client.key",
        kubelet_certificate_authority=folder / "ca.crt",
    )


async def main(arguments: argparse.Namespace) -> None:
    begun = time.monotonic()

    def ready() -> None:
        print(f"ready after {time.monotonic() - begun:.2f} s on https://127.0.0.1:{arguments.port}", flush=True)

    config = config_for(arguments.data, arguments.port, storage=arguments.storage)
    task = asyncio.ensure_future(server.run(config, ready))
    if arguments.seconds:
        await asyncio.wait({task}, timeout=arguments.seconds)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=16443)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--storage", default="", help="default: sqlite in DATA; memory: keeps nothing")
    parser.add_argument("--seconds", type=float, default=0, help="end by itself after so long")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    uvloop.run(main(parser.parse_args()))
