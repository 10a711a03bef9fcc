"""DeviceClass of resource.k8s.io/v1: a name for devices that a driver offers."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.resource import common
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Ctx, Kind, Obj
from apiserver.validation import meta, resources

_MAX_ITEMS = 32


class DeviceClass(Kind):
    group = "resource.k8s.io"
    kind = "DeviceClass"
    plural = "deviceclasses"
    returns_deleted = True
    namespaced = False
    has_generation = True
    columns = (NAME_COLUMN, AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], cells.age(obj, clock)]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate(obj.get("spec") or {}, {})

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return _validate(obj.get("spec") or {}, old.get("spec") or {})


def _validate(spec: Obj, old: Obj) -> list[FieldError]:
    errors = common.listed(spec.get("selectors") or (), "spec.selectors", _MAX_ITEMS, common.selector)
    stored = bool(old) and meta.same(spec.get("config"), old.get("config"))
    errors += common.listed(
        spec.get("config") or (),
        "spec.config",
        _MAX_ITEMS,
        lambda config, path: common.configuration(config, path, stored=stored),
    )
    name, path = spec.get("extendedResourceName"), "spec.extendedResourceName"
    if name is not None and not resources.is_extended(name):
        errors.append(field.invalid(path, name, "must be a valid extended resource name"))
    return errors
