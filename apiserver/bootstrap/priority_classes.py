"""The two PriorityClasses of system pods."""

from __future__ import annotations

from apiserver.bootstrap.ensure import Access, ensure

GROUP = "scheduling.k8s.io"
_CLASSES = (
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)


async def reconcile(access: Access) -> None:
    for name, value, description in _CLASSES:
        wanted = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        }
        await ensure(access, GROUP, "priorityclasses", wanted)
