"""Evicts pods from nodes with NoExecute taints that they do not tolerate, or not for ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from apimachinery import meta, nodes, pods, times
from client.resources import NODES, PODS
from controllers.base import EVENTS_RULE, Controller, Result, Rule, ignoring_absence
from controllers.nodelifecycle import pod_node

Obj = dict[str, Any]

CONDITION = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}


def no_execute(node: Obj) -> list[Obj]:
    return [taint for taint in nodes.taints(node) if taint["effect"] == "NoExecute"]


def time_left(tolerations: Iterable[Obj], taints: Iterable[Obj]) -> float | None:
    """Seconds that a pod may stay under the taints: 0 if one is not tolerated, None for ever."""
    used: list[Obj] = []
    listed = list(tolerations)
    for taint in taints:
        matching = [toleration for toleration in listed if nodes.tolerates(toleration, taint)]
        if not matching:
            return 0.0
        used += matching[:1]
    limits = [
        max(0, toleration["tolerationSeconds"])
        for toleration in used
        if toleration.get("tolerationSeconds") is not None
    ]
    return float(min(limits)) if limits else None


class TaintEvictionController(Controller):
    name = "taint-eviction-controller"
    aliases = ("taint-eviction",)
    source = "taint-eviction-controller"
    account = "node-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("pods",), ("delete", "get", "list", "watch")),
        Rule(("",), ("pods/status",), ("patch", "update")),
        Rule(("",), ("nodes",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    workers = 8

    def setup(self) -> None:
        self._since: dict[str, tuple[str, float]] = {}  # pod key -> (uid, when its time began)
        self._nodes = self.watch(NODES)
        self._pods = self.watch(PODS, indexers={"node": pod_node})
        self._nodes.add_handler(added=self._node_changed, updated=self._node_updated)
        self._pods.add_handler(
            added=self._pod_changed, updated=self._pod_updated, deleted=lambda pod: self._forget(meta.key(pod))
        )

    def _node_updated(self, old: Obj, new: Obj) -> None:
        if no_execute(old) != no_execute(new):
            self._node_changed(new)

    def _node_changed(self, node: Obj) -> None:
        for pod in self._pods.by_index("node", meta.name(node)):
            self._pod_changed(pod)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        before, after = old["spec"], new["spec"]
        if before.get("nodeName") != after.get("nodeName") or before.get("tolerations") != after.get("tolerations"):
            self._pod_changed(new)

    def _pod_changed(self, pod: Obj) -> None:
        node = self._nodes.get(pod["spec"].get("nodeName") or "")
        if meta.key(pod) in self._since or (node is not None and no_execute(node)):
            self.enqueue_object(pod)

    def _forget(self, key: str) -> None:
        self._since.pop(key, None)

    async def reconcile(self, key: str) -> Result | None:
        pod = self._pods.get(key)
        if pod is None or meta.deleting(pod):
            self._forget(key)
            return None
        node = self._nodes.get(pod["spec"].get("nodeName") or "")
        taints = no_execute(node) if node is not None else []
        left = time_left(pod["spec"].get("tolerations") or (), taints)
        now = self.clock.monotonic()
        begun = self._since.get(key)
        if not taints or left is None:
            if begun is not None:
                self._forget(key)
                self.recorder.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return None
        if begun is None or begun[0] != meta.uid(pod):
            begun = self._since[key] = (meta.uid(pod), now)
        wait = begun[1] + left - now
        if wait > 0:
            return Result(after=wait)
        await self._evict(pod)
        self._forget(key)
        return None

    async def _evict(self, pod: Obj) -> None:
        self.recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {meta.key(pod)}")
        name, namespace = meta.name(pod), meta.namespace(pod)
        if not pods.is_terminal(pod):
            condition = {**CONDITION, "lastTransitionTime": times.now(self.clock)}
            patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
            await ignoring_absence(
                self.client.patch(PODS, name, patch, namespace, content_type="strategic", subresource="status")
            )
        await ignoring_absence(self.client.delete(PODS, name, namespace, uid=meta.uid(pod)))
