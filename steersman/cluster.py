"""Prepares a data directory for a cluster: certificates and kubeconfigs. Called before any component starts."""

from __future__ import annotations

import socket
from pathlib import Path

from apimachinery.clock import Clock
from steersman import kubeconfig, pki
from steersman.config import Layout
from steersman.paths import DataDir

COMPONENTS = ("controllers", "scheduler", "nodeagent")
USERS = {
    "controllers": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
}


def prepare(place: Layout, clock: Clock) -> list[str]:
    """Bring certificates and kubeconfigs up to date with the layout; the names of the certificates written."""
    host = socket.gethostname()
    leaves = pki.cluster_leaves(
        node_name=place.node,
        dns_names=(host, host.lower()),
        addresses=(place.service_address, place.advertise_address),
        node_addresses=(place.advertise_address,),
    )
    written = pki.ensure(place.data.pki, leaves, clock)
    write_kubeconfig(place, "admin", "steersman-admin")
    for component in COMPONENTS:
        write_kubeconfig(place, component, USERS.get(component, f"system:node:{place.node}"))
    return written


def write_kubeconfig(place: Layout, name: str, user: str) -> None:
    """Write the kubeconfig of the certificate of that name."""
    folder = place.data.pki
    config = kubeconfig.build(
        server=place.local_server,
        ca_file=folder / "ca.crt",
        certificate=folder / f"{name}.crt",
        key=folder / f"{name}.key",
        user=user,
    )
    kubeconfig.write(_kubeconfig_file(place.data, name), config)


def refresh_kubeconfigs(data: DataDir) -> None:
    """Put the certificates that lie in the folder now into the kubeconfigs that there are; whom they reach stays."""
    for name in ("admin", *COMPONENTS):
        path = _kubeconfig_file(data, name)
        if path.exists():
            kubeconfig.refresh(path, data.pki / "ca.crt", data.pki / f"{name}.crt", data.pki / f"{name}.key")


def _kubeconfig_file(data: DataDir, name: str) -> Path:
    return data.admin_kubeconfig if name == "admin" else data.kubeconfigs / f"{name}.yaml"
