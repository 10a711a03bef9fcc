"""A Node's registration and status from what machine and runtime say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import quantity, times
from nodeagent import config as config_module
from nodeagent.config import Config
from nodeagent.machine import Machine, Usage
from nodeagent.runtime import ImageInfo, RuntimeInfo

Obj = dict[str, Any]

VERSION = "v1.36.2"
"""The kubelet version whose behaviour this agent has; clients compare it with the API server's."""

MAX_IMAGES = 50
_NAMES_PER_IMAGE = 5


@dataclass(frozen=True, slots=True)
class Health:
    """ready: None when the node is, else why not. pressure: condition type -> whether it holds."""

    ready: str | None
    pressure: Mapping[str, bool]


def labels(name: str, machine: Machine, extra: Mapping[str, str]) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        **extra,
    }


def new_node(name: str, machine: Machine, config: Config, status: Obj) -> Obj:
    """The Node to create."""
    spec: Obj = {}
    if config.provider_id:
        spec["providerID"] = config.provider_id
    if config.pod_cidr:
        cidrs = [cidr.strip() for cidr in config.pod_cidr.split(",")]
        spec |= {"podCIDR": cidrs[0], "podCIDRs": cidrs}
    if config.register_with_taints:
        spec["taints"] = [config_module.parse_taint(text) for text in config.register_with_taints]
    return {
        "metadata": {
            "name": name,
            "labels": labels(name, machine, config.node_labels),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": status,
    }


def capacity(machine: Machine, used: Usage, config: Config) -> dict[str, str]:
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory // 1024}Ki",
        "ephemeral-storage": f"{used.disk_total // 1024}Ki",
        "pods": str(config.max_pods),
        **{name: quantity.from_bytes(size).__str__() for name, size in machine.huge_pages.items()},
    }


def allocatable(total: Mapping[str, str], machine: Machine, used: Usage, config: Config) -> dict[str, str]:
    """Capacity less what is reserved for the system and kept from pods by eviction."""
    result = dict(total)
    for name in ("cpu", "memory", "ephemeral-storage"):
        left = quantity.parse(total[name])
        for reserved in (config.kube_reserved, config.system_reserved):
            if name in reserved:
                left = left - quantity.parse(reserved[name])
        if name == "memory":
            evicted = threshold(config.eviction_hard.get("memory.available", ""), machine.memory)
            taken = sum(machine.huge_pages.values())
            left = quantity.from_bytes(max(0, left.value() - evicted - taken))
        if name == "ephemeral-storage":
            evicted = threshold(config.eviction_hard.get("nodefs.available", ""), used.disk_total)
            result[name] = str(max(0, left.value() - evicted))
            continue
        result[name] = f"{left.value() // 1024}Ki" if name == "memory" else str(left)
    return result


def threshold(text: str, total: int) -> int:
    """Bytes or counts of an eviction threshold: a quantity, or a share of the total."""
    if not text:
        return 0
    if text.endswith("%"):
        return int(total * float(text[:-1]) / 100)
    return quantity.parse(text).value()


def pressure(machine: Machine, used: Usage, config: Config) -> dict[str, bool]:
    """Which pressure conditions hold, by the hard eviction thresholds."""
    hard = config.eviction_hard

    def under(signal: str, available: int, total: int) -> bool:
        return bool(hard.get(signal)) and available < threshold(hard[signal], total)

    # Images lie on the same file system as everything else of the agent, so both signals look at that one.
    kinds = ("nodefs", "imagefs")
    disk = any(under(f"{kind}.available", used.disk_available, used.disk_total) for kind in kinds)
    counted = used.inodes_total > 0  # some file systems have no fixed number of inodes
    inodes = counted and any(under(f"{kind}.inodesFree", used.inodes_free, used.inodes_total) for kind in kinds)
    return {
        "MemoryPressure": under("memory.available", used.memory_available, machine.memory),
        "DiskPressure": disk or inodes,
        "PIDPressure": under("pid.available", used.pids_free, used.pids_free),
    }


_WORDS = {
    "MemoryPressure": (
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ),
}


def conditions(health: Health, old: Sequence[Obj], now: float) -> list[Obj]:
    """The four conditions of a node, with the time of their last change kept."""
    result = []
    for kind, (bad, good) in _WORDS.items():
        holds = health.pressure.get(kind, False)
        result.append(_condition(kind, holds, *(bad if holds else good), old=old, now=now))
    if health.ready is None:
        result.append(_condition("Ready", True, "KubeletReady", "kubelet is posting ready status", old=old, now=now))
    else:
        result.append(_condition("Ready", False, "KubeletNotReady", health.ready, old=old, now=now))
    return result


def _condition(kind: str, holds: bool, reason: str, message: str, *, old: Sequence[Obj], now: float) -> Obj:
    status = "True" if holds else "False"
    before = next((entry for entry in old if entry.get("type") == kind), None)
    since = before.get("lastTransitionTime") if before and before.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": times.format_time(now),
        "lastTransitionTime": since or times.format_time(now),
        "reason": reason,
        "message": message,
    }


def status(
    name: str,
    machine: Machine,
    used: Usage,
    config: Config,
    *,
    runtime: RuntimeInfo,
    images: Iterable[ImageInfo],
    addresses: Sequence[str],
    port: int,
    health: Health,
    old: Sequence[Obj],
    now: float,
) -> Obj:
    """The whole NodeStatus. old: the conditions before. port: of the HTTPS server."""
    total = capacity(machine, used, config)
    result: Obj = {
        "capacity": total,
        "allocatable": allocatable(total, machine, used, config),
        "conditions": conditions(health, old, now),
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in addresses),
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": f"{runtime.name}://{runtime.version}",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.architecture,
            **({"swap": {"capacity": machine.swap}} if machine.swap else {}),
        },
        "images": list(_images(images)),
    }
    if runtime.handlers:
        result["runtimeHandlers"] = [
            {"name": handler, "features": {"recursiveReadOnlyMounts": recursive, "userNamespaces": users}}
            for handler, (recursive, users) in sorted(runtime.handlers.items())
        ]
    result["features"] = {"supplementalGroupsPolicy": runtime.supplemental_groups_policy}
    return result


def _images(images: Iterable[ImageInfo]) -> Iterable[Obj]:
    largest = sorted(images, key=lambda image: image.size, reverse=True)[:MAX_IMAGES]
    for image in largest:
        names = [*image.digests, *image.tags][:_NAMES_PER_IMAGE]
        yield {"names": names or [image.id], "sizeBytes": image.size}
