"""Resources as the kernel's cgroups know them: shares, quota, bytes, OOM score. Pure.

The formulas are the original's (cm/helpers_linux.go, qos/policy.go), so that a pod weighs the same on either node agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import pods, quantity
from apimachinery.quantity import Quantity
from nodeagent.cgroups import Limits

Obj = dict[str, Any]

MIN_SHARES, MAX_SHARES, SHARES_PER_CPU = 2, 262144, 1024
MIN_QUOTA = 1000  # microseconds; the kernel refuses less
_GUARANTEED_SCORE, _BEST_EFFORT_SCORE, _CRITICAL_SCORE = -997, 1000, -997
_CRITICAL_PRIORITY = 2_000_000_000


def shares(milli_cpu: int) -> int:
    """cpu.shares of so many thousandths of a CPU."""
    if milli_cpu == 0:
        return MIN_SHARES
    return max(MIN_SHARES, min(MAX_SHARES, milli_cpu * SHARES_PER_CPU // 1000))


def quota(milli_cpu: int, period: int) -> int:
    """Microseconds of CPU in each period; 0 when not limited."""
    return max(MIN_QUOTA, milli_cpu * period // 1000) if milli_cpu else 0


def oom_score(pod: Obj, container: Mapping[str, Any], memory_capacity: int) -> int:
    """oom_score_adj of a container's processes: who asked for less of what they use goes first."""
    if pods.priority(pod) >= _CRITICAL_PRIORITY:
        return _CRITICAL_SCORE
    qos = pods.compute_qos_class(pod)
    if qos == pods.GUARANTEED:
        return _GUARANTEED_SCORE
    if qos == pods.BEST_EFFORT or memory_capacity <= 0:
        return _BEST_EFFORT_SCORE
    request = _get((container.get("resources") or {}).get("requests"), "memory")
    score = 1000 - (1000 * request.value()) // memory_capacity
    if pods.is_sidecar(container):
        ours = [_get((c.get("resources") or {}).get("requests"), "memory").value() for c in pod["spec"]["containers"]]
        score = min(score, 1000 - (1000 * min(ours, default=0)) // memory_capacity)
    if score < 1000 + _GUARANTEED_SCORE:
        return 1000 + _GUARANTEED_SCORE
    return _BEST_EFFORT_SCORE - 1 if score == _BEST_EFFORT_SCORE else score


def _get(resources: Mapping[str, Any] | None, name: str) -> Quantity:
    return quantity.parse((resources or {}).get(name) or "0")


def container_values(
    pod: Obj, container: Mapping[str, Any], *, memory_capacity: int, cfs_quota: bool, period: int
) -> dict[str, int]:
    """Fields of the CRI's LinuxContainerResources. period: microseconds."""
    own = container.get("resources") or {}
    request, limit = _get(own.get("requests"), "cpu"), _get(own.get("limits"), "cpu")
    memory = _get(own.get("limits"), "memory").value()
    wanted = (
        limit if request.is_zero() and not limit.is_zero() and "cpu" not in (own.get("requests") or {}) else request
    )
    values = {"cpu_shares": shares(wanted.milli_value()), "oom_score_adj": oom_score(pod, container, memory_capacity)}
    if memory:
        values["memory_limit_in_bytes"] = memory
    if cfs_quota:
        values["cpu_period"] = period
        values["cpu_quota"] = quota(limit.milli_value(), period)
    return values


def pod_limits(pod: Obj, *, cfs_quota: bool, period: int) -> Limits:
    """Limits of the pod's own cgroup: the sum where every container is limited, else none."""
    requests, limits = pods.requests(pod), pods.limits(pod)
    everyone = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    level = (pod["spec"].get("resources") or {}).get("limits") or {}

    def limited(name: str) -> bool:
        return name in level or all(_get((c.get("resources") or {}).get("limits"), name).sign() > 0 for c in everyone)

    cpu = limits["cpu"].milli_value() if limited("cpu") and "cpu" in limits else 0
    memory = limits["memory"].value() if limited("memory") and "memory" in limits else 0
    asked = requests["cpu"].milli_value() if "cpu" in requests else 0
    return Limits(
        cpu_shares=shares(asked),
        cpu_quota=quota(cpu, period) if cpu and cfs_quota else -1,
        cpu_period=period,
        memory=memory,
    )
