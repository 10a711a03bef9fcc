"""The CRI's configuration of one container. Pure: what it needs from elsewhere is handed in as Inputs.

Called by the worker right before a container is made. Labels and annotations are those by which the original (and a
restarted node agent) recognises its containers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from nodeagent import expansion, podspec, resources, runtime, security
from nodeagent.cri import runtime_pb2 as pb
from nodeagent.runtime import ImageInfo

Obj = dict[str, Any]

_PROPAGATION = {
    "HostToContainer": pb.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.PROPAGATION_BIDIRECTIONAL,
}


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A path of the host that appears in the container. recursive: read-only with all that is mounted below."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = ""
    recursive: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """image: what the runtime knows of the image; image_id: how to ask for it. devices: (host, container) paths.

    target: id of the container whose processes an ephemeral container sees. memory_capacity: bytes of the node.
    """

    attempt: int
    image: ImageInfo
    image_name: str
    environment: Mapping[str, str]
    mounts: Sequence[MountPoint]
    labels: Mapping[str, str]
    seccomp_dir: Path
    memory_capacity: int
    kind: str = podspec.REGULAR
    cfs_quota: bool = True
    cpu_period: int = 100_000
    target: str = ""
    devices: Sequence[tuple[str, str]] = field(default_factory=tuple)


def log_path(name: str, attempt: int) -> str:
    """Path of the container's log within the pod's log directory."""
    return f"{name}/{attempt}.log"


def build(pod: Obj, container: Obj, inputs: Inputs) -> Any:
    """The ContainerConfig. security.Refused when the security context cannot be honoured."""
    name = container["name"]
    linux = pb.LinuxContainerConfig(
        resources=pb.LinuxContainerResources(
            **resources.container_values(
                pod,
                container,
                memory_capacity=inputs.memory_capacity,
                cfs_quota=inputs.cfs_quota,
                period=inputs.cpu_period,
            )
        ),
        security_context=security.container_context(
            pod,
            container,
            image_uid=inputs.image.uid,
            image_user=inputs.image.username,
            target=inputs.target,
            seccomp_dir=inputs.seccomp_dir,
        ),
    )
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=name, attempt=inputs.attempt),
        image=pb.ImageSpec(image=inputs.image.id, user_specified_image=container.get("image", "")),
        command=[expansion.expand(word, inputs.environment) for word in container.get("command") or ()],
        args=[expansion.expand(word, inputs.environment) for word in container.get("args") or ()],
        working_dir=container.get("workingDir") or "",
        envs=[pb.KeyValue(key=key, value=_utf8(value)) for key, value in inputs.environment.items()],
        mounts=[_mount(mount) for mount in inputs.mounts],
        labels=_labels(pod, container, inputs.labels),
        annotations=_annotations(pod, container, inputs),
        log_path=log_path(name, inputs.attempt),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=linux,
        devices=[pb.Device(host_path=h, container_path=c, permissions="rwm") for h, c in inputs.devices],
        stop_signal=_stop_signal(container),
    )


def _utf8(value: str) -> str:
    """The message holds UTF-8 only; bytes of a Secret that are none are replaced."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _stop_signal(container: Obj) -> int:
    name = (container.get("lifecycle") or {}).get("stopSignal")
    return int(pb.Signal.Value(name)) if name in pb.Signal.keys() else 0  # noqa: SIM118 (an enum wrapper, no mapping)


def _mount(mount: MountPoint) -> Any:
    return pb.Mount(
        container_path=mount.container_path,
        host_path=mount.host_path,
        readonly=mount.read_only,
        propagation=_PROPAGATION.get(mount.propagation, pb.PROPAGATION_PRIVATE),
        recursive_read_only=mount.recursive,
    )


def _labels(pod: Obj, container: Obj, own: Mapping[str, str]) -> dict[str, str]:
    metadata = pod["metadata"]
    return {
        **own,
        runtime.POD_NAME: metadata["name"],
        runtime.POD_NAMESPACE: metadata["namespace"],
        runtime.POD_UID: metadata["uid"],
        runtime.CONTAINER_NAME: container["name"],
    }


def _annotations(pod: Obj, container: Obj, inputs: Inputs) -> dict[str, str]:
    result = {
        runtime.KIND: inputs.kind,
        runtime.RESOURCES: orjson.dumps(container.get("resources") or {}).decode(),
        runtime.SIDECAR: "true" if inputs.kind == podspec.INIT and podspec.is_sidecar(container) else "false",
        runtime.RESTART_POLICY: container.get("restartPolicy") or podspec.restart_policy(pod),
        runtime.HASH: podspec.container_hash(container),
        runtime.RESTART_COUNT: str(inputs.attempt),
        runtime.TERMINATION_PATH: container.get("terminationMessagePath") or "",
        runtime.TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
        runtime.GRACE_PERIOD: str(podspec.grace_period(pod)),
    }
    hook = (container.get("lifecycle") or {}).get("preStop")
    if hook:
        result[runtime.PRE_STOP] = orjson.dumps(hook).decode()
    if container.get("ports"):
        result[runtime.PORTS] = orjson.dumps(container["ports"]).decode()
    return result
