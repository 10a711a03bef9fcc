"""ReplicationController: keeps a number of pods running; the ancestor of ReplicaSet."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates, strategy
from apiserver.kinds.core.podtemplate_defaults import default_pod_template
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, SCALE, STATUS, Column, Ctx, Kind, Obj, Scale
from apiserver.validation import names, numbers, podspec
from apiserver.validation.pod import warnings

_COUNTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


class ReplicationControllerKind(Kind):
    kind = "ReplicationController"
    plural = "replicationcontrollers"
    short_names = ("rc",)
    categories = ("all",)
    subresources = (SCALE, STATUS)
    scale = Scale()
    has_generation = True
    telling_empties = podspec.TELLING_EMPTIES
    orphan_by_default = True
    columns = (
        NAME_COLUMN,
        Column("Desired", type="integer", doc="spec.replicas"),
        Column("Current", type="integer", doc="status.replicas"),
        Column("Ready", type="integer", doc="status.readyReplicas"),
        AGE_COLUMN,
        Column("Containers", description="Names of each container in the template.", priority=1),
        Column("Images", description="Images referenced by each container in the template.", priority=1),
        Column("Selector", doc="spec.selector", priority=1),
    )

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        """Selector and labels come from the template when there are none."""
        spec = obj["spec"] = obj.get("spec") or {}
        if spec.get("replicas") is None:
            spec["replicas"] = 1
        template = spec.get("template")
        if template is None:
            return
        default_pod_template(template)
        labels = (template.get("metadata") or {}).get("labels")
        if labels:
            spec["selector"] = spec.get("selector") or dict(labels)
            obj["metadata"]["labels"] = obj["metadata"].get("labels") or dict(labels)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        podtemplates.prepare(obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        podtemplates.prepare(obj)

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        # Its rules are declared ones, which count bytes and look at no generateName.
        return [] if prefix else [text.replace("253 characters", "253 bytes") for text in names.dns_subdomain(name)]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_spec(obj["spec"], None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return _validate_status(obj.get("status") or {})
        return _validate_spec(obj["spec"], old["spec"].get("template"))

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource == "status" or (
            old is not None and obj["metadata"]["generation"] == old["metadata"]["generation"]
        ):
            return []
        if old is not None:  # the original looks at the template that is replaced
            return warnings.template_warnings(old["spec"].get("template"), "spec.template")
        found = strategy.pod_name_advice(obj["metadata"]["name"])
        return found + warnings.template_warnings(obj["spec"].get("template"), "spec.template")

    # -- reads

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        template = (spec.get("template") or {}).get("spec") or {}
        return [
            obj["metadata"].get("name", ""),
            spec.get("replicas", 0),
            status.get("replicas", 0),
            status.get("readyReplicas", 0),
            cells.age(obj, clock),
            *cells.containers_and_images(template.get("containers")),
            cells.labels(spec.get("selector")),
        ]


def _validate_spec(spec: Obj, old_template: Obj | None) -> list[FieldError]:
    errors = numbers.non_negative_fields(spec, "spec", "minReadySeconds")
    if not spec.get("selector"):
        errors.append(field.required("spec.selector"))
    errors += numbers.non_negative_fields(spec, "spec", "replicas")
    template = spec.get("template")
    if template is None:
        return [*errors, field.required("spec.template")]
    return errors + _validate_template(template, spec.get("selector") or {}, old_template)


def _validate_template(template: Obj, selector: Obj, old: Obj | None) -> list[FieldError]:
    """A template whose pods run forever and are selected."""
    path, spec = "spec.template", template.get("spec") or {}
    errors: list[FieldError] = []
    labels = (template.get("metadata") or {}).get("labels")
    if any((labels or {}).get(key) != value for key, value in selector.items()):
        text = "`selector` does not match template `labels`"
        errors.append(
            field.invalid(path + ".metadata.labels", dict(sorted(labels.items())) if labels is not None else None, text)
        )
    errors += podspec.validate_pod_template(template, path, old)
    if spec.get("restartPolicy") != "Always":
        errors.append(field.not_supported(path + ".spec.restartPolicy", spec.get("restartPolicy") or "", ["Always"]))
    if spec.get("activeDeadlineSeconds") is not None:
        text = "activeDeadlineSeconds in ReplicationController is not Supported"
        errors.append(field.forbidden(path + ".spec.activeDeadlineSeconds", text))
    return errors


def _validate_status(status: Obj) -> list[FieldError]:
    errors = numbers.non_negative_fields(status, "status", "replicas", *_COUNTS, "observedGeneration")
    total = status.get("replicas") or 0
    errors += numbers.not_above(status, "status", total, "cannot be greater than status.replicas", *_COUNTS)
    ready = status.get("readyReplicas") or 0
    return errors + numbers.not_above(
        status, "status", ready, "cannot be greater than readyReplicas", "availableReplicas"
    )


REPLICATION_CONTROLLER = ReplicationControllerKind()
