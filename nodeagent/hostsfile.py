"""A pod's /etc/hosts. Pure but for reading the host's own for pods on the host's network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nodeagent import podspec

Obj = dict[str, Any]

_STANDARD = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
)


def text(pod: Obj, ips: Sequence[str], hostname: str, domain: str, *, host_file: Path = Path("/etc/hosts")) -> str:
    """The file's content. ips: the pod's. domain: of the host name, "" if it has none."""
    if podspec.host_network(pod):
        try:
            own = host_file.read_text()
        except OSError:
            own = ""
        lines = ["# Kubernetes-managed hosts file (host network).", own.rstrip("\n")]
    else:
        lines = ["# Kubernetes-managed hosts file.", *_STANDARD]
        names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
        lines += [f"{ip}\t{names}" for ip in ips]
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join([alias["ip"], *(alias.get("hostnames") or ())]) for alias in aliases]
    return "\n".join(lines) + "\n"
