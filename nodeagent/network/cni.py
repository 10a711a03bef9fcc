"""CNI configuration of the pod network: a bridge, addresses from the node's pod range, host ports.

Called by the agent once the node has its podCIDR. The file is replaced atomically and only when it differs, because the
runtime reloads it whenever it changes. Refuses to write beside a configuration that is not ours: on a shared
runtime, whoever set up its network keeps it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FILE = "10-steersman.conflist"


def bridge_name(instance: str) -> str:
    """The bridge of a cluster on this host; 15 bytes at most, as the kernel wants it."""
    return f"sm{instance}"


def is_bridge_of_ours(name: str) -> bool:
    """Whether a cluster of ours, this or another, made the bridge."""
    return re.fullmatch(r"sm[0-9a-f]{8}", name) is not None


def network_name(instance: str) -> str:
    return f"steersman-{instance}"


def conflist(instance: str, pod_cidrs: Sequence[str], *, mtu: int, ipam_dir: str) -> dict[str, Any]:
    """The configuration list (CNI 0.4.0, which plugins from 0.8 to 1.x read)."""
    ranges = [[{"subnet": cidr}] for cidr in pod_cidrs]
    routes = [{"dst": "::/0" if ipaddress.ip_network(cidr).version == 6 else "0.0.0.0/0"} for cidr in pod_cidrs]
    bridge: dict[str, Any] = {
        "type": "bridge",
        "bridge": bridge_name(instance),
        "isGateway": True,
        "ipMasq": False,  # ours: one rule for all pods (host.py), not a chain for each
        "hairpinMode": True,  # a pod may reach itself through its own service
        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes, "dataDir": ipam_dir},
    }
    if mtu:
        bridge["mtu"] = mtu
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "0.4.0", "name": network_name(instance), "plugins": [bridge, portmap]}


def foreign_configuration(conf_dir: Path) -> str:
    """The name of a CNI configuration in the directory that is not ours, or ""."""
    try:
        names = sorted(entry.name for entry in conf_dir.iterdir())
    except FileNotFoundError:
        return ""
    return next((name for name in names if name.endswith((".conf", ".conflist", ".json")) and name != _FILE), "")


def write(conf_dir: Path, document: dict[str, Any]) -> bool:
    """Put the configuration in place; whether anything changed."""
    conf_dir.mkdir(parents=True, exist_ok=True)
    path = conf_dir / _FILE
    text = json.dumps(document, indent=2) + "\n"
    try:
        if path.read_text() == text:
            return False
    except FileNotFoundError:
        pass
    fresh = conf_dir / f".{_FILE}.new"
    fresh.write_text(text)
    os.replace(fresh, path)
    return True


def remove(conf_dir: Path) -> None:
    """Take our configuration away again."""
    (conf_dir / _FILE).unlink(missing_ok=True)
