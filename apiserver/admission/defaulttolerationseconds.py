"""DefaultTolerationSeconds: pods stay for five minutes on a node that is not ready or unreachable, unless they say else."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation
from apiserver.registry.kind import Obj


class Plugin:
    def __init__(self, env: Env) -> None:
        self._seconds = {
            "node.kubernetes.io/not-ready": env.config.default_not_ready_toleration_seconds,
            "node.kubernetes.io/unreachable": env.config.default_unreachable_toleration_seconds,
        }

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and not group and plural == "pods" and not subresource

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        spec = a.obj.setdefault("spec", {})
        tolerations = list(spec.get("tolerations") or ())
        for key, seconds in self._seconds.items():
            if not any(_tolerates(toleration, key) for toleration in tolerations):
                tolerations.append(
                    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
                )
        spec["tolerations"] = tolerations


def _tolerates(toleration: Obj, key: str) -> bool:
    return toleration.get("key", "") in (key, "") and toleration.get("effect", "") in ("NoExecute", "")
