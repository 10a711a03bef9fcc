"""What an update may not change, and what it need not: the rules that all kinds share."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery.field import FieldError
from apiserver.registry.kind import Ctx, Kind, Obj
from apiserver.validation import meta as meta_rules
from apiserver.validation import names

STATUS_WRITERS = frozenset(("status", "approval"))  # subresources that write the status fields and nothing else


def carry_over(new: Obj, old: Obj, subresource: str, status_fields: Sequence[str]) -> None:
    """The fields that this (sub)resource does not write stay as they are."""
    meta, old_meta = new["metadata"], old["metadata"]
    if old_meta.get("generation") is not None:
        meta["generation"] = old_meta["generation"]
    else:
        meta.pop("generation", None)
    if subresource in STATUS_WRITERS:
        for name in old.keys() | new.keys():
            if name in status_fields or name in ("metadata", "kind", "apiVersion"):
                continue
            if name in old:
                new[name] = old[name]
            else:
                del new[name]
        return
    for name in status_fields:
        if name in old:
            new[name] = old[name]
        else:
            new.pop(name, None)


def validate_new_metadata(kind: Kind, meta: Obj) -> list[FieldError]:
    """By the kind's own rules, or by those that hold for all kinds."""
    if not kind.own_metadata:
        return meta_rules.validate_object_meta(meta, kind.namespaced, names.path_segment)
    return meta_rules.validate_object_meta(meta, kind.namespaced, kind.validate_name, core=kind.core_metadata)


def validate_new(kind: Kind, ctx: Ctx, obj: Obj) -> list[FieldError]:
    """Everything wrong with a new object. General rules for metadata are asked when nothing else is found."""
    meta = obj["metadata"]
    if kind.own_metadata:
        return validate_new_metadata(kind, meta) + kind.validate(ctx, obj)
    return kind.validate(ctx, obj) or validate_new_metadata(kind, meta)


def validate(kind: Kind, ctx: Ctx, new: Obj, old: Obj) -> list[FieldError]:
    """Metadata is checked twice, as in the original (once for all kinds, once by most of them): causes come in pairs."""
    meta, old_meta = new["metadata"], old["metadata"]
    update = meta_rules.validate_object_meta_update(meta, old_meta)
    found = meta_rules.validate_object_meta(meta, kind.namespaced, names.path_segment) + update
    if kind.own_metadata:
        as_new: list[FieldError] = []
        if kind.revalidates_metadata and (not ctx.subresource or kind.revalidates_in_status):
            as_new = validate_new_metadata(kind, meta) * kind.revalidates_metadata
        if kind.revalidates_first:
            found += as_new
        if kind.checks_metadata_in_status if ctx.subresource else kind.checks_metadata_change:
            found += update
            if kind.core_metadata and (finalizers := meta.get("finalizers")):
                found += meta_rules.validate_core_finalizers(finalizers, "metadata.finalizers")
        if not kind.revalidates_first:
            found += as_new
    return found + kind.validate_update(ctx, new, old)


def keep_system_fields(meta: Obj, old_meta: Obj) -> None:
    """What an update cannot change, whatever it says."""
    if not meta.get("uid"):
        meta["uid"] = old_meta.get("uid", "")
    if old_meta.get("creationTimestamp"):
        meta["creationTimestamp"] = old_meta["creationTimestamp"]
    if old_meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = old_meta["deletionTimestamp"]
    if old_meta.get("deletionGracePeriodSeconds") is not None and meta.get("deletionGracePeriodSeconds") is None:
        meta["deletionGracePeriodSeconds"] = old_meta["deletionGracePeriodSeconds"]


def forget_idle_timestamps(new: Obj, old: Obj) -> None:
    """A write that changes nothing but times in managedFields changes nothing."""
    entries, old_entries = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if not entries or not old_entries or len(entries) != len(old_entries) or entries == old_entries:
        return
    for entry, old_entry in zip(entries, old_entries, strict=True):
        if entry != old_entry and {**entry, "time": None} != {**old_entry, "time": None}:
            return
    new["metadata"]["managedFields"] = old_entries
    if new != old:
        new["metadata"]["managedFields"] = entries
