"""PodTemplate: a pod template on its own."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import NAME_COLUMN, Column, Kind, Obj


class PodTemplateKind(Kind):
    kind = "PodTemplate"
    plural = "podtemplates"
    returns_deleted = True
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Containers", description="Names of each container in the template."),
        Column("Images", description="Images referenced by each container in the template."),
        Column("Pod Labels", description="The labels for the pod template."),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        template = obj.get("template") or {}
        names, images = cells.containers_and_images((template.get("spec") or {}).get("containers"))
        labels = cells.labels((template.get("metadata") or {}).get("labels"))
        return [obj["metadata"].get("name", ""), names, images, labels]


POD_TEMPLATE = PodTemplateKind()
