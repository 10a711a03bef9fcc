"""PersistentVolume: storage that outlives pods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.core import podtemplate_defaults as defaults
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import persistent_volumes
from apiserver.validation.persistent_volumes import CLASS_ANNOTATION

UNSET = "<unset>"
_MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)


class PersistentVolumeKind(Kind):
    kind = "PersistentVolume"
    plural = "persistentvolumes"
    returns_deleted = True
    namespaced = False
    revalidates_metadata = 2
    checks_metadata_change = False
    short_names = ("pv",)
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("Capacity", doc="spec.capacity"),
        Column("Access Modes", doc="spec.accessModes"),
        Column("Reclaim Policy", doc="spec.persistentVolumeReclaimPolicy"),
        Column("Status", doc="status.phase"),
        Column("Claim", doc="spec.claimRef"),
        Column("StorageClass", description="StorageClass of the pv"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pv"),
        Column("Reason", doc="status.reason"),
        AGE_COLUMN,
        Column("VolumeMode", doc="spec.volumeMode", priority=1),
    )

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        status = obj["status"] = obj.get("status") or {}
        status["phase"] = status.get("phase") or "Pending"
        spec = obj["spec"] = obj.get("spec") or {}
        spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
        if spec.get("volumeMode") is None:
            spec["volumeMode"] = "Filesystem"
        default_volume_source(spec)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": times.now(ctx.clock)}

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        """A change of phase has its time, unless the writer says when it was."""
        if ctx.subresource != "status":
            return
        status, before = obj.get("status") or {}, old.get("status") or {}
        time, was = status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
        if status.get("phase") != before.get("phase"):
            if time in (None, was):
                status["lastPhaseTransitionTime"] = times.now(ctx.clock)
        elif time is None and was is not None:
            status["lastPhaseTransitionTime"] = was

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return persistent_volumes.validate_volume(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return [] if ctx.subresource == "status" else persistent_volumes.validate_update(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        return [] if ctx.subresource == "status" else persistent_volumes.volume_warnings(obj)

    # -- reads

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        claim = spec.get("claimRef")
        return [
            obj["metadata"].get("name", ""),
            (spec.get("capacity") or {}).get("storage", "0"),
            access_modes(spec.get("accessModes")),
            spec.get("persistentVolumeReclaimPolicy", ""),
            "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
            f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
            storage_class(obj),
            spec.get("volumeAttributesClassName", UNSET),
            status.get("reason", ""),
            cells.age(obj, clock),
            spec.get("volumeMode", UNSET),
        ]


_DEFAULTS = (
    ("hostPath", defaults.default_host_path),
    ("iscsi", defaults.default_iscsi),
    ("rbd", defaults.default_rbd),
    ("azureDisk", defaults.default_azure_disk),
    ("scaleIO", defaults.default_scale_io),
)


def default_volume_source(spec: Obj) -> None:
    """What a PersistentVolumeSpec has in common with one that is inline in a VolumeAttachment."""
    defaults.default_resource_list(spec.get("capacity"))
    for name, function in _DEFAULTS:
        if spec.get(name) is not None:
            function(spec[name])


def access_modes(modes: Iterable[str] | None) -> str:
    """Access modes in their short forms, in the original's order."""
    present = set(modes or ())
    return ",".join(short for mode, short in _MODES if mode in present)


def storage_class(obj: Obj) -> str:
    """The class of a volume or claim; the old annotation wins over the field."""
    annotations = obj["metadata"].get("annotations") or {}
    if CLASS_ANNOTATION in annotations:
        return str(annotations[CLASS_ANNOTATION])
    return str((obj.get("spec") or {}).get("storageClassName") or "")


PERSISTENT_VOLUME = PersistentVolumeKind()
