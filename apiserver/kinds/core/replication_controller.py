"""ReplicationController: keeps a number of pods running; the ancestor of ReplicaSet."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Kind, Obj, Scale


class ReplicationControllerKind(Kind):
    kind = "ReplicationController"
    plural = "replicationcontrollers"
    short_names = ("rc",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    orphan_by_default = True
    columns = (
        NAME_COLUMN,
        Column("Desired", type="integer", doc="spec.replicas"),
        Column("Current", type="integer", doc="status.replicas"),
        Column("Ready", type="integer", doc="status.readyReplicas"),
        AGE_COLUMN,
        Column("Containers", description="Names of each container in the template.", priority=1),
        Column("Images", description="Images referenced by each container in the template.", priority=1),
        Column("Selector", doc="spec.selector", priority=1),
    )

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        template = (spec.get("template") or {}).get("spec") or {}
        return [
            obj["metadata"].get("name", ""),
            spec.get("replicas", 0),
            status.get("replicas", 0),
            status.get("readyReplicas", 0),
            cells.age(obj, clock),
            *cells.containers_and_images(template.get("containers")),
            cells.labels(spec.get("selector")),
        ]


REPLICATION_CONTROLLER = ReplicationControllerKind()
