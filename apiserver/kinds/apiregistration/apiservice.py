"""APIService of apiregistration.k8s.io/v1: a group version, and the server that answers for it."""

from __future__ import annotations

import base64
from typing import Any

from apimachinery import field, times
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, strategy
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import names

_STATUSES = ("True", "False", "Unknown")


class APIService(Kind):
    group = "apiregistration.k8s.io"
    kind = "APIService"
    plural = "apiservices"
    core_metadata = False
    namespaced = False
    categories = ("api-extensions",)
    subresources = (STATUS,)
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("Service", description="The reference to the service that hosts this API endpoint."),
        Column("Available", description="Whether this service is available."),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        service = (obj.get("spec") or {}).get("service")
        return [
            obj["metadata"]["name"],
            f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local",
            _available(obj),
            cells.age(obj, clock),
        ]

    def default(self, obj: Obj, version: str) -> None:
        service = (obj.get("spec") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        """What this server answers itself needs no probing."""
        if (obj.get("spec") or {}).get("service") is None:
            obj["status"] = {"conditions": [local_condition(times.now(ctx.clock))]}

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old, ("labels", "annotations", "finalizers", "ownerReferences"))

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.path_segment(name, prefix)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate(obj)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource != "status":
            return _validate(obj)
        return [
            field.not_supported(f"status.conditions[{i}].status", condition.get("status") or "", _STATUSES)
            for i, condition in enumerate((obj.get("status") or {}).get("conditions") or ())
            if condition.get("status") not in _STATUSES
        ]


def local_condition(now: str) -> Obj:
    """The condition of an APIService without a service."""
    return {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


def _validate(obj: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    name, group, version = obj["metadata"].get("name") or "", spec.get("group") or "", spec.get("version") or ""
    if name != f"{version}.{group}" and name and not names.path_segment(name):
        text = 'must be `spec.version+"."+spec.group`: ' + field.go_quote(f"{version}.{group}")
        errors.append(field.invalid("metadata.name", name, text))
    if not group and version != "v1":
        text = "only v1 may have an empty group and it better be legacy kube"
        errors.append(field.required("spec.group", text))
    if group:
        errors += [field.invalid("spec.group", group, text) for text in names.dns_subdomain(group)]
    errors += [field.invalid("spec.version", version, text) for text in names.dns1035_label(version)]
    for priority, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(priority) or 0
        if not 0 < value <= limit:
            errors.append(field.invalid(f"spec.{priority}", value, f"must be positive and less than {limit}"))
    return errors + _service(spec)


def _service(spec: Obj) -> list[FieldError]:
    """Where the group version is served, and how that server is trusted."""
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    errors: list[FieldError] = []
    at = "spec.insecureSkipTLSVerify"
    if service is None:
        if bundle:
            size = f"{len(base64.b64decode(bundle))} bytes"
            errors.append(field.invalid("spec.caBundle", size, "local APIServices may not have a caBundle"))
        if insecure:
            errors.append(field.invalid(at, True, "local APIServices may not have insecureSkipTLSVerify"))
        return errors
    errors += [field.required(f"spec.service.{name}") for name in ("namespace", "name") if not service.get(name)]
    port = service.get("port") or 0
    if texts := names.port_number(port):
        text = "port is not valid: " + ", ".join(texts)
        errors.append(field.invalid("spec.service.port", port, text))
    if insecure and bundle:
        errors.append(field.invalid(at, True, "may not be true if caBundle is present"))
    return errors


def _available(obj: Obj) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            status: str = condition.get("status", "")
            return status if status == "True" else f"{status} ({condition.get('reason', '')})"
    return "Unknown"
