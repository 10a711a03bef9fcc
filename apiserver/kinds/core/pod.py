"""Pod: containers that run together on one node."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds.core import pod_cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj, Subresource

_ANY = ("create", "delete", "get", "patch", "update")


class PodKind(Kind):
    kind = "Pod"
    plural = "pods"
    short_names = ("po",)
    categories = ("all",)
    subresources = (
        Subresource("attach", ("create", "get"), kind="PodAttachOptions"),
        Subresource("binding", ("create",), kind="Binding"),
        Subresource("ephemeralcontainers"),
        Subresource("eviction", ("create",), kind="Eviction", group="policy", version="v1"),
        Subresource("exec", ("create", "get"), kind="PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", ("create", "get"), kind="PodPortForwardOptions"),
        Subresource("proxy", _ANY, kind="PodProxyOptions"),
        Subresource("resize"),
        STATUS,
    )
    has_generation = True
    graceful = True
    columns = (
        NAME_COLUMN,
        Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
        Column("Status", description="The aggregate status of the containers in this pod."),
        Column(
            "Restarts",
            description="The number of times the containers in this pod have been restarted and when the last container "
            "in this pod has restarted.",
        ),
        AGE_COLUMN,
        Column("IP", doc="status.podIP", priority=1),
        Column("Node", doc="spec.nodeName", priority=1),
        Column("Nominated Node", doc="status.nominatedNodeName", priority=1),
        Column("Readiness Gates", doc="spec.readinessGates", priority=1),
    )

    def grace_period(self, obj: Obj, options: Obj) -> int | None:
        """The client's or the pod's own; none for a pod that runs nowhere or has finished; a negative one means one second."""
        spec = obj.get("spec") or {}
        period = options.get("gracePeriodSeconds")
        if period is None:
            period = spec.get("terminationGracePeriodSeconds") or 0
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
            return 0
        return 1 if period < 0 else int(period)

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        addresses = status.get("podIPs")
        return {
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.restartPolicy": spec.get("restartPolicy", ""),
            "spec.schedulerName": spec.get("schedulerName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase", ""),
            "status.podIP": addresses[0].get("ip", "") if addresses else status.get("podIP", ""),
            "status.podIPs": "",
            "status.nominatedNodeName": status.get("nominatedNodeName", ""),
        }

    def field_label(self, label: str, value: str, version: str) -> tuple[str, str] | None:
        return ("spec.nodeName", value) if label == "spec.host" else None

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return pod_cells.cells(obj, clock)

    def row_conditions(self, obj: Obj) -> list[Obj]:
        return pod_cells.row_conditions(obj)


POD = PodKind()
