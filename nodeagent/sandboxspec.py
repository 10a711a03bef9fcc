"""The CRI's configuration of a pod's sandbox: name, network, ports, namespaces, sysctls, cgroup. Pure.

Called by the worker when it makes a sandbox, and again, with the same result, whenever a container is made in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent import podspec, resources, runtime, security
from nodeagent.cri import runtime_pb2 as pb
from nodeagent.dns import Resolver

Obj = dict[str, Any]

# Namespaced sysctls that cannot harm others; anything else has to be allowed by the node's configuration.
SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
)
_PROTOCOLS = {"TCP": pb.TCP, "UDP": pb.UDP, "SCTP": pb.SCTP}


@dataclass(frozen=True, slots=True)
class Place:
    """Where and whose. labels: cluster and node. cgroup_parent: "" where the runtime is to choose."""

    labels: Mapping[str, str]
    logs_dir: Path
    seccomp_dir: Path
    node_name: str
    domain: str
    cgroup_parent: str = ""
    cfs_quota: bool = True
    cpu_period: int = 100_000


def log_directory(logs_dir: Path, pod: Obj) -> Path:
    """Where the runtime writes the logs of the pod's containers."""
    metadata = pod["metadata"]
    return logs_dir / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"


def hostname(pod: Obj, node_name: str, domain: str) -> tuple[str, str]:
    """(host name, domain of it or "") of the pod's processes."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return spec["hostnameOverride"][:63], ""
    if podspec.host_network(pod):
        return node_name.split(".")[0][:63], ""
    name = (spec.get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")
    sub = spec.get("subdomain")
    return name, f"{sub}.{pod['metadata']['namespace']}.svc.{domain}" if sub else ""


def sysctl_refusal(pod: Obj, allowed: Sequence[str]) -> str:
    """Why the node refuses the pod's sysctls, or ""."""
    for entry in (pod["spec"].get("securityContext") or {}).get("sysctls") or ():
        name = entry["name"].replace("/", ".")
        patterns = (*SAFE_SYSCTLS, *allowed)
        if not any(name == p or (p.endswith("*") and name.startswith(p[:-1])) for p in patterns):
            return f'forbidden sysctl: "{name}" not allowlisted'
    return ""


def build(pod: Obj, attempt: int, place: Place, resolver: Resolver) -> Any:
    """The PodSandboxConfig. security.Refused when the node cannot honour the pod's security context."""
    metadata = pod["metadata"]
    labels = {
        **(metadata.get("labels") or {}),
        **place.labels,
        runtime.POD_NAME: metadata["name"],
        runtime.POD_NAMESPACE: metadata["namespace"],
        runtime.POD_UID: metadata["uid"],
    }
    annotations = {**(metadata.get("annotations") or {}), "kubernetes.io/config.source": "api"}
    annotations[runtime.GRACE_PERIOD] = str(podspec.grace_period(pod))
    name, domain = hostname(pod, place.node_name, place.domain)
    config = pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"], attempt=attempt
        ),
        log_directory=str(log_directory(place.logs_dir, pod)),
        dns_config=pb.DNSConfig(servers=resolver.servers, searches=resolver.searches, options=resolver.options),
        labels=labels,
        annotations=annotations,
        port_mappings=list(_ports(pod)),
        linux=_linux(pod, place),
    )
    if not podspec.host_network(pod):
        # With the host's UTS namespace a host name would rename the host.
        config.hostname = f"{name}.{domain}" if pod["spec"].get("setHostnameAsFQDN") and domain else name
    return config


def _ports(pod: Obj) -> list[Any]:
    if podspec.host_network(pod):
        return []
    found = []
    kinds = [c for _, c in podspec.containers(pod, podspec.REGULAR)]
    kinds += [c for _, c in podspec.containers(pod, podspec.INIT) if podspec.is_sidecar(c)]
    for container in kinds:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                found.append(
                    pb.PortMapping(
                        protocol=_PROTOCOLS.get(port.get("protocol") or "TCP", pb.TCP),
                        container_port=port["containerPort"],
                        host_port=port["hostPort"],
                        host_ip=port.get("hostIP") or "",
                    )
                )
    return found


def _linux(pod: Obj, place: Place) -> Any:
    context = pod["spec"].get("securityContext") or {}
    limits = resources.pod_limits(pod, cfs_quota=place.cfs_quota, period=place.cpu_period)
    linux = pb.LinuxPodSandboxConfig(
        cgroup_parent=place.cgroup_parent,
        security_context=security.sandbox_context(pod, seccomp_dir=place.seccomp_dir),
        sysctls={entry["name"].replace("/", "."): entry["value"] for entry in context.get("sysctls") or ()},
    )
    linux.resources.cpu_shares = limits.cpu_shares
    linux.resources.cpu_period = limits.cpu_period
    linux.resources.cpu_quota = max(0, limits.cpu_quota)
    linux.resources.memory_limit_in_bytes = limits.memory
    return linux
