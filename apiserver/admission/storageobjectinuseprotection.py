"""StorageObjectInUseProtection: volumes and claims get a finalizer, so that they outlive their use."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation

FINALIZERS = {
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and (group, plural) in FINALIZERS and not subresource

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        finalizer = FINALIZERS[a.group, a.plural]
        meta = a.obj["metadata"]
        if finalizer not in (meta.get("finalizers") or ()):
            meta["finalizers"] = [*(meta.get("finalizers") or ()), finalizer]
