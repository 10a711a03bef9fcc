"""The namespaces that every cluster has."""

from __future__ import annotations

from apiserver.bootstrap.ensure import Access, ensure

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def reconcile(access: Access) -> None:
    for name in SYSTEM_NAMESPACES:
        await ensure(access, "", "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
