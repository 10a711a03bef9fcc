"""Node: a machine that runs pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.core.podtemplate_defaults import default_resource_list
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj, Subresource
from apiserver.validation import nodes

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


class NodeKind(Kind):
    kind = "Node"
    plural = "nodes"
    namespaced = False
    revalidates_metadata = 1
    revalidates_first = True
    short_names = ("no",)
    subresources = (
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), kind="NodeProxyOptions"),
        STATUS,
    )
    status_at_creation = True
    columns = (
        NAME_COLUMN,
        Column("Status", description="The status of the node"),
        Column("Roles", description="The roles of the node"),
        AGE_COLUMN,
        Column("Version", doc="status.nodeInfo.kubeletVersion"),
        Column("Internal-IP", doc="status.addresses", priority=1),
        Column("External-IP", doc="status.addresses", priority=1),
        Column("OS-Image", doc="status.nodeInfo.osImage", priority=1),
        Column("Kernel-Version", doc="status.nodeInfo.kernelVersion", priority=1),
        Column("Container-Runtime", doc="status.nodeInfo.containerRuntimeVersion", priority=1),
    )

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        _pair_ranges(obj.get("spec") or {})
        status = obj.get("status") or {}
        if status.get("capacity") is not None and status.get("allocatable") is None:
            status["allocatable"] = dict(status["capacity"])
        for amounts in ("capacity", "allocatable"):
            default_resource_list(status.get(amounts))

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        (obj.get("spec") or {}).pop("configSource", None)
        (obj.get("status") or {}).pop("config", None)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        """What the removed dynamic kubelet configuration left behind may stay, nothing new comes."""
        for part, name in (("spec", "configSource"), ("status", "config")):
            if name not in (old.get(part) or {}):
                (obj.get(part) or {}).pop(name, None)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return nodes.validate_node(obj)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        found = nodes.validate_node(obj) if ctx.subresource == "" else []
        return found + nodes.validate_update(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        return nodes.warnings(obj) if ctx.subresource == "" else []

    # -- reads

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"spec.unschedulable": "true" if (obj.get("spec") or {}).get("unschedulable") else "false"}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        status = obj.get("status") or {}
        info = status.get("nodeInfo") or {}
        words = [
            "Ready" if condition.get("status") == "True" else "NotReady"
            for condition in status.get("conditions") or ()
            if condition.get("type") == "Ready"
        ][-1:] or ["Unknown"]
        if (obj.get("spec") or {}).get("unschedulable"):
            words.append("SchedulingDisabled")
        return [
            obj["metadata"].get("name", ""),
            ",".join(words),
            ",".join(_roles(obj)) or cells.NONE,
            cells.age(obj, clock),
            info.get("kubeletVersion", ""),
            _address(status, "InternalIP"),
            _address(status, "ExternalIP"),
            info.get("osImage") or "<unknown>",
            _kernel(info),
            info.get("containerRuntimeVersion") or "<unknown>",
        ]


def _kernel(info: Obj) -> str:
    version = info.get("kernelVersion") or "<unknown>"
    return f"{version} ({info['architecture']})" if info.get("architecture") else version


def _pair_ranges(spec: Obj) -> None:
    """podCIDR is the first of podCIDRs; where they differ, it counts, for clients that know no other."""
    one, many = spec.get("podCIDR"), spec.get("podCIDRs")
    if one and (not many or one != many[0]):
        spec["podCIDRs"] = [one]
    elif many:
        spec["podCIDR"] = many[0]


def _roles(node: Obj) -> list[str]:
    roles = set()
    for key, value in (node["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key[len(_ROLE_PREFIX) :])
        elif key == _ROLE_LABEL:
            roles.add(value)
    return sorted(roles - {""})


def _address(status: Obj, kind: str) -> str:
    for address in status.get("addresses") or ():
        if address.get("type") == kind:
            return str(address.get("address", ""))
    return cells.NONE


NODE = NodeKind()
