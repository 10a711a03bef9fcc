"""IPAddress of networking.k8s.io/v1: an address in use, named by itself."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.networking import references
from apiserver.registry.kind import NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, ips, meta, names

_DRAWN = gostruct.value("networking.k8s.io/v1/IPAddress", "spec", "parentRef")


class IPAddress(Kind):
    group = "networking.k8s.io"
    kind = "IPAddress"
    plural = "ipaddresses"
    revalidates_metadata = 1
    revalidates_first = True
    namespaced = False
    generates_names = False
    short_names = ("ip",)
    columns = (NAME_COLUMN, Column("ParentRef", doc="spec.parentRef"))

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        # The original has no column for the age, but prints it.
        text = cells.NONE
        if (parent := (obj.get("spec") or {}).get("parentRef")) is not None:
            group = parent.get("group")
            text = (parent.get("resource", "") + (f".{group}" if group else "")).lower()
            if namespace := parent.get("namespace"):
                text += "/" + namespace
            text += "/" + parent.get("name", "")
        return [obj["metadata"]["name"], text, cells.age(obj, clock)]

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return [error.detail for error in ips.strict_ip("metadata.name", name)]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        path = "spec.parentRef"
        if (parent := (obj.get("spec") or {}).get("parentRef")) is None:
            return [field.required(path)]
        errors: list[FieldError] = []
        if group := parent.get("group"):
            errors += [field.invalid(path + ".group", group, text) for text in names.dns_subdomain(group)]
        errors += references.path_segments(parent, path, "resource", "name")
        namespace = parent.get("namespace") or ""
        return errors + [field.invalid(path + ".namespace", namespace, text) for text in names.path_segment(namespace)]

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        new_value, old_value = ((each.get("spec") or {}).get("parentRef") for each in (obj, old))
        return self.validate(ctx, obj) + meta.validate_immutable(new_value, old_value, "spec.parentRef", _DRAWN)

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        parent = (obj.get("spec") or {}).get("parentRef") or {}
        return {f"spec.parentRef.{name}": parent.get(name) or "" for name in ("group", "resource", "namespace", "name")}
