"""Service: one stable address for a set of pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj, Subresource


class ServiceKind(Kind):
    kind = "Service"
    plural = "services"
    returns_deleted = True
    short_names = ("svc",)
    categories = ("all",)
    subresources = (
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), kind="ServiceProxyOptions"),
        STATUS,
    )
    create_on_update = True
    columns = (
        NAME_COLUMN,
        Column("Type", doc="spec.type"),
        Column("Cluster-IP", doc="spec.clusterIP"),
        Column("External-IP", doc="spec.externalIPs"),
        Column("Port(s)", doc="spec.ports"),
        AGE_COLUMN,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        return [
            obj["metadata"].get("name", ""),
            spec.get("type", ""),
            spec.get("clusterIP") or cells.NONE,
            _external_ip(obj),
            _ports(spec.get("ports") or ()) or cells.NONE,
            cells.age(obj, clock),
            cells.labels(spec.get("selector")),
        ]


def _external_ip(service: Obj) -> str:
    spec = service.get("spec") or {}
    outside = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(outside) or cells.NONE
        case "LoadBalancer":
            balancer = (service.get("status") or {}).get("loadBalancer") or {}
            ingress = {item.get("ip") or item.get("hostname") or "" for item in balancer.get("ingress") or ()}
            return ",".join([*sorted(ingress - {""}), *outside]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return "<unknown>"


def _ports(ports: Any) -> str:
    texts = []
    for port in ports:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port', 0)}{node_port}/{port.get('protocol', '')}")
    return ",".join(texts)


SERVICE = ServiceKind()
