"""VolumeAttachment of storage.k8s.io/v1: the wish to attach a volume to a node, and how it went."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, strategy
from apiserver.kinds.core.persistent_volume import default_volume_source
from apiserver.kinds.storage import rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta, names, persistent_volumes

_METADATA_LIMIT = 256 * 1024
_MESSAGE_LIMIT = 1024

_DRAWN = gostruct.value("storage.k8s.io/v1/VolumeAttachment", "spec")
_SAME = gostruct.same("storage.k8s.io/v1/VolumeAttachment", "spec")


class VolumeAttachment(Kind):
    group = "storage.k8s.io"
    kind = "VolumeAttachment"
    plural = "volumeattachments"
    revalidates_metadata = 1
    revalidates_in_status = True
    checks_metadata_change = checks_metadata_in_status = False
    returns_deleted = True
    namespaced = False
    unconditional_update = False
    subresources = (STATUS,)
    columns = (
        NAME_COLUMN,
        Column("Attacher", format="name", doc="spec.attacher"),
        Column("PV", doc="spec.source.persistentVolumeName"),
        Column("Node", doc="spec.nodeName"),
        Column("Attached", "boolean", doc="status.attached"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        return [
            obj["metadata"]["name"],
            spec.get("attacher", ""),
            (spec.get("source") or {}).get("persistentVolumeName", ""),
            spec.get("nodeName", ""),
            (obj.get("status") or {}).get("attached", False),
            cells.age(obj, clock),
        ]

    def default(self, obj: Obj, version: str) -> None:
        inline = ((obj.get("spec") or {}).get("source") or {}).get("inlineVolumeSpec")
        if inline is not None:
            default_volume_source(inline)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = rules.driver_name(spec.get("attacher") or "", "spec.attacher")
        errors += _source(spec.get("source") or {}, "spec.source")
        node = spec.get("nodeName") or ""
        errors += [field.invalid("spec.nodeName", node, text) for text in names.dns_subdomain(node)]
        errors += _status(obj.get("status") or {})
        name = (spec.get("source") or {}).get("persistentVolumeName")
        if name is not None:
            at = "spec.source.persistentVolumeName"
            errors += [field.invalid(at, name, text) for text in names.dns_subdomain(name)]
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = self.validate(ctx, obj)
        return errors + meta.validate_immutable(obj.get("spec"), old.get("spec"), "spec", _DRAWN, _SAME)


def _source(source: Obj, path: str) -> list[FieldError]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        return [field.required(path, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")]
    if inline is not None and name is not None:
        return [field.forbidden(path, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")]
    if name is not None:
        at = path + ".persistentVolumeName"
        return [field.required(at, "must specify non empty persistentVolumeName")] if not name else []
    return persistent_volumes.validate_inline_spec(inline or {}, path + ".inlineVolumeSpec")


def _status(status: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    data = status.get("attachmentMetadata") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in data.items()) > _METADATA_LIMIT:
        errors.append(field.too_long("status.attachmentMetadata", _METADATA_LIMIT))
    for name in ("attachError", "detachError"):
        problem = status.get(name) or {}
        if len((problem.get("message") or "").encode()) > _MESSAGE_LIMIT:
            errors.append(field.too_long(f"status.{name}.message", _METADATA_LIMIT))  # sic
        code = problem.get("errorCode")
        if code is not None and code < 0:
            text = "must be between 0 and 2147483647, inclusive"
            errors.append(field.invalid(f"status.{name}.errorCode", code, text))
    return errors
