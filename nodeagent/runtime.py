"""What the node agent asks of a container runtime, and how it sees what is there.

    Runtime        the interface; cri/client.py (containerd, CRI-O, ...) and simulated.py answer it
    SandboxState, ContainerState, PodState
                   frozen snapshots of what a runtime reports; all that plan.py and status.py know about it
    RuntimeFailure a refused call, drawn as the original's logs and statuses draw gRPC errors

Requests are the interface's own messages (cri/runtime_pb2), because every field of a pod has to be turned into one of
theirs anyway; what comes back is turned into plain values, because decisions are made and tested on them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# Labels by which every tool on a node (crictl, the original) recognises what belongs to which pod.
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
# Ours: which cluster and node own a sandbox, so that several agents can share one containerd.
CLUSTER = "steersman.io/cluster"
NODE = "steersman.io/node"
# Annotations the original keeps on containers, so that a restarted agent knows what it started.
HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
PRE_STOP = "io.kubernetes.container.preStopHandler"
PORTS = "io.kubernetes.container.ports"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
# Ours: what a simulated container has to know to behave; real runtimes keep it without looking.
KIND = "steersman.io/container-kind"
RESTART_POLICY = "steersman.io/restart-policy"
SIDECAR = "steersman.io/sidecar"
# Ours: the resources (JSON) that a container was made with, to tell later whether they have to be changed.
RESOURCES = "steersman.io/resources"

CREATED, RUNNING, EXITED, UNKNOWN = "created", "running", "exited", "unknown"


class RuntimeFailure(Exception):
    """A call that the runtime refused. code: the gRPC code as Go prints it (NotFound, Unavailable, ...)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class SandboxState:
    """One sandbox. created_at: seconds since the epoch. ips: empty with the host's network."""

    id: str
    pod_uid: str
    namespace: str
    name: str
    attempt: int
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()
    host_network: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container, alive or dead. Times: seconds since the epoch, 0 when it has not happened.

    state: created, running, exited or unknown. attempt: how many of its name came before in this pod.
    user: uid, gid and supplementary groups of the first process where the runtime tells them.
    """

    id: str
    pod_uid: str
    sandbox_id: str
    name: str
    attempt: int
    state: str
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    image_id: str = ""
    log_path: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[tuple[str, str], ...] = ()
    resources: Mapping[str, int] | None = None
    user: tuple[int, int, tuple[int, ...]] | None = None

    @property
    def hash(self) -> str:
        return self.annotations.get(HASH, "")

    @property
    def restart_count(self) -> int:
        text = self.annotations.get(RESTART_COUNT, "")
        return int(text) if text.isdigit() else self.attempt


@dataclass(frozen=True, slots=True)
class PodState:
    """All that the runtime holds of one pod; sandboxes and containers newest first."""

    uid: str
    namespace: str = ""
    name: str = ""
    sandboxes: tuple[SandboxState, ...] = ()
    containers: tuple[ContainerState, ...] = ()

    @property
    def sandbox(self) -> SandboxState | None:
        """The newest sandbox, ready or not."""
        return self.sandboxes[0] if self.sandboxes else None

    def container(self, name: str) -> ContainerState | None:
        """The newest container of that name."""
        return next((c for c in self.containers if c.name == name), None)

    def attempts(self, name: str) -> list[ContainerState]:
        """All containers of that name, newest first."""
        return [c for c in self.containers if c.name == name]

    @property
    def running(self) -> list[ContainerState]:
        return [c for c in self.containers if c.state == RUNNING]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image that the runtime has. size: bytes. uid: the image's numeric user, None where it has a name or none."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    uid: int | None
    username: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """The runtime's name and version, its conditions (type -> (status, reason, message)) and what it can do.

    systemd_cgroups: whether cgroup parents are systemd slices; None when it does not tell.
    handlers: handler name -> (recursive read-only mounts, user namespaces).
    """

    name: str
    version: str
    conditions: Mapping[str, tuple[bool, str, str]]
    systemd_cgroups: bool | None
    handlers: Mapping[str, tuple[bool, bool]]
    supplemental_groups_policy: bool


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container (or a sandbox's pod) uses. Times in nanoseconds, memory in bytes; None: not told."""

    container_id: str
    pod_uid: str
    name: str
    timestamp: int
    cpu_nanoseconds: int | None
    memory_working_set: int | None
    memory_usage: int | None
    memory_rss: int | None
    page_faults: int | None
    major_page_faults: int | None
    disk_bytes: int | None
    disk_inodes: int | None


class Runtime(Protocol):
    """A container runtime. Every method raises RuntimeFailure; ids are the runtime's own.

    Only what carries this agent's labels is ever listed, so nothing of others is touched.
    """

    scheme: str

    async def info(self) -> RuntimeInfo: ...
    async def update_pod_cidr(self, pod_cidr: str) -> None: ...
    async def cni_conf_dir(self) -> str:
        """Where the runtime reads its network configuration; "" when it does not tell or has none."""

    async def list_sandboxes(self, pod_uid: str = "") -> list[SandboxState]: ...
    async def list_containers(self, pod_uid: str = "") -> list[ContainerState]: ...
    async def sandbox_status(self, sandbox_id: str) -> SandboxState: ...
    async def container_status(self, container_id: str) -> ContainerState: ...
    def events(self) -> AsyncIterator[tuple[str, str]]:
        """(container or sandbox id, "started" | "exited" | "") for each change; RuntimeFailure Unimplemented if deaf."""

    async def run_sandbox(self, config: Any, handler: str = "") -> str: ...
    async def stop_sandbox(self, sandbox_id: str) -> None: ...
    async def remove_sandbox(self, sandbox_id: str) -> None: ...
    async def create_container(self, sandbox_id: str, config: Any, sandbox_config: Any) -> str: ...
    async def start_container(self, container_id: str) -> None: ...
    async def stop_container(self, container_id: str, timeout: float) -> None: ...
    async def remove_container(self, container_id: str) -> None: ...
    async def update_resources(self, container_id: str, resources: Any) -> None: ...
    async def reopen_log(self, container_id: str) -> None: ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult: ...
    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str: ...
    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str: ...
    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def list_images(self) -> list[ImageInfo]: ...
    async def image_status(self, image: str) -> ImageInfo | None: ...
    async def pull_image(self, image: str, auth: Mapping[str, str] | None, sandbox_config: Any) -> str: ...
    async def remove_image(self, image: str) -> None: ...
    async def image_filesystems(self) -> list[tuple[str, int, int]]:
        """(mount point, used bytes, used inodes) of the file systems that hold images."""

    async def usage(self) -> list[Usage]: ...
    async def close(self) -> None: ...

    def canned_log(self, container_id: str) -> bytes | None:
        """The log of a container that has no process; None where containers are real."""

    def canned_probe(self, pod: Mapping[str, Any], container_id: str, kind: str) -> bool | None:
        """What a probe of a container without a process finds; None where containers are real."""
