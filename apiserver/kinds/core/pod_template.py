"""PodTemplate: a pod template on its own."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.core import pod_features
from apiserver.kinds.core.podtemplate_defaults import default_pod_template
from apiserver.registry.kind import NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import podspec
from apiserver.validation.pod import warnings


class PodTemplateKind(Kind):
    kind = "PodTemplate"
    plural = "podtemplates"
    returns_deleted = True
    has_generation = True
    telling_empties = podspec.TELLING_EMPTIES
    columns = (
        NAME_COLUMN,
        Column("Containers", description="Names of each container in the template."),
        Column("Images", description="Images referenced by each container in the template."),
        Column("Pod Labels", description="The labels for the pod template."),
    )

    def default(self, obj: Obj, version: str) -> None:
        obj["template"] = obj.get("template") or {}
        default_pod_template(obj["template"])

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        pod_features.drop(pod_features.template_spec(obj))

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        pod_features.drop(pod_features.template_spec(obj))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return podspec.validate_pod_template(obj["template"], "template", None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return podspec.validate_pod_template(obj["template"], "template", old.get("template"))

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if old is not None and obj["metadata"].get("generation") == old["metadata"].get("generation"):
            return []
        return warnings.template_warnings(obj["template"], "template")

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        template = obj.get("template") or {}
        names, images = cells.containers_and_images((template.get("spec") or {}).get("containers"))
        labels = cells.labels((template.get("metadata") or {}).get("labels"))
        return [obj["metadata"].get("name", ""), names, images, labels]


POD_TEMPLATE = PodTemplateKind()
