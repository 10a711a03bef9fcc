"""TaintNodesByCondition: a new node starts not ready, so that nothing lands on it before its conditions are known."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation

TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and not group and plural == "nodes" and not subresource

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        spec = a.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any((t.get("key"), t.get("effect")) == (TAINT["key"], TAINT["effect"]) for t in taints):
            spec["taints"] = [*taints, dict(TAINT)]
