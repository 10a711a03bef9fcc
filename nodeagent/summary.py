"""What pods and node use: /stats/summary, /metrics/resource (what metrics-server reads) and the agent's own metrics."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from apimachinery import times
from nodeagent import machine
from nodeagent.context import NodeContext
from nodeagent.runtime import Usage

Obj = dict[str, Any]


_ERROR_HELP = "1 if there was an error while getting container metrics, 0 otherwise"
_PODS_HELP = "Number of pods that have a running pod sandbox"


def _node_cpu() -> float:
    """Seconds of processor time that the machine has spent working."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    busy = sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7) if i < len(fields))
    return busy / os.sysconf("SC_CLK_TCK")


def _memory(usage: Usage, stamp: str) -> Obj:
    values = {
        "time": stamp,
        "usageBytes": usage.memory_usage,
        "workingSetBytes": usage.memory_working_set,
        "rssBytes": usage.memory_rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    }
    return {key: value for key, value in values.items() if value is not None}


def _container(usage: Usage, started: str) -> Obj:
    stamp = times.format_time(usage.timestamp / 1e9)
    result: Obj = {"name": usage.name, "startTime": started}
    if usage.cpu_nanoseconds is not None:
        result["cpu"] = {"time": stamp, "usageCoreNanoSeconds": usage.cpu_nanoseconds}
    result["memory"] = _memory(usage, stamp)
    if usage.disk_bytes is not None:
        result["rootfs"] = {"time": stamp, "usedBytes": usage.disk_bytes, "inodesUsed": usage.disk_inodes or 0}
    return result


async def collect(node: NodeContext) -> Obj:
    """The Summary document. RuntimeFailure."""
    by_pod: dict[str, list[Usage]] = {}
    for usage in await node.runtime.usage():
        by_pod.setdefault(usage.pod_uid, []).append(usage)
    pods = []
    for uid, usages in by_pod.items():
        state = node.observer.state(uid)
        if not state.running:
            continue
        starts = {c.id: times.format_time(c.started_at) for c in state.containers}
        ours = [u for u in usages if u.container_id in {c.id for c in state.running}]
        sandbox = state.sandbox
        pods.append(
            {
                "podRef": {"name": state.name, "namespace": state.namespace, "uid": uid},
                "startTime": times.format_time(sandbox.created_at if sandbox else 0),
                "containers": [_container(u, starts.get(u.container_id, "")) for u in ours],
                "cpu": {"usageCoreNanoSeconds": sum(u.cpu_nanoseconds or 0 for u in ours)},
                "memory": {"workingSetBytes": sum(u.memory_working_set or 0 for u in ours)},
            }
        )
    return {"node": _node(node), "pods": pods}


def _node(node: NodeContext) -> Obj:
    stamp = times.now(node.clock)
    used = machine.usage(node.config.root_dir)
    disk = {
        "time": stamp,
        "availableBytes": used.disk_available,
        "capacityBytes": used.disk_total,
        "usedBytes": used.disk_total - used.disk_available,
        "inodesFree": used.inodes_free,
        "inodes": used.inodes_total,
    }
    working = node.facts.memory_capacity - used.memory_available
    return {
        "nodeName": node.facts.name,
        "cpu": {"time": stamp, "usageCoreNanoSeconds": int(_node_cpu() * 1e9)},
        "memory": {"time": stamp, "availableBytes": used.memory_available, "workingSetBytes": working},
        "fs": disk,
        "runtime": {"imageFs": disk},
    }


def _family(name: str, kind: str, text: str, samples: Iterable[str]) -> list[str]:
    return [f"# HELP {name} [STABLE] {text}", f"# TYPE {name} {kind}", *samples]


async def resource_metrics(node: NodeContext) -> str:
    """/metrics/resource, under the original's names. RuntimeFailure."""
    usages = [u for u in await node.runtime.usage() if node.observer.state(u.pod_uid).running]
    cpu, memory = [], []
    for usage in usages:
        state = node.observer.state(usage.pod_uid)
        labels = f'{{container="{usage.name}",namespace="{state.namespace}",pod="{state.name}"}}'
        when = usage.timestamp // 1_000_000
        if usage.cpu_nanoseconds is not None:
            cpu.append(f"container_cpu_usage_seconds_total{labels} {usage.cpu_nanoseconds / 1e9} {when}")
        if usage.memory_working_set is not None:
            memory.append(f"container_memory_working_set_bytes{labels} {usage.memory_working_set} {when}")
    used = machine.usage(node.config.root_dir)
    working = node.facts.memory_capacity - used.memory_available
    lines = _family(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
        cpu,
    )
    lines += _family(
        "container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", memory
    )
    lines += _family(
        "node_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the node in core-seconds",
        [f"node_cpu_usage_seconds_total {_node_cpu()}"],
    )
    lines += _family(
        "node_memory_working_set_bytes",
        "gauge",
        "Current working set of the node in bytes",
        [f"node_memory_working_set_bytes {working}"],
    )
    lines += _family(
        "resource_scrape_error",
        "gauge",
        _ERROR_HELP,
        ["resource_scrape_error 0"],
    )
    return "\n".join(lines) + "\n"


def own_metrics(node: NodeContext) -> str:
    """/metrics: what the agent does."""
    states: dict[str, int] = {}
    running_pods = 0
    for uid in node.observer.known():
        state = node.observer.state(uid)
        running_pods += bool(state.running)
        for container in state.containers:
            states[container.state] = states.get(container.state, 0) + 1
    lines = _family(
        "kubelet_running_pods",
        "gauge",
        _PODS_HELP,
        [f"kubelet_running_pods {running_pods}"],
    )
    lines += _family(
        "kubelet_running_containers",
        "gauge",
        "Number of containers currently running",
        [f'kubelet_running_containers{{container_state="{name}"}} {count}' for name, count in sorted(states.items())],
    )
    lines += _family(
        "kubelet_node_name",
        "gauge",
        "The node's name. The count is always 1.",
        [f'kubelet_node_name{{node="{node.facts.name}"}} 1'],
    )
    return "\n".join(lines) + "\n"
