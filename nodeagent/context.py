"""What the workers of one node share. Built by agent.py; nothing here decides anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery.clock import Clock
from client.api import Client
from client.events import EventRecorder
from client.informer import Informer
from nodeagent import podspec
from nodeagent.backoff import Backoff
from nodeagent.config import Config
from nodeagent.dns import Resolver
from nodeagent.images import ImagePuller
from nodeagent.objects import ReferencedObjects
from nodeagent.observer import Observer
from nodeagent.probes import Probes
from nodeagent.runtime import Runtime
from nodeagent.sandboxspec import Place
from nodeagent.statuswriter import StatusWriter
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.tokens import Tokens

if TYPE_CHECKING:
    from nodeagent.worker import PodWorker

Obj = dict[str, Any]


@dataclass(slots=True)
class NodeFacts:
    """What is known of the node itself; refreshed by node.py.

    allocatable: resource name -> quantity text. network: None when pods can get addresses, else why not.
    handlers: runtime handler -> (recursive read-only mounts, user namespaces).
    """

    name: str
    host_ips: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    memory_capacity: int = 0
    under_pressure: Sequence[str] = ()
    network: str | None = "network is not ready: the node has no pod range yet"
    systemd_cgroups: bool = False
    pod_cgroups: bool = True
    handlers: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)

    def feature(self, handler: str, which: int) -> bool:
        """Whether a handler has a feature; the runtime's default has the empty name."""
        return bool(self.handlers.get(handler, (False, False))[which])


@dataclass(slots=True)
class NodeContext:
    """One node agent's parts. real: time in which containers live. group: owner of the workers' tasks."""

    config: Config
    clock: Clock
    real: Clock
    client: Client
    runtime: Runtime
    facts: NodeFacts
    recorder: EventRecorder
    observer: Observer
    images: ImagePuller
    probes: Probes
    volumes: VolumeManager
    objects: ReferencedObjects
    tokens: Tokens
    statuses: StatusWriter
    crashes: Backoff
    services: Informer
    host_resolver: Resolver
    labels: Mapping[str, str]
    seccomp_dir: Path
    group: asyncio.TaskGroup
    workers: dict[str, PodWorker] = field(default_factory=dict)
    active_pods: Callable[[], list[Obj]] = list

    def tell(self, pod: Obj, container: str, kind: str, reason: str, message: str) -> None:
        """An event about a pod, or about one of its containers. kind: Normal | Warning."""
        metadata = pod["metadata"]
        reference = {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": "v1",
            "resourceVersion": metadata.get("resourceVersion") or "",
        }
        path = podspec.field_path(pod, container) if container else ""
        if path:
            reference["fieldPath"] = path
        self.recorder.event({key: value for key, value in reference.items() if value}, kind, reason, message)

    def place(self, cgroup_parent: str) -> Place:
        return Place(
            labels=self.labels,
            logs_dir=self.config.logs_dir,
            seccomp_dir=self.seccomp_dir,
            node_name=self.facts.name,
            domain=self.config.cluster_domain,
            cgroup_parent=cgroup_parent,
            cfs_quota=self.config.cpu_cfs_quota,
            cpu_period=int(self.config.cpu_cfs_quota_period * 1_000_000),
        )
