"""CSIDriver of storage.k8s.io/v1: what a volume driver can and wants."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta

_FLAGS = ("attachRequired", "podInfoOnMount", "storageCapacity")
_MODES = ("Persistent", "Ephemeral")
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_GATED = "preventPodSchedulingIfMissing"  # of an alpha feature, which is off
_MIN_TOKEN_SECONDS = 600
_MAX_TOKEN_SECONDS = 1 << 32


class CSIDriver(Kind):
    group = "storage.k8s.io"
    kind = "CSIDriver"
    plural = "csidrivers"
    returns_deleted = True
    namespaced = False
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("AttachRequired", "boolean", doc="spec.attachRequired"),
        Column("PodInfoOnMount", "boolean", doc="spec.podInfoOnMount"),
        Column("StorageCapacity", "boolean", doc="spec.storageCapacity"),
        Column("TokenRequests", doc="spec.tokenRequests"),
        Column("RequiresRepublish", "boolean", doc="spec.requiresRepublish"),
        Column("Modes", doc="spec.volumeLifecycleModes"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        requests = spec.get("tokenRequests")
        modes = spec.get("volumeLifecycleModes")
        return [
            obj["metadata"]["name"],
            spec.get("attachRequired", True),
            spec.get("podInfoOnMount", False),
            spec.get("storageCapacity", False),
            ",".join(r.get("audience", "") for r in requests) if requests else "<unset>",
            spec.get("requiresRepublish", False),
            ",".join(modes) if modes else cells.NONE,
            cells.age(obj, clock),
        ]

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        for name, value in (
            ("attachRequired", True),
            ("podInfoOnMount", False),
            ("storageCapacity", False),
            ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
            ("requiresRepublish", False),
            ("seLinuxMount", False),
        ):
            if spec.get(name) is None:
                spec[name] = value
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        (obj.get("spec") or {}).pop(_GATED, None)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
        new_spec.pop(_GATED, None)
        if not meta.same(new_spec, old_spec):
            obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_spec(obj.get("spec") or {})

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
        errors = _validate_spec(new_spec)
        for name, shown in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
            errors += meta.validate_immutable(new_spec.get(name), old_spec.get(name), f"spec.{shown}")
        return errors

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        spec, before = obj.get("spec") or {}, ((old or {}).get("spec") or {}).get("tokenRequests")
        requests = spec.get("tokenRequests")
        if requests and requests != before and spec.get("serviceAccountTokenInSecrets") is None:
            return [
                "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
                "possible logging of tokens in volume attributes"
            ]
        return []


def _validate_spec(spec: Obj) -> list[FieldError]:
    errors = [field.required(f"spec.{name}") for name in _FLAGS if spec.get(name) is None]
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _GROUP_POLICIES:
        errors.append(field.not_supported("spec.fsGroupPolicy", policy, _GROUP_POLICIES))
    audiences: set[str] = set()
    for position, request in enumerate(spec.get("tokenRequests") or ()):
        path, audience = f"spec.tokenRequests[{position}]", request.get("audience") or ""
        if audience in audiences:
            errors.append(field.duplicate(path + ".audience", audience))
            continue
        audiences.add(audience)
        seconds, at = request.get("expirationSeconds"), path + ".expirationSeconds"
        if seconds is not None and seconds < _MIN_TOKEN_SECONDS:
            errors.append(field.invalid(at, seconds, "may not specify a duration less than 10 minutes"))
        if seconds is not None and seconds > _MAX_TOKEN_SECONDS:
            errors.append(field.invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"))
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _MODES:
            errors.append(field.not_supported("spec.volumeLifecycleModes", mode, _MODES))
    if spec.get("seLinuxMount") is None:
        errors.append(field.required("spec.seLinuxMount"))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        text = "must be greater than or equal to 10 seconds"
        errors.append(field.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, text))
    secret = spec.get("serviceAccountTokenInSecrets")
    if secret is not None and not spec.get("tokenRequests"):
        text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.append(field.invalid("spec.serviceAccountTokenInSecrets", secret, text))
    return errors
