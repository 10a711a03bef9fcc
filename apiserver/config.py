"""What the API server can be told, under the names that kube-apiserver's flags have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apiserver import admission, audit, authn, authz


@dataclass(frozen=True, slots=True)
class Config:
    """Each field is the flag of the same name. Files must exist and parse: anything else is an error at start."""

    bind_address: str = "0.0.0.0"
    # Where to listen; 0.0.0.0 means every address, so that pods reach it too.
    secure_port: int = 6443
    # The HTTPS port; there is no other. 0 picks a free one.
    advertise_address: str = ""
    # The address in the `kubernetes` Service's endpoints, which pods must reach. "": bind_address.
    tls_cert_file: Path | None = None
    # PEM certificate (chain) that the server shows. Required.
    tls_private_key_file: Path | None = None
    # PEM key of that certificate. Required.
    storage: str = ""
    # Where objects are kept: sqlite:///path. Required.
    authn: authn.Config = field(default_factory=authn.Config)
    authz: authz.Config = field(default_factory=authz.Config)
    admission: admission.Config = field(default_factory=admission.Config)
    audit: audit.Config = field(default_factory=audit.Config)
    service_cluster_ip_range: str = "10.96.0.0/16"
    # CIDR (or two, one of each family, comma-separated) that services get their addresses from.
    service_node_port_range: str = "30000-32767"
    # Ports for services of type NodePort and LoadBalancer.
    kubelet_client_certificate: Path | None = None
    # PEM certificate for connections to node agents (logs, exec, ...). None: they are refused there.
    kubelet_client_key: Path | None = None
    # Its key.
    kubelet_certificate_authority: Path | None = None
    # PEM bundle that node agents' serving certificates must chain to. None: they are not verified.
    kubelet_preferred_address_types: Sequence[str] = ("InternalIP", "Hostname", "ExternalIP")
    # Which of a node's addresses to connect to, best first.
    proxy_client_cert_file: Path | None = None
    # PEM certificate with which the server acts as front proxy for aggregated API servers.
    proxy_client_key_file: Path | None = None
    # Its key.
    event_ttl: float = 3600
    # Seconds that events are kept.
    request_timeout: float = 60
    # Seconds a request may take that is no watch and opens no connection.
    max_requests_inflight: int = 400
    # Reads under way at once. With priority and fairness, the sum of this and the next is what levels share.
    max_mutating_requests_inflight: int = 200
    # Writes under way at once. Without priority and fairness more are answered 429, and 0 is no limit.
    enable_priority_and_fairness: bool = True
    # Requests get their share by FlowSchemas and PriorityLevelConfigurations, and wait in fair queues.
    min_request_timeout: int = 1800
    # Seconds after which a watch without timeoutSeconds ends at the earliest (at random up to twice this).
    history: float = 300
    # Seconds of old revisions that are kept for watches and paged lists, as etcd's compaction interval.
    encryption_provider_config: Path | None = None
    # EncryptionConfiguration: which resources are stored encrypted, and how. Without it they are stored as they are.
    encryption_provider_config_automatic_reload: bool = False
    # Whether that file is followed as it changes.
