"""DefaultStorageClass: a claim that names no class gets the default one."""

from __future__ import annotations

from apimachinery import times
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

ANNOTATION = "storageclass.kubernetes.io/is-default-class"
BETA_ANNOTATION = "storageclass.beta.kubernetes.io/is-default-class"
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._classes = Lookup(env.reader, "storage.k8s.io", "storageclasses")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and not group and plural == "persistentvolumeclaims" and not subresource

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        spec = a.obj.setdefault("spec", {})
        if spec.get("storageClassName") is not None or OLD_CLASS in (a.obj["metadata"].get("annotations") or {}):
            return
        default = newest_default(await self._classes.list(), (ANNOTATION, BETA_ANNOTATION))
        if default is not None:
            spec["storageClassName"] = default["metadata"]["name"]


def newest_default(classes: list[Obj], annotations: tuple[str, ...]) -> Obj | None:
    """The class marked as default; of several the newest, of those of one second the first by name."""
    marked = [
        c for c in classes if any((c["metadata"].get("annotations") or {}).get(name) == "true" for name in annotations)
    ]
    return min(marked, key=lambda c: (-times.parse_time(_created(c)), c["metadata"]["name"]), default=None)


def _created(obj: Obj) -> str:
    return obj["metadata"].get("creationTimestamp") or times.format_time(0)
