"""The CRI (runtime.v1) over gRPC: what kubelet's remote runtime and image services are.

Called by the agent and its workers through nodeagent.runtime.Runtime. Calls are made by name, with the messages of
runtime_pb2; whatever comes back is turned into the plain values of nodeagent.runtime. Nothing here decides anything.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from nodeagent import runtime
from nodeagent.cri import runtime_pb2 as pb
from nodeagent.runtime import ContainerState, ExecResult, ImageInfo, RuntimeFailure, RuntimeInfo, SandboxState, Usage

_CODES = {
    "CANCELLED": "Canceled",
    "UNKNOWN": "Unknown",
    "INVALID_ARGUMENT": "InvalidArgument",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "PERMISSION_DENIED": "PermissionDenied",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "ABORTED": "Aborted",
    "OUT_OF_RANGE": "OutOfRange",
    "UNIMPLEMENTED": "Unimplemented",
    "INTERNAL": "Internal",
    "UNAVAILABLE": "Unavailable",
    "DATA_LOSS": "DataLoss",
    "UNAUTHENTICATED": "Unauthenticated",
}
_STATES = {0: runtime.CREATED, 1: runtime.RUNNING, 2: runtime.EXITED, 3: runtime.UNKNOWN}
_EVENTS = {0: "", 1: "started", 2: "exited", 3: ""}
_NANO = 1e9
# Seconds. The original's runtime-request-timeout, for calls that do not wait for a container or a registry.
_DEADLINE = 120.0
_OPTIONS = [
    ("grpc.default_authority", "localhost"),  # Go's HTTP/2 refuses a socket path as an authority
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.enable_http_proxy", 0),
]


def failure(error: grpc.aio.AioRpcError) -> RuntimeFailure:
    """The error of a call, in our type."""
    return RuntimeFailure(_CODES.get(error.code().name, "Unknown"), error.details() or "")


def open_channel(socket: str) -> grpc.aio.Channel:
    """A channel to a unix socket; socket: a path, with or without unix://."""
    return grpc.aio.insecure_channel("unix:" + socket.removeprefix("unix://"), options=_OPTIONS)


class CriClient:
    """One runtime behind one socket. labels: what sandboxes and containers must carry to be listed here."""

    def __init__(self, socket: str, labels: Mapping[str, str], *, scheme: str = "containerd") -> None:
        self.socket = socket.removeprefix("unix://")
        self.scheme = scheme
        self._labels = dict(labels)
        self._channel = open_channel(socket)
        self._calls: dict[str, Any] = {}

    async def close(self) -> None:
        await self._channel.close()

    def _method(self, service: str, name: str, request: Any, response: Any, *, stream: bool = False) -> Any:
        call = self._calls.get(name)
        if call is None:
            make = self._channel.unary_stream if stream else self._channel.unary_unary
            call = self._calls[name] = make(
                f"/runtime.v1.{service}/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
        return call

    async def _call(self, name: str, request: Any, *, deadline: float | None = _DEADLINE, image: bool = False) -> Any:
        response = getattr(pb, f"{name}Response")
        method = self._method("ImageService" if image else "RuntimeService", name, type(request), response)
        try:
            return await method(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            raise failure(error) from None

    # ---- the runtime as a whole

    async def info(self) -> RuntimeInfo:
        version = await self._call("Version", pb.VersionRequest(version="v1"), deadline=5)
        status = await self._call("Status", pb.StatusRequest(verbose=True), deadline=10)
        self.scheme = version.runtime_name or self.scheme
        return RuntimeInfo(
            name=version.runtime_name,
            version=version.runtime_version,
            conditions={c.type: (c.status, c.reason, c.message) for c in status.status.conditions},
            systemd_cgroups=await self._systemd_cgroups(status.info),
            handlers={
                h.name: (h.features.recursive_read_only_mounts, h.features.user_namespaces)
                for h in status.runtime_handlers
            },
            supplemental_groups_policy=status.features.supplemental_groups_policy,
        )

    async def _systemd_cgroups(self, info: Mapping[str, str]) -> bool | None:
        try:
            answer = await self._call("RuntimeConfig", pb.RuntimeConfigRequest(), deadline=5)
            return bool(answer.linux.cgroup_driver == pb.SYSTEMD) if answer.HasField("linux") else None
        except RuntimeFailure as error:
            if error.code != "Unimplemented":
                raise
        # Before containerd 2.0 the driver shows only in the configuration that a verbose status holds.
        config = json.loads(info.get("config") or "{}")
        containerd = config.get("containerd") or {}
        handler = (containerd.get("runtimes") or {}).get(containerd.get("defaultRuntimeName") or "runc") or {}
        options = handler.get("options") or {}
        return bool(options.get("SystemdCgroup")) if handler else None

    async def _config(self) -> dict[str, Any]:
        """The runtime's own configuration, as a verbose status shows it; empty when it does not."""
        status = await self._call("Status", pb.StatusRequest(verbose=True), deadline=10)
        return dict(json.loads(status.info.get("config") or "{}"))

    async def sandbox_image(self) -> str:
        """The image that the runtime makes sandboxes of; "" when it does not tell."""
        config = await self._config()
        pinned = (config.get("pinnedImages") or {}).get("sandbox")
        return str(config.get("sandboxImage") or pinned or "")

    async def cni_conf_dir(self) -> str:
        return str(((await self._config()).get("cni") or {}).get("confDir") or "")

    async def update_pod_cidr(self, pod_cidr: str) -> None:
        config = pb.RuntimeConfig(network_config=pb.NetworkConfig(pod_cidr=pod_cidr))
        await self._call("UpdateRuntimeConfig", pb.UpdateRuntimeConfigRequest(runtime_config=config))

    # ---- observing

    def _selector(self, pod_uid: str) -> dict[str, str]:
        return {**self._labels, runtime.POD_UID: pod_uid} if pod_uid else self._labels

    async def list_sandboxes(self, pod_uid: str = "") -> list[SandboxState]:
        wanted = pb.PodSandboxFilter(label_selector=self._selector(pod_uid))
        answer = await self._call("ListPodSandbox", pb.ListPodSandboxRequest(filter=wanted))
        return [_sandbox(item) for item in answer.items]

    async def list_containers(self, pod_uid: str = "") -> list[ContainerState]:
        wanted = pb.ContainerFilter(label_selector=self._selector(pod_uid))
        answer = await self._call("ListContainers", pb.ListContainersRequest(filter=wanted))
        return [_listed(item) for item in answer.containers]

    async def sandbox_status(self, sandbox_id: str) -> SandboxState:
        answer = await self._call("PodSandboxStatus", pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))
        status = answer.status
        first = [status.network.ip] if status.network.ip else []
        ips = (*first, *(extra.ip for extra in status.network.additional_ips))
        host = status.linux.namespaces.options.network == pb.NODE
        return _sandbox(status, ips=ips, host_network=host)

    async def container_status(self, container_id: str) -> ContainerState:
        answer = await self._call("ContainerStatus", pb.ContainerStatusRequest(container_id=container_id))
        return _container(answer.status)

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        method = self._method(
            "RuntimeService", "GetContainerEvents", pb.GetEventsRequest, pb.ContainerEventResponse, stream=True
        )
        try:
            async for event in method(pb.GetEventsRequest()):
                yield event.container_id, _EVENTS.get(event.container_event_type, "")
        except grpc.aio.AioRpcError as error:
            raise failure(error) from None

    # ---- acting

    async def run_sandbox(self, config: Any, handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=handler)
        # Twice the usual deadline, as the original: network set-up may wait for a plugin.
        return str((await self._call("RunPodSandbox", request, deadline=2 * _DEADLINE)).pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._call("StopPodSandbox", pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._call("RemovePodSandbox", pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def create_container(self, sandbox_id: str, config: Any, sandbox_config: Any) -> str:
        request = pb.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        return str((await self._call("CreateContainer", request)).container_id)

    async def start_container(self, container_id: str) -> None:
        await self._call("StartContainer", pb.StartContainerRequest(container_id=container_id))

    async def stop_container(self, container_id: str, timeout: float) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=max(0, int(timeout)))
        await self._call("StopContainer", request, deadline=_DEADLINE + timeout)

    async def remove_container(self, container_id: str) -> None:
        await self._call("RemoveContainer", pb.RemoveContainerRequest(container_id=container_id))

    async def update_resources(self, container_id: str, resources: Any) -> None:
        request = pb.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await self._call("UpdateContainerResources", request)

    async def reopen_log(self, container_id: str) -> None:
        await self._call("ReopenContainerLog", pb.ReopenContainerLogRequest(container_id=container_id))

    # ---- streams

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=int(timeout))
        # A second past its own timeout, so that the runtime's answer wins over ours.
        answer = await self._call("ExecSync", request, deadline=timeout + 5 if timeout else None)
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        request = pb.ExecRequest(
            container_id=container_id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        return str((await self._call("Exec", request)).url)

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        request = pb.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return str((await self._call("Attach", request)).url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        return str((await self._call("PortForward", pb.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports))).url)

    # ---- images

    async def list_images(self) -> list[ImageInfo]:
        return [_image(item) for item in (await self._call("ListImages", pb.ListImagesRequest(), image=True)).images]

    async def image_status(self, image: str) -> ImageInfo | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=image))
        answer = await self._call("ImageStatus", request, image=True)
        return _image(answer.image) if answer.HasField("image") and answer.image.id else None

    async def pull_image(self, image: str, auth: Mapping[str, str] | None, sandbox_config: Any) -> str:
        request = pb.PullImageRequest(image=pb.ImageSpec(image=image), sandbox_config=sandbox_config)
        if auth:
            request.auth.CopyFrom(pb.AuthConfig(**auth))
        # No deadline: how long a pull takes is the registry's affair, and the runtime gives up when nothing moves.
        return str((await self._call("PullImage", request, deadline=None, image=True)).image_ref)

    async def remove_image(self, image: str) -> None:
        await self._call("RemoveImage", pb.RemoveImageRequest(image=pb.ImageSpec(image=image)), image=True)

    async def image_filesystems(self) -> list[tuple[str, int, int]]:
        answer = await self._call("ImageFsInfo", pb.ImageFsInfoRequest(), image=True)
        return [(fs.fs_id.mountpoint, fs.used_bytes.value, fs.inodes_used.value) for fs in answer.image_filesystems]

    async def usage(self) -> list[Usage]:
        wanted = pb.ContainerStatsFilter(label_selector=self._labels)
        answer = await self._call("ListContainerStats", pb.ListContainerStatsRequest(filter=wanted))
        return [_usage(item) for item in answer.stats]

    def canned_log(self, container_id: str) -> bytes | None:
        return None

    def canned_probe(self, pod: Mapping[str, Any], container_id: str, kind: str) -> bool | None:
        return None


def _sandbox(item: Any, *, ips: Sequence[str] = (), host_network: bool = False) -> SandboxState:
    return SandboxState(
        id=item.id,
        pod_uid=item.labels.get(runtime.POD_UID, item.metadata.uid),
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        attempt=item.metadata.attempt,
        ready=item.state == pb.SANDBOX_READY,
        created_at=item.created_at / _NANO,
        ips=tuple(ips),
        host_network=host_network,
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def _listed(item: Any) -> ContainerState:
    return ContainerState(
        id=item.id,
        pod_uid=item.labels.get(runtime.POD_UID, ""),
        sandbox_id=item.pod_sandbox_id,
        name=item.metadata.name,
        attempt=item.metadata.attempt,
        state=_STATES[item.state],
        created_at=item.created_at / _NANO,
        image=item.image.image,
        image_ref=item.image_ref,
        image_id=item.image_id,
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def _container(status: Any) -> ContainerState:
    user = status.user.linux if status.HasField("user") and status.user.HasField("linux") else None
    return ContainerState(
        id=status.id,
        pod_uid=status.labels.get(runtime.POD_UID, ""),
        sandbox_id="",
        name=status.metadata.name,
        attempt=status.metadata.attempt,
        state=_STATES[status.state],
        created_at=status.created_at / _NANO,
        started_at=status.started_at / _NANO,
        finished_at=status.finished_at / _NANO,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image,
        image_ref=status.image_ref,
        image_id=status.image_id,
        log_path=status.log_path,
        labels=dict(status.labels),
        annotations=dict(status.annotations),
        mounts=tuple((mount.container_path, mount.host_path) for mount in status.mounts),
        resources=_resources(status),
        user=(user.uid, user.gid, tuple(user.supplemental_groups)) if user else None,
    )


def _resources(status: Any) -> dict[str, int] | None:
    if not status.HasField("resources") or not status.resources.HasField("linux"):
        return None
    linux = status.resources.linux
    return {
        "cpu_period": linux.cpu_period,
        "cpu_quota": linux.cpu_quota,
        "cpu_shares": linux.cpu_shares,
        "memory": linux.memory_limit_in_bytes,
    }


def _image(item: Any) -> ImageInfo:
    return ImageInfo(
        id=item.id,
        tags=tuple(item.repo_tags),
        digests=tuple(item.repo_digests),
        size=item.size,
        uid=item.uid.value if item.HasField("uid") else None,
        username=item.username,
        pinned=item.pinned,
    )


def _value(message: Any, name: str) -> int | None:
    return int(getattr(message, name).value) if message.HasField(name) else None


def _usage(item: Any) -> Usage:
    return Usage(
        container_id=item.attributes.id,
        pod_uid=item.attributes.labels.get(runtime.POD_UID, ""),
        name=item.attributes.metadata.name,
        timestamp=item.cpu.timestamp or item.memory.timestamp,
        cpu_nanoseconds=_value(item.cpu, "usage_core_nano_seconds"),
        memory_working_set=_value(item.memory, "working_set_bytes"),
        memory_usage=_value(item.memory, "usage_bytes"),
        memory_rss=_value(item.memory, "rss_bytes"),
        page_faults=_value(item.memory, "page_faults"),
        major_page_faults=_value(item.memory, "major_page_faults"),
        disk_bytes=_value(item.writable_layer, "used_bytes"),
        disk_inodes=_value(item.writable_layer, "inodes_used"),
    )
