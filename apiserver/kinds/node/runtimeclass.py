"""RuntimeClass of node.k8s.io/v1: a container runtime handler, its overhead and its nodes."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, labels, meta, names, resources
from apiserver.validation.pod import scheduling
from apiserver.validation.pod.warnings import node_label_deprecation

_DRAWN = gostruct.value("node.k8s.io/v1/RuntimeClass", "scheduling", "tolerations")


class RuntimeClass(Kind):
    group = "node.k8s.io"
    kind = "RuntimeClass"
    plural = "runtimeclasses"
    core_metadata = False
    namespaced = False
    revalidates_metadata = 1
    unconditional_update = False
    create_on_update = True
    columns = (NAME_COLUMN, Column("Handler"), AGE_COLUMN)  # the original leaves Handler undocumented

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], obj.get("handler", ""), cells.age(obj, clock)]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        handler = obj.get("handler") or ""
        errors = [] if handler else [field.required("handler")]
        errors += [field.invalid("handler", handler, text) for text in names.dns_label(handler) if handler]
        if (overhead := obj.get("overhead")) is not None:
            fixed = {"limits": overhead.get("podFixed") or {}}
            errors += resources.validate_requirements(fixed, "overhead", [])
        if (placement := obj.get("scheduling")) is not None:
            errors += labels.validate_labels(placement.get("nodeSelector"), "scheduling.nodeSelector")
            errors += _tolerations(placement.get("tolerations") or [], "scheduling.tolerations")
        return errors

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        texts = map(node_label_deprecation, (obj.get("scheduling") or {}).get("nodeSelector") or ())
        return [f"scheduling.nodeSelector: {text}" for text in texts if text]

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return self.validate(ctx, obj) + meta.validate_immutable(
            obj.get("handler") or "", old.get("handler"), "handler"
        )


def _tolerations(given: list[Obj], path: str) -> list[FieldError]:
    errors = scheduling.validate_tolerations(given, path)
    seen: set[tuple[str, ...]] = set()
    for position, toleration in enumerate(given):
        key = tuple(toleration.get(name) or "" for name in ("key", "operator", "value", "effect"))
        if key in seen:
            errors.append(field.duplicate(f"{path}[{position}]", _DRAWN([toleration])[0]))
        seen.add(key)
    return errors
