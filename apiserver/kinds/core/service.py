"""Service: one stable address for a set of pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.core import service_allocation, service_families
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj, Subresource
from apiserver.validation import ips, names, service_updates, services

_AFFINITY_TIMEOUT = 10800  # seconds


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

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        spec = obj["spec"] = obj.get("spec") or {}
        _default_affinity(spec)
        spec["type"] = kind = spec.get("type") or services.CLUSTER_IP
        for port in spec.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"
            port["targetPort"] = port.get("targetPort") or port.get("port", 0)
        if services.is_externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
            spec["externalTrafficPolicy"] = "Cluster"
        if spec.get("internalTrafficPolicy") is None and kind != services.EXTERNAL_NAME and kind in services.TYPES:
            spec["internalTrafficPolicy"] = "Cluster"
        if kind == services.LOAD_BALANCER:
            if spec.get("allocateLoadBalancerNodePorts") is None:
                spec["allocateLoadBalancerNodePorts"] = True
            _default_ingress(obj.get("status") or {})

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        """The traffic policy of a service without addresses is shown to nobody (canonicalize), and forgotten, with who
        set it, once a PUT leaves it out."""
        spec = obj["spec"]
        left_out = spec.get("type") == services.EXTERNAL_NAME and spec.get("internalTrafficPolicy") is None
        if left_out and ctx.sent and not ctx.subresource:
            _disown(obj["metadata"], "f:internalTrafficPolicy")

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        await service_allocation.begin_create(ctx, obj)

    async def begin_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "":
            await service_allocation.begin_update(ctx, obj, old)
            service_families.drop_unused(obj["spec"], old["spec"])
            service_families.forget_balancer(obj)

    async def after_delete(self, ctx: Ctx, obj: Obj) -> None:
        await service_allocation.after_delete(ctx, obj)

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.dns_label(name, prefix)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return services.validate_service(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return service_updates.validate_status(obj, old)
        return service_updates.validate_update(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        return ips.load_balancer_warnings(obj) if ctx.subresource == "status" else service_updates.warnings(obj)

    def canonicalize(self, obj: Obj) -> None:
        """What the original does to services as they are read. Once the traffic policy was filled in where it means
        nothing; since then nobody is shown it there."""
        service_families.normalize(obj["spec"], None)
        if obj["spec"].get("type") == services.EXTERNAL_NAME:
            obj["spec"].pop("internalTrafficPolicy", None)

    # -- reads

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


def _disown(metadata: Obj, name: str) -> None:
    """Nobody owns that field of the spec any longer."""
    kept = []
    for entry in metadata.get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if not entry.get("subresource") and name in fields.get("f:spec", {}):
            below = {path: node for path, node in fields["f:spec"].items() if path != name}
            fields = {path: node for path, node in fields.items() if path != "f:spec"} | (
                {"f:spec": below} if below else {}
            )
            entry = {**entry, "fieldsV1": fields}
        if fields:
            kept.append(entry)
    if kept:
        metadata["managedFields"] = kept
    else:
        metadata.pop("managedFields", None)


def _default_affinity(spec: Obj) -> None:
    affinity = spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_TIMEOUT}}


def _default_ingress(status: Obj) -> None:
    for entry in (status.get("loadBalancer") or {}).get("ingress") or ():
        if entry.get("ip") and entry.get("ipMode") is None:
            entry["ipMode"] = "VIP"


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
