"""RuntimeClass of node.k8s.io/v1: a container runtime handler, its overhead and its nodes."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class RuntimeClass(Kind):
    group = "node.k8s.io"
    kind = "RuntimeClass"
    plural = "runtimeclasses"
    namespaced = False
    unconditional_update = False
    columns = (NAME_COLUMN, Column("Handler"), AGE_COLUMN)  # the original leaves Handler undocumented

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], obj.get("handler", ""), cells.age(obj, clock)]
