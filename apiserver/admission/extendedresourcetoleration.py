"""ExtendedResourceToleration: a pod that asks for an extended resource tolerates the taint of that name."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation
from apiserver.registry.kind import Obj


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and not group and plural == "pods" and not subresource

    async def admit(self, a: Attributes) -> None:
        spec = (a.obj or {}).get("spec") or {}
        names = sorted(
            {name for kind in ("containers", "initContainers") for c in spec.get(kind) or () for name in _of(c)}
        )
        for name in names:
            _tolerate(spec, {"key": name, "operator": "Exists", "effect": "NoSchedule"})


def _tolerate(spec: Obj, wanted: Obj) -> None:
    """Add the toleration, in the place of one that differs in how long it lasts only."""
    before = spec.get("tolerations") or []
    after = [wanted if _shown(toleration) == _shown(wanted) else toleration for toleration in before]
    spec["tolerations"] = after if wanted in after else [*after, wanted]


def _shown(toleration: Obj) -> list[str]:
    return [toleration.get(field) or "" for field in ("key", "effect", "operator", "value")]


def _of(container: Obj) -> list[str]:
    """Extended resources are those of a domain that is not Kubernetes' own."""
    requests = (container.get("resources") or {}).get("requests") or {}
    return [n for n in requests if "/" in n and "kubernetes.io/" not in n and not n.startswith("requests.")]
