"""ServiceCIDR of networking.k8s.io/v1: a range for the addresses of services."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import ips, meta


class ServiceCIDR(Kind):
    group = "networking.k8s.io"
    kind = "ServiceCIDR"
    plural = "servicecidrs"
    namespaced = False
    subresources = (STATUS,)
    columns = (NAME_COLUMN, Column("CIDRs", doc="spec.cidrs"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        cidrs = (obj.get("spec") or {}).get("cidrs") or ()
        return [obj["metadata"]["name"], ",".join(cidrs), cells.age(obj, clock)]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        cidrs, path = (obj.get("spec") or {}).get("cidrs") or [], "spec.cidrs"
        if not cidrs:
            return [field.required(path, "at least one CIDR required")]
        if len(cidrs) > 2:
            return [field.invalid(path, {"CIDRs": cidrs}, "may only hold up to 2 values")]
        if len(cidrs) == 2:
            versions = [parsed[1].version if (parsed := ips.parse_cidr(cidr)) else 0 for cidr in cidrs]
            if sorted(versions) != [4, 6]:
                text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
                return [field.invalid(path, {"CIDRs": cidrs}, text)]
        return [error for i, cidr in enumerate(cidrs) for error in ips.strict_cidr(f"{path}[{i}]", cidr)]

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return []
        new_value, old_value = ((each.get("spec") or {}).get("cidrs") for each in (obj, old))
        return meta.validate_immutable(new_value, old_value, "spec.cidrs")
