"""CustomResourceDefinition of apiextensions.k8s.io/v1: a kind that users define. What it serves: registry/crd.py."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds.apiextensions import definition_rules, schema_rules
from apiserver.registry.kind import NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from openapi import explain

CREATED_AT = Column("Created At", type="date", doc="metadata.creationTimestamp")
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class CustomResourceDefinition(Kind):
    group = "apiextensions.k8s.io"
    kind = "CustomResourceDefinition"
    plural = "customresourcedefinitions"
    core_metadata = False
    short_names = ("crd", "crds")
    categories = ("api-extensions",)
    namespaced = False
    has_generation = True
    unconditional_update = False
    subresources = (STATUS,)
    columns = (NAME_COLUMN, CREATED_AT)

    def default(self, obj: Obj, version: str) -> None:
        spec = obj["spec"]
        names = spec["names"]
        kind = names.get("kind", "")
        if not names.get("singular") and kind:
            names["singular"] = kind.lower()
        if not names.get("listKind") and kind:
            names["listKind"] = kind + "List"
        if spec.get("conversion") is None:
            spec["conversion"] = {"strategy": "None"}
        client = ((spec["conversion"].get("webhook") or {}).get("clientConfig")) or {}
        if client.get("service") is not None and client["service"].get("port") is None:
            client["service"]["port"] = 443

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        _store_version(obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if not ctx.subresource:
            _store_version(obj)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return definition_rules.validate_create(obj)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return definition_rules.validate_status(obj)
        return definition_rules.validate_update(obj, old)

    def canonicalize(self, obj: Obj) -> None:
        """Defaults, enumerated values and examples are judged as they came, and written as Go writes numbers: 1.0 as 1."""
        for version in obj["spec"].get("versions") or ():
            if version.get("schema"):
                version["schema"] = explain.plain(version["schema"])

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource:
            return []
        known = schema_rules.unrecognized_formats(old) if old is not None else []
        warnings = [
            f'unrecognized format "{name}"' for name in schema_rules.unrecognized_formats(obj) if name not in known
        ]
        return warnings

    def mark_deleting(self, obj: Obj) -> None:
        """Instances go first: a finalizer of ours waits for them."""
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if CLEANUP_FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, CLEANUP_FINALIZER]
        text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        pending = ("Terminating", "True", "InstanceDeletionPending", text)
        definition_rules.set_condition(obj, metadata["deletionTimestamp"], *pending)

    marked_barely = True

    def held(self, obj: Obj) -> bool:
        """A deletion always begins by marking; registry/crd.py takes the finalizer away when no instance is left."""
        return not obj["metadata"].get("deletionTimestamp")

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        metadata = obj["metadata"]
        return [metadata.get("name", ""), metadata.get("creationTimestamp")]


def _store_version(obj: Obj) -> None:
    """Remember in status that the storage version has been one."""
    for version in obj["spec"].get("versions") or ():
        if version.get("storage"):
            stored = obj["status"].get("storedVersions") or []
            if version["name"] not in stored:
                obj["status"]["storedVersions"] = [*stored, version["name"]]
            return
