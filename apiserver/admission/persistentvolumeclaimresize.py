"""PersistentVolumeClaimResize: a claim grows only if its storage class can expand volumes."""

from __future__ import annotations

from apimachinery import quantity
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.defaultstorageclass import OLD_CLASS
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup


class Plugin:
    def __init__(self, env: Env) -> None:
        self._classes = Lookup(env.reader, "storage.k8s.io", "storageclasses")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "UPDATE" and not group and plural == "persistentvolumeclaims" and not subresource

    async def validate(self, a: Attributes) -> None:
        new, old = a.obj or {}, a.old or {}
        before, after = _size(old), _size(new)
        if before is None or after is None or not before < after:
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden(a, "Only bound persistent volume claims can be expanded")
        spec, annotations = new.get("spec") or {}, new["metadata"].get("annotations") or {}
        name = annotations.get(OLD_CLASS) or spec.get("storageClassName") or ""
        found = await self._classes.get(None, name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise forbidden(
                a,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize",
            )


def _size(claim: Obj) -> quantity.Quantity | None:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return quantity.parse(requests["storage"]) if "storage" in requests else None
