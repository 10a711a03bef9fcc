"""Ingress of networking.k8s.io/v1: HTTP routes to services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.networking import ingress_rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import ips

_CLASS = "The name of the IngressClass resource that should be used for additional configuration"


class Ingress(Kind):
    group = "networking.k8s.io"
    kind = "Ingress"
    plural = "ingresses"
    revalidates_metadata = 1
    short_names = ("ing",)
    subresources = (STATUS,)
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Class", description=_CLASS),
        Column("Hosts", description="Hosts that incoming requests are matched against before the ingress rule"),
        Column("Address", description="Address is a list containing ingress points for the load-balancer"),
        Column("Ports", description="Ports of TLS configurations that open"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        points = (status.get("loadBalancer") or {}).get("ingress") or ()
        name = spec.get("ingressClassName")
        return [
            obj["metadata"]["name"],
            cells.NONE if name is None else name,
            _hosts(spec.get("rules") or ()),
            ",".join(sorted({p.get("ip") or p.get("hostname") for p in points if p.get("ip") or p.get("hostname")})),
            "80, 443" if spec.get("tls") else "80",
            cells.age(obj, clock),
        ]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return ingress_rules.validate(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return ingress_rules.validate_status(obj.get("status") or {}, old.get("status") or {})
        return ingress_rules.validate(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource == "status":
            return ips.load_balancer_warnings(obj)
        name = ingress_rules.CLASS_ANNOTATION
        unnamed = (obj.get("spec") or {}).get("ingressClassName") is None
        if old is None and unnamed and name in (obj["metadata"].get("annotations") or {}):
            return [f"annotation \"{name}\" is deprecated, please use 'spec.ingressClassName' instead"]
        return []


def _hosts(rules: Sequence[Obj]) -> str:
    """The first three hosts; "*" when no rule has one."""
    hosts: list[str] = []
    more = False
    for rule in rules:
        more = more or len(hosts) == 3
        if not more and rule.get("host"):
            hosts.append(rule["host"])
    if not hosts:
        return "*"
    return ",".join(hosts) + (f" + {len(rules) - 3} more..." if more else "")
