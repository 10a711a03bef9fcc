"""PodTopologyLabels: a pod that is bound to a node takes over the labels of the node's zone and region."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation
from apiserver.registry.lookup import Lookup

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class Plugin:
    def __init__(self, env: Env) -> None:
        self._nodes = Lookup(env.reader, "", "nodes")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and (group, plural) == ("", "pods") and subresource in ("", "binding")

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        if not a.subresource:
            node = (a.obj.get("spec") or {}).get("nodeName")
        else:
            target = a.obj.get("target") or {}
            node = target.get("name") if target.get("kind") == "Node" else None
        found = await self._nodes.get(None, node) if node else None
        if found is None:
            return
        labels = found["metadata"].get("labels") or {}
        taken = {label: labels[label] for label in LABELS if label in labels}
        if taken:
            meta = a.obj.setdefault("metadata", {})
            meta["labels"] = {**(meta.get("labels") or {}), **taken}
