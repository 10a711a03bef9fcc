"""ResourceClaimTemplate of resource.k8s.io/v1: the pattern of the claims of pods."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.resource import admin, claims
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Ctx, Kind, Obj
from apiserver.validation import gostruct, labels, meta

_TEMPLATE_META = ("annotations", "labels")
_CLAIM = gostruct.value("resource.k8s.io/v1/ResourceClaimTemplate", "spec", "spec")


class ResourceClaimTemplate(Kind):
    group = "resource.k8s.io"
    kind = "ResourceClaimTemplate"
    plural = "resourceclaimtemplates"
    returns_deleted = True
    columns = (NAME_COLUMN, AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], cells.age(obj, clock)]

    def default(self, obj: Obj, version: str) -> None:
        claims.default_claim((obj.get("spec") or {}).get("spec") or {})

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        await admin.check_requests(ctx, self, obj, (obj.get("spec") or {}).get("spec") or {})

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        given, path = spec.get("metadata") or {}, "spec.metadata"
        errors = meta.validate_annotations(given.get("annotations") or {}, path + ".annotations")
        errors += labels.validate_labels(given.get("labels"), path + ".labels")
        for name in given:
            if name not in _TEMPLATE_META:
                errors.append(field.forbidden(path, "cannot be set for an ephemeral volume"))
                break
        return errors + claims.validate_spec(spec.get("spec") or {}, "spec.spec")

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return meta.validate_immutable(obj.get("spec"), old.get("spec"), "spec", _drawn)


def _drawn(spec: Obj) -> Obj:
    return {**(spec.get("metadata") or {}), "Spec": _CLAIM(spec.get("spec") or {})}
