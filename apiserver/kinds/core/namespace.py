"""Namespace: a scope for names. Deleting one leaves it Terminating until spec.finalizers is empty."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj, Subresource
from apiserver.validation import meta, names

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
ACTIVE, TERMINATING = "Active", "Terminating"
_STANDARD_FINALIZERS = (FINALIZER, "orphan", "foregroundDeletion")


class NamespaceKind(Kind):
    kind = "Namespace"
    plural = "namespaces"
    namespaced = False
    revalidates_metadata = 1
    revalidates_first = True
    words_preconditions = True
    short_names = ("ns",)
    verbs = ("create", "delete", "get", "list", "patch", "update", "watch")
    subresources = (Subresource("finalize", ("update",)), STATUS)
    columns = (NAME_COLUMN, Column("Status", description="The status of the namespace"), AGE_COLUMN)

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        if obj["metadata"].get("name"):
            _label(obj)
        status = obj["status"] = obj.get("status") or {}
        status["phase"] = status.get("phase") or ACTIVE

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        obj["status"] = {"phase": ACTIVE}
        spec = obj["spec"] = obj.get("spec") or {}
        finalizers = spec["finalizers"] = spec.get("finalizers") or []
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "finalize":
            _keep(obj, old, "status")
        elif ctx.subresource == "":
            obj["spec"] = {**(obj.get("spec") or {})}
            _keep(obj["spec"], old.get("spec") or {}, "finalizers")

    def canonicalize(self, obj: Obj) -> None:
        _label(obj)

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.dns_label(name, prefix)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors: list[FieldError] = []
        for name in (obj.get("spec") or {}).get("finalizers") or ():
            errors += _validate_finalizer(name, "spec.finalizers")
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return _validate_phase(obj)
        errors: list[FieldError] = []
        if ctx.subresource == "finalize":
            for position, name in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
                errors += _validate_finalizer(name, f"spec.finalizers[{position}]")
        return errors

    # -- deletion

    def mark_deleting(self, obj: Obj) -> None:
        obj.setdefault("status", {})["phase"] = TERMINATING

    def held(self, obj: Obj) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    # -- reads

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase", "")}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"].get("name", ""), (obj.get("status") or {}).get("phase", ""), cells.age(obj, clock)]


def _label(namespace: Obj) -> None:
    meta = namespace["metadata"]
    labels = meta["labels"] = meta.get("labels") or {}
    labels[NAME_LABEL] = meta["name"]


def _keep(new: Obj, old: Obj, name: str) -> None:
    if name in old:
        new[name] = old[name]
    else:
        new.pop(name, None)


def _validate_finalizer(name: str, path: str) -> list[FieldError]:
    errors = meta.validate_finalizer_name(name, path)
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        errors.append(field.invalid(path, name, text))
    return errors


def _validate_phase(namespace: Obj) -> list[FieldError]:
    phase = (namespace.get("status") or {}).get("phase", "")
    if namespace["metadata"].get("deletionTimestamp"):
        if phase == TERMINATING:
            return []
        return [field.invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
    if phase == ACTIVE:
        return []
    return [field.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]


NAMESPACE = NamespaceKind()
