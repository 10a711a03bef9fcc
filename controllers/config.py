"""What the controllers can be told. Names are kube-controller-manager's flags where it has one; filled by steersman/config.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.clock import Clock, RealClock
from client import leaderelection


@dataclass(frozen=True, slots=True)
class Config:
    kubeconfig: Path
    """Path of the kubeconfig with which the controllers reach the API server."""

    controllers: tuple[str, ...] = ("*",)
    """Controllers to run: '*' is all that are on by default, 'foo' also runs foo, '-foo' does not run it."""

    use_service_account_credentials: bool = True
    """Whether each controller acts as its own service account in kube-system, with its own role, as kubeadm sets it."""

    election: leaderelection.Flags = field(
        default_factory=lambda: leaderelection.Flags(leader_elect_resource_name="kube-controller-manager")
    )
    """The --leader-elect… flags."""

    bind_address: str = "127.0.0.1"
    """Address of the HTTPS endpoint for health and metrics; this machine only, since nobody else needs it by default."""

    secure_port: int = 10257
    """Port of that endpoint; 0 for none."""

    tls_cert_file: Path | None = None
    """Serving certificate of the endpoint; without one there is no endpoint."""

    tls_private_key_file: Path | None = None
    """Key of the serving certificate."""

    client_ca_file: Path | None = None
    """CA of client certificates that may read /metrics."""

    root_ca_file: Path | None = None
    """CA certificate published in every namespace as the ConfigMap kube-root-ca.crt; not published when empty."""

    service_account_private_key_file: Path | None = None
    """Key that signs service-account tokens kept in Secrets; such Secrets stay empty without it."""

    cluster_signing_cert_file: Path | None = None
    """CA certificate that signs CertificateSigningRequests; none are signed without it."""

    cluster_signing_key_file: Path | None = None
    """Key of that CA."""

    cluster_signing_duration: float = 365 * 24 * 3600.0
    """Longest validity of signed certificates, in seconds; a year."""

    service_cluster_ip_range: str = "10.96.0.0/16"
    """Range of the services' addresses."""

    cluster_cidr: str = "10.244.0.0/16"
    """Range(s) of pod addresses, comma-separated, from which every node gets a part."""

    allocate_node_cidrs: bool = True
    """Whether nodes get their spec.podCIDR from the range."""

    node_cidr_mask_size: int = 24
    """Prefix length of a node's IPv4 part: 254 pods."""

    node_cidr_mask_size_ipv6: int = 64
    """Prefix length of a node's IPv6 part."""

    concurrent_deployment_syncs: int = 5
    """Deployments worked on at once."""

    concurrent_replicaset_syncs: int = 5
    """ReplicaSets worked on at once."""

    concurrent_rc_syncs: int = 5
    """ReplicationControllers worked on at once."""

    concurrent_job_syncs: int = 5
    """Jobs worked on at once."""

    concurrent_namespace_syncs: int = 10
    """Namespaces worked on at once."""

    concurrent_endpoint_syncs: int = 5
    """Services whose Endpoints are worked on at once."""

    concurrent_service_endpoint_syncs: int = 5
    """Services whose EndpointSlices are worked on at once."""

    concurrent_gc_syncs: int = 20
    """Objects the garbage collector works on at once."""

    concurrent_daemonset_syncs: int = 2
    """DaemonSets worked on at once."""

    concurrent_statefulset_syncs: int = 5
    """StatefulSets worked on at once."""

    concurrent_cron_job_syncs: int = 5
    """CronJobs worked on at once."""

    concurrent_ttl_after_finished_syncs: int = 5
    """Finished Jobs worked on at once."""

    max_endpoints_per_slice: int = 100
    """Endpoints in one EndpointSlice."""

    node_monitor_period: float = 5.0
    """Seconds between looks at all nodes."""

    node_monitor_grace_period: float = 50.0
    """Seconds without a sign of life after which a node is Unknown."""

    node_startup_grace_period: float = 60.0
    """Seconds that a new node may take to report."""

    node_eviction_rate: float = 0.1
    """Nodes a second that are tainted NoExecute when a zone is healthy."""

    secondary_node_eviction_rate: float = 0.01
    """The same when a zone is partly disrupted."""

    large_cluster_size_threshold: int = 50
    """Nodes up to which a partly disrupted zone counts as small: no evictions there."""

    unhealthy_zone_threshold: float = 0.55
    """Share of unready nodes from which a zone counts as partly disrupted."""

    terminated_pod_gc_threshold: int = 12500
    """Finished pods that may exist before the oldest are deleted; 0 for no limit."""

    horizontal_pod_autoscaler_sync_period: float = 15.0
    """Seconds between looks at autoscalers."""

    clock: Clock = field(default_factory=RealClock, metadata={"flag": None})
    """The time that everything goes by."""
