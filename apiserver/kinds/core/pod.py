"""Pod: containers that run together on one node."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError, forbidden
from apiserver.kinds import strategy
from apiserver.kinds.core import pod_cells, pod_creation, pod_features, pod_status, pod_updates
from apiserver.kinds.core.podtemplate_defaults import default_empty_requests, default_pod
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj, Subresource
from apiserver.validation import meta, names, podspec
from apiserver.validation.pod import annotations as pod_annotations
from apiserver.validation.pod import options, warnings

_ANY = ("create", "delete", "get", "patch", "update")


class PodKind(Kind):
    kind = "Pod"
    plural = "pods"
    returns_deleted = True
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
    telling_empties = podspec.TELLING_EMPTIES
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

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        default_pod(obj)
        if status := obj.get("status"):
            pod_status.step_addresses(status)

    def default_empty(self, obj: Obj) -> None:
        default_empty_requests(obj)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        pod_creation.prepare(ctx, obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            pod_status.prepare(obj, old)
            return
        if ctx.subresource == "ephemeralcontainers":
            strategy.keep_metadata(obj, old)
            _keep_all_but_ephemeral(obj, old)
        elif ctx.subresource == "resize":
            pod_updates.keep_all_but_resources(obj, old)
        pod_features.drop(obj["spec"])

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = podspec.validate_pod(obj)
        spec = obj["spec"]
        if spec.get("ephemeralContainers"):
            errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
        if annotations := obj["metadata"].get("annotations"):
            errors += pod_annotations.validate_profiles_match(annotations, spec, "spec")
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return pod_status.validate(obj, old)
        if refusal := pod_updates.refusal(ctx.subresource, old):
            return refusal
        errors = meta.validate_object_meta(obj["metadata"], True, names.dns_subdomain, core=True)
        errors += _validate_again(obj, old)
        if ctx.subresource == "resize":
            return pod_updates.validate_resize(obj, old, errors)
        errors += pod_annotations.validate_update(obj, old)
        if ctx.subresource == "ephemeralcontainers":
            return errors + pod_updates.validate_ephemeral_containers(obj, old)
        return errors + pod_updates.validate_update(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if old is None:
            return warnings.pod_warnings(obj)
        return pod_status.warnings(obj) if ctx.subresource == "status" else []

    # -- deletion

    def grace_period(self, obj: Obj, options: Obj) -> int | None:
        """The client's or the pod's own; none for a pod that runs nowhere or has finished; a negative one means one second."""
        spec = obj.get("spec") or {}
        period = options.get("gracePeriodSeconds")
        if period is None:
            period = spec.get("terminationGracePeriodSeconds") or 0
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
            return 0
        return 1 if period < 0 else int(period)

    # -- reads

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


def _keep_all_but_ephemeral(new: Obj, old: Obj) -> None:
    given = new["spec"].get("ephemeralContainers")
    new["spec"] = {key: value for key, value in old["spec"].items() if key != "ephemeralContainers"}
    if given:
        new["spec"]["ephemeralContainers"] = given


def _validate_again(new: Obj, old: Obj) -> list[FieldError]:
    """A pod's own rules in an update: what the stored pod has already is let through."""
    errors = podspec.validate_pod(new)
    if not errors:
        return errors
    cost = pod_annotations.has_invalid_deletion_cost(old["metadata"].get("annotations") or {})
    return podspec.validate_pod(new, options.tolerating(old["spec"], is_pod=True, invalid_deletion_cost=cost))


POD = PodKind()
