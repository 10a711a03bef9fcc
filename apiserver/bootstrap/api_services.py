"""An APIService for every group version that this server answers itself, as the original's aggregator registers them."""

from __future__ import annotations

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
            **({"group": group} if group else {}),
            "version": version,
            "groupPriorityMinimum": priority,
            "versionPriority": version_priority,
        },
    }


async def reconcile(access: Access, discovery: Discovery) -> None:
    wanted: set[str] = set()
    for group, (priority, versions) in priorities.GROUPS.items():
        if group == GROUP:
            continue  # what registers the others needs no registration
        served = discovery.groups.get(group)
        for version, version_priority in versions.items():
            if served is not None and version in served.versions:
                wanted.add(f"{version}.{group}")
                await register(access, local(group, version, priority, version_priority, "onstart"))

    for service in await access.reader.list(GROUP, "apiservices"):
        meta = service["metadata"]
        if (meta.get("labels") or {}).get(AUTOMANAGED) == "onstart" and meta["name"] not in wanted:
            await access.writer.delete(GROUP, "apiservices", None, meta["name"])  # of a version that is served no more


async def register(access: Access, wanted: Obj) -> None:
    """Make sure of a local APIService."""

    def change(existing: Obj) -> bool:
        managed = AUTOMANAGED in (existing["metadata"].get("labels") or {})
        if not managed or existing.get("spec") == wanted["spec"]:
            return False  # one without the label belongs to whoever took it away
        existing["spec"] = wanted["spec"]
        return True

    await ensure(access, GROUP, "apiservices", wanted, change)
