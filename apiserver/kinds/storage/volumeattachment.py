"""VolumeAttachment of storage.k8s.io/v1: the wish to attach a volume to a node, and how it went."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj


class VolumeAttachment(Kind):
    group = "storage.k8s.io"
    kind = "VolumeAttachment"
    plural = "volumeattachments"
    returns_deleted = True
    namespaced = False
    unconditional_update = False
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("Attacher", format="name", doc="spec.attacher"),
        Column("PV", doc="spec.source.persistentVolumeName"),
        Column("Node", doc="spec.nodeName"),
        Column("Attached", "boolean", doc="status.attached"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        return [
            obj["metadata"]["name"],
            spec.get("attacher", ""),
            (spec.get("source") or {}).get("persistentVolumeName", ""),
            spec.get("nodeName", ""),
            (obj.get("status") or {}).get("attached", False),
            cells.age(obj, clock),
        ]
