"""ServiceAccount: an identity for the processes in pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj, Subresource


class ServiceAccountKind(Kind):
    kind = "ServiceAccount"
    plural = "serviceaccounts"
    short_names = ("sa",)
    subresources = (
        Subresource("token", ("create",), kind="TokenRequest", group="authentication.k8s.io", version="v1"),
    )
    unconditional_update = False
    columns = (NAME_COLUMN, Column("Secrets", doc="secrets"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"].get("name", ""), len(obj.get("secrets") or ()), cells.age(obj, clock)]


SERVICE_ACCOUNT = ServiceAccountKind()
