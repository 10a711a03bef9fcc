"""StatefulSet of apps/v1: pods with stable names and claims."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Ctx, Kind, Obj, Scale
from apiserver.validation import gostruct, labels, names, numbers, podspec
from apiserver.validation.pod import warnings as pod_warnings

_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_SAME_SPEC = gostruct.same("apps/v1/StatefulSet", "spec")


class StatefulSet(Kind):
    group = "apps"
    kind = "StatefulSet"
    plural = "statefulsets"
    short_names = ("sts",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    telling_empties = podspec.TELLING_EMPTIES
    columns = (
        NAME_COLUMN,
        Column("Ready", description="Number of the pod with ready state"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
            cells.age(obj, clock),
            *cells.template_cells(spec),
        ]

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.dns_label(name, prefix)

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        podtemplates.default_template(spec)
        spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
        update = spec.setdefault("updateStrategy", {})
        if not update.get("type"):
            update["type"] = "RollingUpdate"
            if update.get("rollingUpdate") is None:
                update["rollingUpdate"] = {}
        rolling = update.get("rollingUpdate")
        if update["type"] == "RollingUpdate" and rolling is not None and rolling.get("partition") is None:
            rolling["partition"] = 0
        retention = spec["persistentVolumeClaimRetentionPolicy"] = (
            spec.get("persistentVolumeClaimRetentionPolicy") or {}
        )
        for name in ("whenDeleted", "whenScaled"):
            retention[name] = retention.get(name) or "Retain"
        if spec.get("replicas") is None:
            spec["replicas"] = 1
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = 10
        for claim in spec.get("volumeClaimTemplates") or ():
            podtemplates.default_claim(claim)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        _forget(obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        _forget(obj)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_spec(obj["spec"])

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return _validate_status(obj.get("status") or {}, old.get("status") or {})
        errors = _validate_change(obj["spec"], old["spec"])
        fixed = [{k: v for k, v in each["spec"].items() if k not in _MUTABLE} for each in (obj, old)]
        if not _SAME_SPEC(*fixed):
            listed = ", ".join(f"'{name}'" for name in _MUTABLE[:-1])
            text = f"updates to statefulset spec for fields other than {listed} and '{_MUTABLE[-1]}' are forbidden"
            errors.append(field.forbidden("spec", text))
        return errors

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        texts = podtemplates.warnings(obj, old)
        below = "" if old is None else ".Spec"  # the original misspells it
        for position, claim in enumerate(obj["spec"].get("volumeClaimTemplates") or ()):
            at = f"spec.volumeClaimTemplates[{position}]{below}"
            texts += pod_warnings.claim_spec_warnings(claim.get("spec") or {}, at)
        if (obj["spec"].get("revisionHistoryLimit") or 0) < 0:
            texts.append(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
                "a value >= 0 is recommended"
            )
        return texts


def _validate_change(spec: Obj, old: Obj) -> list[FieldError]:
    """An update's spec. Nobody looks into the template if anything is wrong with what is stored."""
    errors = _validate_spec(spec, old)
    if errors and _validate_spec(old, old):
        errors = _validate_spec(spec, old, into_template=False)
    return errors


def _validate_spec(spec: Obj, old: Obj | None = None, *, into_template: bool = True) -> list[FieldError]:
    """old: the stored spec, on an update. Claims and the service cannot change, so that they are looked at but once."""
    errors: list[FieldError] = []
    management = spec.get("podManagementPolicy")
    if not management:
        errors.append(field.required("spec.podManagementPolicy"))
    elif management not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        errors.append(field.invalid("spec.podManagementPolicy", management, text))
    errors += _validate_strategy(spec.get("updateStrategy") or {})
    retention: Obj | None = spec.get("persistentVolumeClaimRetentionPolicy")
    for name in ("whenDeleted", "whenScaled"):
        if retention is not None and (value := retention.get(name) or "") not in ("Retain", "Delete"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
            errors.append(field.not_supported(path, value, ["Retain", "Delete"]))
    if old is None:
        for position, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            errors += podtemplates.validate_claim(claim, f"spec.volumeClaimTemplates[{position}]")
    errors += numbers.non_negative_fields(spec, "spec", "replicas", "minReadySeconds")
    if ordinals := spec.get("ordinals"):
        errors += numbers.non_negative_fields(ordinals, "spec.ordinals", "start")
    if old is None and spec.get("serviceName"):
        service = spec["serviceName"]
        errors += [field.invalid("spec.serviceName", service, text) for text in names.dns_label(service)]
    errors += _validate_selector_and_template(spec, old and old.get("template"), into_template)
    errors += podtemplates.endless(spec.get("template") or {}, "spec.template", "StatefulSet")
    return errors


def _validate_selector_and_template(spec: Obj, old: Obj | None, into_template: bool) -> list[FieldError]:
    """old: the stored template."""
    errors: list[FieldError] = []
    selector, template = spec.get("selector"), spec.get("template") or {}
    if selector is None:
        errors.append(field.required("spec.selector"))
    else:
        errors += labels.validate_label_selector(selector, "spec.selector")
        if labels.is_empty(selector):
            errors.append(
                field.invalid(
                    "spec.selector", podtemplates.drawn_selector(selector), "empty selector is invalid for statefulset"
                )
            )
    parsed = podtemplates.selector_of(selector)
    if parsed is None:
        errors.append(field.invalid("spec.selector", podtemplates.drawn_selector(selector), ""))
        return errors
    if not parsed.empty:
        errors += podtemplates.mismatch(parsed, template, "spec.template")
    made = _as_made(template, spec)
    if into_template:
        errors += podtemplates.validate_template(made, "spec.template", old)
    return errors + podspec.validate_template_metadata(made, "spec.template", old)


def _as_made(template: Obj, spec: Obj) -> Obj:
    """The template as its pods will be: claims are volumes too, and come before others of the same name; the names of hosts
    are the controller's."""
    pod = template.get("spec") or {}
    claims = spec.get("volumeClaimTemplates") or ()
    if not claims and not pod.get("subdomain") and not pod.get("hostname"):
        return template
    pod = {name: value for name, value in pod.items() if name not in ("subdomain", "hostname")}
    if claims:
        named = ((claim.get("metadata") or {}).get("name") or "" for claim in claims)
        added = {name: {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in named}
        kept = [volume for volume in pod.get("volumes") or () if volume.get("name") not in added]
        pod["volumes"] = [*added.values(), *kept]
    return {**template, "spec": pod}


def _forget(obj: Obj) -> None:
    """Fields of features that are switched off."""
    podtemplates.prepare(obj)
    rolling = (obj["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    rolling.pop("maxUnavailable", None)


def _validate_strategy(update: Obj) -> list[FieldError]:
    kind, rolling = update.get("type"), update.get("rollingUpdate")
    path = "spec.updateStrategy.rollingUpdate"
    if not kind:
        return [field.required("spec.updateStrategy")]
    if kind == "OnDelete":
        if rolling is None:
            return []
        return [field.invalid(path, _drawn(rolling), "only allowed for updateStrategy 'RollingUpdate'")]
    if kind != "RollingUpdate":
        value = {"Type": kind, "RollingUpdate": None if rolling is None else _drawn(rolling)}
        return [field.invalid("spec.updateStrategy", value, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    errors = numbers.non_negative_fields(rolling, path, "partition")
    if (unavailable := rolling.get("maxUnavailable")) is not None:
        errors += numbers.int_or_percent(unavailable, path + ".maxUnavailable")
        if numbers.plain_value(unavailable) == 0:
            errors.append(field.invalid(path + ".maxUnavailable", unavailable, "cannot be 0"))
        errors += numbers.at_most_100_percent(unavailable, path + ".maxUnavailable")
    return errors


def _drawn(rolling: Obj) -> Obj:
    """A RollingUpdateStatefulSetStrategy as the original prints it."""
    return {"Partition": rolling.get("partition") or 0, "MaxUnavailable": rolling.get("maxUnavailable")}


def _validate_status(status: Obj, old: Obj) -> list[FieldError]:
    counts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    errors = numbers.non_negative_fields(status, "status", "replicas", *counts, "observedGeneration", "collisionCount")
    total, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    errors += numbers.not_above(status, "status", total, "cannot be greater than status.replicas", *counts)
    errors += numbers.not_above(
        status, "status", ready, "cannot be greater than status.readyReplicas", "availableReplicas"
    )
    return errors + numbers.not_decremented(status, old, "collisionCount", "status")
