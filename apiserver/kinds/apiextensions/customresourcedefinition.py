"""CustomResourceDefinition of apiextensions.k8s.io/v1: a kind that users define. What it serves: registry/crd.py."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.registry.kind import NAME_COLUMN, STATUS, Column, Kind, Obj

CREATED_AT = Column("Created At", type="date", doc="metadata.creationTimestamp")


class CustomResourceDefinition(Kind):
    group = "apiextensions.k8s.io"
    kind = "CustomResourceDefinition"
    plural = "customresourcedefinitions"
    short_names = ("crd", "crds")
    categories = ("api-extensions",)
    namespaced = False
    has_generation = True
    unconditional_update = False
    subresources = (STATUS,)
    columns = (NAME_COLUMN, CREATED_AT)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        metadata = obj["metadata"]
        return [metadata.get("name", ""), metadata.get("creationTimestamp")]
