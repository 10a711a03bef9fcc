"""Node: a machine that runs pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj, Subresource

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


class NodeKind(Kind):
    kind = "Node"
    plural = "nodes"
    namespaced = False
    short_names = ("no",)
    subresources = (
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), kind="NodeProxyOptions"),
        STATUS,
    )
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
            info.get("kernelVersion") or "<unknown>",
            info.get("containerRuntimeVersion") or "<unknown>",
        ]


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
