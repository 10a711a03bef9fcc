"""PersistentVolumeClaim: a pod's demand for storage."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.core.persistent_volume import UNSET, access_modes, storage_class
from apiserver.kinds.core.podtemplate_defaults import default_claim_spec, default_resource_list
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import claim_updates, claims, persistent_volumes
from apiserver.validation.pod import warnings

_SOURCES = ("dataSource", "dataSourceRef")
_KNOWN_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


class PersistentVolumeClaimKind(Kind):
    kind = "PersistentVolumeClaim"
    plural = "persistentvolumeclaims"
    revalidates_metadata = 1
    returns_deleted = True
    short_names = ("pvc",)
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("Status", doc="status.phase"),
        Column("Volume", doc="spec.volumeName"),
        Column("Capacity", doc="status.capacity"),
        Column("Access Modes", doc="status.accessModes"),
        Column("StorageClass", description="StorageClass of the pvc"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pvc"),
        AGE_COLUMN,
        Column("VolumeMode", doc="spec.volumeMode", priority=1),
    )

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        status = obj["status"] = obj.get("status") or {}
        status["phase"] = status.get("phase") or "Pending"
        for amounts in ("capacity", "allocatedResources"):
            default_resource_list(status.get(amounts))
        obj["spec"] = obj.get("spec") or {}
        default_claim_spec(obj["spec"])

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending"}
        _settle_sources(obj["spec"], {})

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "":
            _settle_sources(obj["spec"], old.get("spec") or {})

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return claims.validate_claim_spec(obj["spec"], "spec")

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return claim_updates.validate_status(obj)
        return claim_updates.validate_update(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        found = persistent_volumes.class_annotation_warnings(obj["metadata"].get("annotations") or {})
        return found + warnings.claim_spec_warnings(obj["spec"], "spec")

    # -- reads

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        volume = spec.get("volumeName", "")
        return [
            obj["metadata"].get("name", ""),
            "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
            volume,
            (status.get("capacity") or {}).get("storage", "0") if volume else "",
            access_modes(status.get("accessModes")) if volume else "",
            storage_class(obj),
            spec.get("volumeAttributesClassName", UNSET),
            cells.age(obj, clock),
            spec.get("volumeMode", UNSET),
        ]


def _settle_sources(spec: Obj, before: Obj) -> None:
    """dataSource and dataSourceRef say the same: either fills in the other. A reference into another namespace is not
    taken up, and dataSource alone ignores what it never knew."""
    source, reference = (spec.get(name) for name in _SOURCES)
    if (reference or {}).get("namespace") and before.get("dataSourceRef") is None:
        reference = None
        del spec["dataSourceRef"]
    known = source is None or (source.get("apiGroup") or "", source.get("kind")) in _KNOWN_SOURCES
    if not known and reference is None and not any(before.get(name) is not None for name in _SOURCES):
        source = None
        del spec["dataSource"]
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


PERSISTENT_VOLUME_CLAIM = PersistentVolumeClaimKind()
