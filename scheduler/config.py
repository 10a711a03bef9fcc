"""What the scheduler can be told. Names are kube-scheduler's flags where it has one; filled by steersman/config.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.clock import Clock, RealClock
from client import leaderelection


@dataclass(frozen=True, slots=True)
class Config:
    kubeconfig: Path
    """Path of the kubeconfig with which the scheduler reaches the API server."""

    scheduler_name: str = "default-scheduler"
    """Pods whose spec.schedulerName is this are scheduled."""

    election: leaderelection.Flags = field(
        default_factory=lambda: leaderelection.Flags(leader_elect_resource_name="kube-scheduler")
    )
    """The --leader-elect… flags."""

    bind_address: str = "127.0.0.1"
    """Address of the HTTPS endpoint for health and metrics; this machine only, since nobody else needs it by default."""

    secure_port: int = 10259
    """Port of that endpoint; 0 for none."""

    tls_cert_file: Path | None = None
    """Serving certificate of the endpoint; without one there is no endpoint."""

    tls_private_key_file: Path | None = None
    """Key of the serving certificate."""

    client_ca_file: Path | None = None
    """CA of client certificates that may read /metrics."""

    pod_initial_backoff: float = 1.0
    """Seconds before the first retry of a pod that could not be scheduled (podInitialBackoffSeconds)."""

    pod_max_backoff: float = 10.0
    """Longest wait between retries, in seconds (podMaxBackoffSeconds)."""

    pod_max_in_unschedulable_pods_duration: float = 300.0
    """Seconds after which an unschedulable pod is tried again though nothing seems to have changed."""

    concurrent_binds: int = 100
    """Bindings under way at once."""

    clock: Clock = field(default_factory=RealClock, metadata={"flag": None})
    """The time that everything goes by."""
