"""What may change in a stored PersistentVolumeClaim, and what its status may say.

Called by kinds/core/persistent_volume_claim.py; new claims: claims.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import claims, gostruct, labels, meta, names, resources
from apiserver.validation.diff import diff
from apiserver.validation.persistent_volumes import CLASS_ANNOTATION

Obj = Mapping[str, Any]

_RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
_IMMUTABLE_SPEC = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
)


_SAME_SPEC = gostruct.same("v1/PersistentVolumeClaim", "spec")


def validate_update(claim: Obj, old: Obj) -> list[FieldError]:
    """A claim's spec stays; the volume name is set once, the class once, the size of a bound claim may grow."""
    spec, before = claim.get("spec") or {}, old.get("spec") or {}
    errors = _validate_spec(spec, before)
    errors += _class_annotation(claim, old)
    now, then = _comparable(claim, old)
    if not _SAME_SPEC(now, then):
        changes = diff(gostruct.claim_spec(then), gostruct.claim_spec(now))
        errors.append(field.forbidden("spec", _IMMUTABLE_SPEC + changes))
    errors += _size(spec, before, old.get("status") or {})
    errors += meta.validate_immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    return errors + _attributes_class(spec, before, old.get("status") or {})


def _validate_spec(spec: Obj, before: Obj) -> list[FieldError]:
    selector = before.get("selector")
    return claims.validate_claim_spec(
        spec,
        "spec",
        allow_invalid_selector=bool(selector and labels.validate_label_selector(selector, "")),
        allow_invalid_group=any((before.get(name) or {}).get("apiGroup") for name in ("dataSource", "dataSourceRef")),
    )


def _annotation(claim: Obj) -> str | None:
    value: str | None = (claim["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    return value


def _moves_annotation(claim: Obj, old: Obj) -> bool:
    """Whether the class only moves from the old annotation into the field."""
    named = _annotation(old)
    return (
        named is not None
        and (old.get("spec") or {}).get("storageClassName") is None
        and (claim.get("spec") or {}).get("storageClassName") == named
        and _annotation(claim) in (None, named)
    )


def _class_annotation(claim: Obj, old: Obj) -> list[FieldError]:
    now, then = _annotation(claim) or "", _annotation(old) or ""
    if _moves_annotation(claim, old) or now == then:
        return []
    return [field.invalid(f"metadata.annotations.{CLASS_ANNOTATION}", now, meta.IMMUTABLE)]


def _comparable(claim: Obj, old: Obj) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both specs without what may differ."""
    now, then = dict(claim.get("spec") or {}), dict(old.get("spec") or {})
    if not then.get("volumeName"):
        then["volumeName"] = now.get("volumeName")
    first_class = then.get("storageClassName") is None and _annotation(old) in (None, now.get("storageClassName"))
    if first_class or _moves_annotation(claim, old):
        now.pop("storageClassName", None)
    if (claim.get("status") or {}).get("phase") == "Bound":
        requirements = dict(now.get("resources") or {})
        size = ((then.get("resources") or {}).get("requests") or {}).get("storage")
        if requirements.get("requests") is not None:
            requirements["requests"] = {**requirements["requests"], "storage": size}
            now["resources"] = requirements
        now["volumeAttributesClassName"] = then.get("volumeAttributesClassName")
    return (
        {key: value for key, value in now.items() if value is not None},
        {key: value for key, value in then.items() if value is not None},
    )


def _size(spec: Obj, before: Obj, status: Obj) -> list[FieldError]:
    """A size that was asked for in vain may be taken back, but not below what there is."""
    now, then = (
        resources.parse(((part.get("resources") or {}).get("requests") or {}).get("storage") or 0)
        for part in (spec, before)
    )
    if now >= then or now > resources.parse((status.get("capacity") or {}).get("storage") or 0):
        return []
    return [field.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")]


def _attributes_class(spec: Obj, before: Obj, status: Obj) -> list[FieldError]:
    """Once such a class is in effect, there is always one."""
    name = spec.get("volumeAttributesClassName")
    if name == before.get("volumeAttributesClassName") or status.get("currentVolumeAttributesClassName") is None:
        return []
    if name:
        return []
    what = "nil" if name is None else "empty string"
    text = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
    return [field.forbidden("spec.volumeAttributesClassName", text)]


# -- status


def validate_status(claim: Obj) -> list[FieldError]:
    status = claim.get("status") or {}
    errors: list[FieldError] = []
    if not (claim.get("spec") or {}).get("accessModes"):
        errors.append(field.required("Spec.accessModes"))
    for name, amount in (status.get("capacity") or {}).items():
        errors += resources.validate_basic(amount, f"status.capacity[{name}]")
    path = "status.allocatedResourceStatuses"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        errors += _resource_key(name, path)
        if state not in _RESIZE_STATES:
            errors.append(field.not_supported(path, name, _RESIZE_STATES))
    path = "status.allocatedResources"
    for name, amount in (status.get("allocatedResources") or {}).items():
        at = f"{path}[{name}]"
        errors += (
            _resource_key(name, path)
            or resources.validate_basic(amount, at)
            or resources.validate_quantity("storage", amount, at)
        )
    return errors


def _resource_key(name: str, path: str) -> list[FieldError]:
    errors = [field.invalid(path, name, text) for text in names.qualified_name(name)]
    if not errors and resources.is_native(name) and name != "storage":
        errors.append(field.not_supported(path, name, ("storage",)))
    return errors
