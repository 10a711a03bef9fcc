"""StorageClass of storage.k8s.io/v1: how volumes are provisioned."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.storage import rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta, names
from apiserver.validation.pod.warnings import node_label_deprecation

_POLICIES = ("Delete", "Retain")
_MODES = ("Immediate", "WaitForFirstConsumer")
_DRAWN = gostruct.value("storage.k8s.io/v1/StorageClass", "parameters")

_DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


class StorageClass(Kind):
    group = "storage.k8s.io"
    kind = "StorageClass"
    plural = "storageclasses"
    returns_deleted = True
    namespaced = False
    revalidates_metadata = 1
    revalidates_first = True
    short_names = ("sc",)
    columns = (
        NAME_COLUMN,
        Column("Provisioner", doc="provisioner"),
        Column("ReclaimPolicy", doc="reclaimPolicy"),
        Column("VolumeBindingMode", doc="volumeBindingMode"),
        Column("AllowVolumeExpansion", doc="allowVolumeExpansion"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        annotations = obj["metadata"].get("annotations") or {}
        default = any(annotations.get(name) == "true" for name in _DEFAULT_ANNOTATIONS)
        return [
            obj["metadata"]["name"] + (" (default)" if default else ""),
            obj.get("provisioner", ""),
            obj.get("reclaimPolicy", "Delete"),
            obj.get("volumeBindingMode", "Immediate"),
            obj.get("allowVolumeExpansion", False),
            cells.age(obj, clock),
        ]

    def default(self, obj: Obj, version: str) -> None:
        if obj.get("reclaimPolicy") is None:
            obj["reclaimPolicy"] = "Delete"
        if obj.get("volumeBindingMode") is None:
            obj["volumeBindingMode"] = "Immediate"

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = rules.provisioner(obj.get("provisioner") or "", "provisioner")
        errors += rules.parameters(obj.get("parameters"), "parameters", allow_empty=True)
        policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
        if policy and policy not in _POLICIES:
            errors.append(field.not_supported("reclaimPolicy", policy, _POLICIES))
        if mode is None:
            errors.append(field.required("volumeBindingMode"))
        elif mode not in _MODES:
            errors.append(field.not_supported("volumeBindingMode", mode, _MODES))
        return errors + _topologies(obj.get("allowedTopologies") or [])

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = self.validate(ctx, obj)
        errors += meta.validate_immutable(obj.get("parameters"), old.get("parameters"), "parameters", _DRAWN)
        errors += meta.validate_immutable(obj.get("provisioner") or "", old.get("provisioner") or "", "provisioner")
        for name in ("reclaimPolicy", "volumeBindingMode"):
            errors += meta.validate_immutable(obj.get(name), old.get(name), name)
        return errors

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        found: list[str] = []
        for i, term in enumerate(obj.get("allowedTopologies") or ()):
            for j, expression in enumerate(term.get("matchLabelExpressions") or ()):
                if text := node_label_deprecation(expression.get("key") or ""):
                    found.append(f"allowedTopologies[{i}].matchLabelExpressions[{j}].key: {text}")
        return found


def _topologies(terms: list[Obj]) -> list[FieldError]:
    """Each term must demand something, and no two terms the same."""
    errors: list[FieldError] = []
    seen: list[dict[str, set[str]]] = []
    for i, term in enumerate(terms):
        path, wanted = f"allowedTopologies[{i}]", dict[str, set[str]]()
        for j, expression in enumerate(term.get("matchLabelExpressions") or ()):
            at, key, values = (
                f"{path}.matchLabelExpressions[{j}]",
                expression.get("key") or "",
                expression.get("values") or [],
            )
            if not values:
                errors.append(field.required(at + ".values"))
            for k, value in enumerate(values):
                if value in values[:k]:
                    errors.append(field.duplicate(f"{at}.values[{k}]", value))
            errors += [field.invalid(at + ".key", key, text) for text in names.qualified_name(key)]
            if key in wanted:
                errors.append(field.duplicate(at + ".key", key))
            wanted[key] = set(values)
        # The original compares with as many empty terms as there are terms, besides those before.
        alike = seen.count(wanted) + (0 if wanted else len(terms))
        errors += [field.duplicate(path + ".matchLabelExpressions", "")] * alike
        seen.append(wanted)
    return errors
