"""ResourceClaimTemplate of resource.k8s.io/v1: the pattern of the claims of pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Kind, Obj


class ResourceClaimTemplate(Kind):
    group = "resource.k8s.io"
    kind = "ResourceClaimTemplate"
    plural = "resourceclaimtemplates"
    returns_deleted = True
    columns = (NAME_COLUMN, AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], cells.age(obj, clock)]
