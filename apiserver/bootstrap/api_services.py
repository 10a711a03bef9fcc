"""An APIService for every group version that this server answers itself, as the original's aggregator registers them."""

from __future__ import annotations

from apimachinery import times
from apiserver.aggregation import priorities
from apiserver.bootstrap.ensure import Access, ensure
from apiserver.discovery import Discovery
from apiserver.registry.kind import Obj

GROUP = "apiregistration.k8s.io"
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"


def local(group: str, version: str, priority: int, version_priority: int, how: str) -> Obj:
    """An APIService without a service. how: the value of its automanaged label ("onstart", or "true" for custom groups)."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {AUTOMANAGED: how}},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": priority,
            "versionPriority": version_priority,
        },
    }


def available(now: str) -> Obj:
    """The condition that local ones have."""
    return {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


async def reconcile(access: Access, discovery: Discovery) -> None:
    for group, (priority, versions) in priorities.GROUPS.items():
        if group == GROUP:
            continue  # what registers the others needs no registration
        served = discovery.groups.get(group)
        for version, version_priority in versions.items():
            if served is not None and version in served.versions:
                await register(access, local(group, version, priority, version_priority, "onstart"))


async def register(access: Access, wanted: Obj) -> None:
    """Make sure of a local APIService and of its condition: nothing has to be probed."""

    def change(existing: Obj) -> bool:
        if existing.get("spec") == wanted["spec"]:
            return False
        existing["spec"] = wanted["spec"]
        return True

    await ensure(access, GROUP, "apiservices", wanted, change)
    name = wanted["metadata"]["name"]
    existing = await access.reader.get(GROUP, "apiservices", None, name)
    if existing is not None and not (existing.get("status") or {}).get("conditions"):
        existing["status"] = {"conditions": [available(times.now(access.clock))]}
        await access.writer.update(GROUP, "apiservices", existing, subresource="status", manager="")
