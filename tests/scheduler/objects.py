"""Nodes and pods in as few words as tests need."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.framework import Cycle, Framework
from scheduler.nodes import Nodes
from scheduler.plugins import DEFAULT_PROFILE
from scheduler.podinfo import PodInfo

Obj = dict[str, Any]
_uids = itertools.count(1)


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any) -> Obj:
    """more: labels, taints (dicts), unschedulable, images, and further resources by name in `extra`."""
    labels = {"kubernetes.io/hostname": name, **more.get("labels", {})}
    return {
        "metadata": {"name": name, "uid": f"node-{name}", "labels": labels},
        "spec": {"taints": more.get("taints", []), "unschedulable": more.get("unschedulable", False)},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **more.get("extra", {})},
            "images": more.get("images", []),
        },
    }


def pod(
    name: str = "", *, cpu: str = "", memory: str = "", on: str = "", namespace: str = "default", **spec: Any
) -> Obj:
    """spec: further fields of the spec, and `labels`, `priority`, `owner`, `status`, `resources`."""
    number = next(_uids)
    labels = spec.pop("labels", {})
    owner = spec.pop("owner", None)
    status = spec.pop("status", {})
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v} | spec.pop("resources", {})
    metadata: Obj = {"name": name or f"pod-{number}", "namespace": namespace, "uid": f"uid-{number}", "labels": labels}
    if owner:
        metadata["ownerReferences"] = [{**owner, "controller": True}]
    container: Obj = {"name": "c", "image": spec.pop("image", "app:1"), "resources": {"requests": requests}}
    ports = spec.pop("ports", None)
    if ports:
        container["ports"] = ports
    body: Obj = {"containers": [container], "schedulerName": "default-scheduler", **spec}
    if on:
        body["nodeName"] = on
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body, "status": status}


class Listers:
    """Lookups over plain lists."""

    def __init__(self, **kinds: Sequence[Obj]) -> None:
        self._kinds = kinds

    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        return {n["metadata"]["name"]: n["metadata"].get("labels", {}) for n in self._kinds.get("namespaces", ())}

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        for obj in self.list(kind, namespace):
            if obj["metadata"]["name"] == name:
                return obj
        return None

    def list(self, kind: str, namespace: str) -> Sequence[Obj]:
        return [o for o in self._kinds.get(kind, ()) if not namespace or o["metadata"].get("namespace") == namespace]


def columns(nodes: Sequence[Obj], placed: Sequence[Obj] = ()) -> Nodes:
    """The columns with these nodes and pods."""
    table = Nodes(rows=2)
    for obj in nodes:
        table.set_node(obj)
    for obj in placed:
        table.add_pod(PodInfo(obj))
    return table


def framework() -> Framework:
    return Framework([plugin() for plugin in DEFAULT_PROFILE])


def cycle(wanted: Obj, table: Nodes, listers: Listers | None = None) -> Cycle:
    return Cycle(PodInfo(wanted), table, listers or Listers())


def fitting(wanted: Obj, table: Nodes, listers: Listers | None = None) -> set[str]:
    """Names of the nodes that every filter lets through."""
    return {table.names[row] for row in framework().feasible(cycle(wanted, table, listers))}
