"""ResourceQuota: how much of each resource a namespace may use in total."""

from __future__ import annotations

from typing import Any

from apimachinery import quantity
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.core.podtemplate_defaults import default_resource_list
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import quotas

_LIMITED = ("cpu", "memory", "storage", "ephemeral-storage")
_PLAIN = ("cpu", "memory")  # whose requests may be limited by their mere name


class ResourceQuotaKind(Kind):
    kind = "ResourceQuota"
    plural = "resourcequotas"
    returns_deleted = True
    short_names = ("quota",)
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column(
            "Request",
            description="Request represents a minimum amount of cpu/memory that a container may consume.",
        ),
        Column(
            "Limit",
            description="Limits control the maximum amount of cpu/memory that a container may use independent of "
            "contention on the node.",
        ),
        AGE_COLUMN,
    )

    def default(self, obj: Obj, version: str) -> None:
        default_resource_list((obj.get("spec") or {}).get("hard"))
        for amounts in ("hard", "used"):
            default_resource_list((obj.get("status") or {}).get(amounts))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return quotas.validate_quota(obj.get("spec") or {})

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return quotas.validate_quota_status(obj.get("status") or {})
        return quotas.validate_quota_update(obj.get("spec") or {}, old.get("spec") or {})

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        """Of a new quota that lets requests sum up to more than limits."""
        hard = (obj.get("spec") or {}).get("hard") or {}
        found = []
        for name in _LIMITED if old is None else ():
            requests, limits = f"requests.{name}", f"limits.{name}"
            if requests not in hard and name in _PLAIN:
                requests = name
            if requests in hard and limits in hard and quantity.parse(hard[requests]) > quantity.parse(hard[limits]):
                found.append(
                    f"ResourceQuota {requests} ({hard[requests]}) should be less than {limits} ({hard[limits]})"
                )
        return found

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        status = obj.get("status") or {}
        used = status.get("used") or {}
        requests: list[str] = []
        limits: list[str] = []
        for name, hard in sorted((status.get("hard") or {}).items()):
            (limits if name.startswith("limits.") else requests).append(f"{name}: {used.get(name, '0')}/{hard}")
        return [obj["metadata"].get("name", ""), ", ".join(requests), ", ".join(limits), cells.age(obj, clock)]


RESOURCE_QUOTA = ResourceQuotaKind()
