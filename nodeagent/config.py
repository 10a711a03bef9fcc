"""What a node agent can be told. Names are kubelet's flags where it has one; filled by steersman/config.py."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery import quantity
from apimachinery.clock import Clock, RealClock


def parse_taint(text: str) -> dict[str, str]:
    """key=value:effect or key:effect. ValueError."""
    rest, colon, effect = text.rpartition(":")
    if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise ValueError(f"invalid taint spec: {text}, must be key=value:effect")
    key, _, value = rest.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


@dataclass(frozen=True, slots=True)
class Config:
    kubeconfig: Path
    """Path of the kubeconfig with which the agent reaches the API server."""

    root_dir: Path = Path("/var/lib/steersman/node")
    """Directory of all that is the agent's: volumes, container logs, CNI configuration, a private containerd. Kubelet's
    /var/lib/kubelet is left alone, so that both can be on one machine."""

    runtime: str = "auto"
    """auto | containerd | cri=SOCKET | simulated. auto: a running containerd, else a private one; never simulated."""

    bootstrap_kubeconfig: Path | None = None
    """Kubeconfig with a bootstrap token, used once: to ask for the client certificate that --kubeconfig then refers to."""

    rotate_certificates: bool = True
    """Whether a client certificate that was asked for with --bootstrap-kubeconfig is renewed before it ends."""

    rotate_server_certificates: bool = False
    """Whether the serving certificate is asked for from the cluster (signer kubernetes.io/kubelet-serving), and renewed;
    until it is approved, a self-signed one serves."""

    hostname_override: str = ""
    """The node's name; the machine's host name, in lower case, when empty."""

    node_ip: str = ""
    """Addresses to report, comma-separated; the source address of the default route when empty."""

    node_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels set when the node registers itself."""

    register_with_taints: tuple[str, ...] = ()
    """Taints set at registration, each key=value:effect."""

    register_node: bool = True
    """Whether to create the Node object; otherwise wait until someone does."""

    provider_id: str = ""
    """spec.providerID at registration."""

    address: str = "0.0.0.0"
    """Address of the HTTPS server; all, since the API server may be on another machine."""

    port: int = 10250
    """Port of the HTTPS server; 0 picks a free one. Kubelet's default."""

    tls_cert_file: Path | None = None
    """Serving certificate; a self-signed one is made in ROOT-DIR/pki when empty, as kubelet does."""

    tls_private_key_file: Path | None = None
    """Key of the serving certificate."""

    client_ca_file: Path | None = None
    """CA of client certificates (the API server's kubelet client)."""

    anonymous_auth: bool = False
    """Whether requests without credentials are anonymous rather than refused. Kubelet's configuration default."""

    authentication_token_webhook: bool = True
    """Whether bearer tokens are checked by TokenReview."""

    authorization_mode: str = "Webhook"
    """AlwaysAllow, or else Webhook (SubjectAccessReview)."""

    pod_cidr: str = ""
    """Pod addresses, comma-separated, put into the Node at registration; empty: a controller gives it its part."""

    cluster_cidr: str = "10.244.0.0/16"
    """The whole cluster's pod range, comma-separated: traffic to it never leaves the host by the default route."""

    service_cluster_ip_range: str = "10.96.0.0/16"
    """The services' range, comma-separated: likewise."""

    cluster_dns: tuple[str, ...] = ()
    """Servers for pods with dnsPolicy ClusterFirst; while empty they get the host's resolv.conf."""

    cluster_domain: str = "cluster.local"
    """Domain of the search list."""

    resolv_conf: Path = Path("/etc/resolv.conf")
    """The host's resolver configuration for dnsPolicy Default."""

    max_pods: int = 110
    """Pods on this node, kubelet's default."""

    cgroup_root: str = "kubepods"
    """Name of the cgroup that holds all pods."""

    cgroups_per_qos: bool = True
    """Whether pods get cgroups of their own with pod-level limits; off automatically where the host forbids it."""

    cpu_cfs_quota: bool = True
    """Whether CPU limits are enforced."""

    cpu_cfs_quota_period: float = 0.1
    """Seconds."""

    kube_reserved: Mapping[str, str] = field(default_factory=dict)
    """Quantities taken off allocatable: cpu, memory, ephemeral-storage, pid."""

    system_reserved: Mapping[str, str] = field(default_factory=dict)
    """Likewise."""

    eviction_hard: Mapping[str, str] = field(
        default_factory=lambda: {
            "memory.available": "100Mi",
            "nodefs.available": "10%",
            "nodefs.inodesFree": "5%",
            "imagefs.available": "15%",
            "imagefs.inodesFree": "5%",
        }
    )
    """Signals and thresholds that turn on the pressure conditions; kubelet's defaults."""

    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """Sysctls beyond the safe set that pods may use; patterns may end in *."""

    node_status_update_frequency: float = 10.0
    """Seconds between looks at the node's condition."""

    node_status_report_frequency: float = 300.0
    """Seconds between writes of an unchanged node status; the lease shows life in between."""

    node_lease_duration_seconds: int = 40
    """Seconds; renewed every quarter of it."""

    sync_frequency: float = 60.0
    """Seconds between looks at a pod to which nothing happened."""

    relist_period: float = 1.0
    """Seconds between lists of the runtime when it sends no events; with events ten times as long."""

    max_container_backoff: float = 300.0
    """Seconds: the longest wait between restarts of a crashing container."""

    serialize_image_pulls: bool = False
    """Whether images are pulled one at a time."""

    max_parallel_image_pulls: int = 5
    """Pulls at once when not serialised: two cores and one disk gain nothing from more."""

    container_log_max_size: int = 10 << 20
    """Bytes of a container's log before it is rotated."""

    container_log_max_files: int = 5
    """Log files kept of a container, the current one included."""

    clock: Clock = field(default_factory=RealClock, metadata={"flag": None})
    """The injected clock. Runtime calls, probes of processes and log reading keep real time: containers do."""

    def __post_init__(self) -> None:
        """ValueError for a value that means nothing."""
        if self.runtime not in ("auto", "containerd", "simulated") and not self.runtime.startswith("cri="):
            raise ValueError(f"--runtime {self.runtime}: must be auto, containerd, cri=SOCKET or simulated")
        for text in self.register_with_taints:
            parse_taint(text)
        for flag in ("pod_cidr", "cluster_cidr", "service_cluster_ip_range"):
            for cidr in filter(None, getattr(self, flag).split(",")):
                try:
                    ipaddress.ip_network(cidr.strip())
                except ValueError as error:
                    raise ValueError(f"--{flag.replace('_', '-')}: {error}") from None
        for address in filter(None, self.node_ip.split(",")):
            try:
                ipaddress.ip_address(address.strip())
            except ValueError as error:
                raise ValueError(f"--node-ip: {error}") from None
        for reserved in (self.kube_reserved, self.system_reserved):
            for name, value in reserved.items():
                try:
                    quantity.parse(value)
                except ValueError as error:
                    raise ValueError(f"reserved {name}: {error}") from None

    @property
    def pods_dir(self) -> Path:
        return self.root_dir / "pods"

    @property
    def logs_dir(self) -> Path:
        """Container logs. Not /var/log/pods: what a cluster leaves behind lies in its data directory."""
        return self.root_dir / "pod-logs"
