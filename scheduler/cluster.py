"""Keeps the columns and the queue in step with the API: informers' news of pods and nodes, and placements assumed meanwhile.

An assumed pod counts on its node from the decision on; the informer's word that it is bound confirms it, a failed
binding takes it back.
"""

from __future__ import annotations

import logging
from typing import Any

from apimachinery import meta, pods
from client.informer import Informer
from scheduler.nodes import Nodes
from scheduler.podinfo import PodInfo
from scheduler.queue import Queue

log = logging.getLogger(__name__)

Obj = dict[str, Any]


class Cluster:
    """Nodes, pods on them, and pods that wait."""

    def __init__(self, scheduler_name: str, queue: Queue) -> None:
        self.nodes = Nodes()
        self.queue = queue
        self._scheduler_name = scheduler_name
        self._placed: dict[str, PodInfo] = {}  # by uid, as counted in the columns
        self._assumed: set[str] = set()
        self.nominated: dict[str, PodInfo] = {}  # waiting pods that preempted others, with .node set

    def listen(self, pod_informer: Informer, node_informer: Informer) -> None:
        """Hear of pods and nodes."""
        pod_informer.add_handler(added=self._pod_added, updated=self._pod_updated, deleted=self._pod_deleted)
        node_informer.add_handler(added=self._node_added, updated=self._node_updated, deleted=self._node_deleted)

    # -- placements of our own

    def assume(self, pod: PodInfo, node: str) -> PodInfo:
        """Count the pod on that node from now on."""
        placed = PodInfo({**pod.obj, "spec": {**pod.spec, "nodeName": node}})
        self.nodes.add_pod(placed)
        self._placed[pod.uid] = placed
        self._assumed.add(pod.uid)
        self.nominated.pop(pod.uid, None)
        return placed

    def forget(self, pod: PodInfo) -> None:
        """The binding failed: the pod is not there after all."""
        if pod.uid in self._assumed:
            self._assumed.discard(pod.uid)
            placed = self._placed.pop(pod.uid, None)
            if placed is not None:
                self.nodes.remove_pod(placed)
                self.queue.moved("assigned-pod-deleted")

    def nominate(self, pod: PodInfo, node: str) -> None:
        """The pod waits for that node to be cleared; lower pods must leave its room alone. "": no longer."""
        self.nominated.pop(pod.uid, None)
        if node:
            self.nominated[pod.uid] = PodInfo({**pod.obj, "spec": {**pod.spec, "nodeName": node}})

    # -- pods

    def _ours(self, obj: Obj) -> bool:
        spec = obj.get("spec") or {}
        return spec.get("schedulerName", "default-scheduler") == self._scheduler_name and not spec.get(
            "schedulingGates"
        )

    def _pod_added(self, obj: Obj) -> None:
        if pods.is_terminal(obj):
            return
        if (obj.get("spec") or {}).get("nodeName"):
            self._count(PodInfo(obj))
            self.queue.moved("assigned-pod-added")
        elif self._ours(obj) and not meta.deleting(obj):
            pod = PodInfo(obj)
            self.nominate(pod, (obj.get("status") or {}).get("nominatedNodeName") or "")
            self.queue.add(pod)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        uid = meta.uid(new)
        if meta.uid(old) != uid:
            self._pod_deleted(old)
            self._pod_added(new)
            return
        if pods.is_terminal(new):
            self._pod_deleted(new)
            return
        if (new.get("spec") or {}).get("nodeName"):
            self._assigned_updated(new)
            return
        if meta.deleting(new):
            self.queue.remove(uid)
            self.nominated.pop(uid, None)
        elif self._ours(new) and uid not in self._assumed:
            pod = PodInfo(new)
            self.nominate(pod, (new.get("status") or {}).get("nominatedNodeName") or "")
            self.queue.update(pod, changed=_view(old) != _view(new))

    def _assigned_updated(self, obj: Obj) -> None:
        pod = PodInfo(obj)
        before = self._placed.get(pod.uid)
        self._count(pod)
        if before is None or before.node != pod.node:
            self.queue.moved("assigned-pod-added")
            return
        if before.labels != pod.labels:
            self.queue.moved("assigned-pod-labels")
        if any(pod.requests.get(name, 0) < amount for name, amount in before.requests.items()):
            self.queue.moved("assigned-pod-shrunk")

    def _count(self, pod: PodInfo) -> None:
        """The API says where the pod is; that replaces whatever was assumed."""
        before = self._placed.pop(pod.uid, None)
        if before is not None:
            self.nodes.remove_pod(before)
        self._assumed.discard(pod.uid)
        self.queue.remove(pod.uid)
        self.nominated.pop(pod.uid, None)
        self.nodes.add_pod(pod)
        self._placed[pod.uid] = pod

    def _pod_deleted(self, obj: Obj) -> None:
        uid = meta.uid(obj)
        self.queue.remove(uid)
        self.nominated.pop(uid, None)
        self._assumed.discard(uid)
        placed = self._placed.pop(uid, None)
        if placed is not None:
            self.nodes.remove_pod(placed)
            self.queue.moved("assigned-pod-deleted")

    # -- nodes

    def _node_added(self, node: Obj) -> None:
        self.nodes.set_node(node)
        self.queue.moved("node-added")

    def _node_updated(self, old: Obj, new: Obj) -> None:
        self.nodes.set_node(new)
        before, after = old.get("spec") or {}, new.get("spec") or {}
        if (old.get("status") or {}).get("allocatable") != (new.get("status") or {}).get("allocatable"):
            self.queue.moved("node-allocatable")
        if meta.labels(old) != meta.labels(new):
            self.queue.moved("node-labels")
        if before.get("taints") != after.get("taints") or before.get("unschedulable") != after.get("unschedulable"):
            self.queue.moved("node-taints")

    def _node_deleted(self, node: Obj) -> None:
        self.nodes.remove_node(meta.name(node))
        self.queue.moved("node-deleted")


def _view(obj: Obj) -> tuple[object, ...]:
    """What of a waiting pod may make it schedulable when it changes."""
    return (obj.get("spec"), obj["metadata"].get("labels"))
