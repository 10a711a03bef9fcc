"""ServiceCIDR of networking.k8s.io/v1: a range for the addresses of services."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, strategy
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import ips, meta

_PATH = "spec.cidrs"


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

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate(_cidrs(obj))

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return []
        now, then = _cidrs(obj), _cidrs(old)
        if len(now) != len(then) and (len(then), len(now)) != (1, 2):
            return [field.invalid(_PATH, (obj.get("spec") or {}).get("cidrs"), meta.IMMUTABLE)]
        errors = [
            field.invalid(f"{_PATH}[{i}]", cidr, meta.IMMUTABLE)
            for i, (cidr, before) in enumerate(zip(now, then, strict=False))
            if cidr != before
        ]
        return errors if len(now) == len(then) else errors + _validate(now)


def _cidrs(obj: Obj) -> list[str]:
    return (obj.get("spec") or {}).get("cidrs") or []


def _validate(cidrs: list[str]) -> list[FieldError]:
    if not cidrs:
        return [field.required(_PATH, "at least one CIDR required")]
    if len(cidrs) > 2:
        return [field.invalid(_PATH, {"CIDRs": cidrs}, "may only hold up to 2 values")]
    errors = [error for i, cidr in enumerate(cidrs) for error in ips.strict_cidr(f"{_PATH}[{i}]", cidr)]
    versions = [parsed[1].version if (parsed := ips.parse_cidr(cidr)) else 0 for cidr in cidrs]
    if versions in ([4, 4], [6, 6]):
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.append(field.invalid(_PATH, cidrs, text))
    return errors
