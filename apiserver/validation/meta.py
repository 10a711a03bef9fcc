"""Checks of metadata that every kind shares (the original's apimachinery pkg/api/validation/objectmeta.go).

registry/store.py calls validate_object_meta before a kind's validate, and validate_object_meta_update before its
validate_update. Names follow the kind's own rule, which is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apimachinery.gvk import split_api_version
from apiserver.validation import labels as label_rules
from apiserver.validation import names
from apiserver.validation.names import NameCheck

Meta = Mapping[str, Any]

ANNOTATIONS_LIMIT = 256 * 1024  # bytes of keys and values together
IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
FIELD_MANAGER_LIMIT = 128

_ORPHAN = "orphan"
_FOREGROUND = "foregroundDeletion"


def validate_object_meta(
    meta: Meta, namespaced: bool, check_name: NameCheck, path: str = "metadata", *, core: bool = False
) -> list[FieldError]:
    """Metadata of a new object, after a name was generated. core: see validate_core_finalizers."""
    errors: list[FieldError] = []
    if generate := meta.get("generateName"):
        errors += [field.invalid(path + ".generateName", generate, text) for text in check_name(generate, True)]
    name = meta.get("name") or ""
    if not name:
        errors.append(field.required(path + ".name", "name or generateName is required"))
    else:
        errors += [field.invalid(path + ".name", name, text) for text in check_name(name, False)]
    namespace = meta.get("namespace") or ""
    if namespaced:
        if not namespace:
            errors.append(field.required(path + ".namespace"))
        else:
            errors += [field.invalid(path + ".namespace", namespace, text) for text in names.dns_label(namespace)]
    elif namespace:
        errors.append(field.forbidden(path + ".namespace", "not allowed on this type"))
    if (meta.get("generation") or 0) < 0:
        errors.append(field.invalid(path + ".generation", meta["generation"], NOT_NEGATIVE))
    _common(errors, meta, path)
    if finalizers := meta.get("finalizers"):
        errors += validate_finalizers(finalizers, path + ".finalizers")
    if managed := meta.get("managedFields"):
        errors += validate_managed_fields(managed, path + ".managedFields")
    if core and finalizers:
        errors += validate_core_finalizers(finalizers, path + ".finalizers")
    return errors


def _common(errors: list[FieldError], meta: Meta, path: str) -> None:
    if labels := meta.get("labels"):
        errors += label_rules.validate_labels(labels, path + ".labels")
    if annotations := meta.get("annotations"):
        errors += validate_annotations(annotations, path + ".annotations")
    if owners := meta.get("ownerReferences"):
        errors += validate_owner_references(owners, path + ".ownerReferences")


_IMMUTABLE_FIELDS = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_object_meta_update(new: Meta, old: Meta, path: str = "metadata") -> list[FieldError]:
    """Metadata of an update against what is stored."""
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            shown = ", ".join(field.go_quote(name) for name in extra)
            errors.append(
                field.forbidden(
                    path + ".finalizers",
                    "no new finalizers can be added if the object is being deleted, "
                    f"found new finalizers []string{{{shown}}}",
                )
            )
    if not new.get("resourceVersion"):
        errors.append(field.invalid(path + ".resourceVersion", "", "must be specified for an update"))
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        errors.append(field.invalid(path + ".generation", new.get("generation") or 0, "must not be decremented"))
    for name in _IMMUTABLE_FIELDS:
        value = new.get(name)
        if value != old.get(name) and (value or old.get(name) or value == 0):
            if value is None and name in ("name", "namespace", "uid"):
                value = ""
            errors.append(field.invalid(f"{path}.{name}", value, IMMUTABLE))
    _common(errors, new, path)
    if managed := new.get("managedFields"):
        errors += validate_managed_fields(managed, path + ".managedFields")
    return errors


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    """Keys in any case, and the total size."""
    errors: list[FieldError] = []
    total = 0
    for key, value in annotations.items():
        total += len(key) + len(value)
        for text in names.qualified_name(key.lower()):
            errors.append(field.invalid(path, key, text))
    if total * 4 > ANNOTATIONS_LIMIT:  # a character takes up to four bytes: count exactly only when it may matter
        total = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if total > ANNOTATIONS_LIMIT:
            errors.append(field.too_long(path, ANNOTATIONS_LIMIT))
    return errors


def validate_owner_references(owners: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    """Each reference complete, no Event as owner, at most one controller. Paths have no index, as in the original."""
    errors: list[FieldError] = []
    controller, shown = "", [_drawn_owner(owner) for owner in owners]
    for owner in owners:
        errors += _owner(owner, path)
        if owner.get("controller") is True:
            this = f"{owner.get('kind') or ''}/{owner.get('name') or ''}"
            if controller:
                errors.append(
                    field.invalid(
                        path,
                        shown,
                        "Only one reference can have Controller set to true. "
                        f'Found "true" in references for {controller} and {this}',
                    )
                )
            else:
                controller = this
    return errors


def _owner(owner: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    api_version = owner.get("apiVersion") or ""
    group, version = split_api_version(api_version) if api_version.count("/") < 2 else ("", "")
    if not version:
        errors.append(field.invalid(path + ".apiVersion", api_version, "version must not be empty"))
    for name in ("kind", "name", "uid"):
        if not owner.get(name):
            errors.append(field.invalid(f"{path}.{name}", "", "must not be empty"))
    if (group, version, owner.get("kind")) == ("", "v1", "Event"):
        text = "/v1, Kind=Event is disallowed from being an owner"
        errors.append(field.invalid(path, _drawn_owner(owner), text))
    return errors


def _drawn_owner(owner: Mapping[str, Any]) -> dict[str, Any]:
    """A reference with its fields in the order in which the original encodes them."""
    drawn = {name: owner.get(name) or "" for name in ("apiVersion", "kind", "name", "uid")}
    return drawn | {name: owner[name] for name in ("controller", "blockOwnerDeletion") if owner.get(name) is not None}


def validate_finalizer_name(name: str, path: str) -> list[FieldError]:
    return [field.invalid(path, name, text) for text in names.qualified_name(name)]


def validate_finalizers(finalizers: Sequence[str], path: str) -> list[FieldError]:
    """Qualified names; the two finalizers of deletion propagation exclude each other."""
    errors: list[FieldError] = []
    for name in finalizers:
        errors += validate_finalizer_name(name, path)
    if _ORPHAN in finalizers and _FOREGROUND in finalizers:
        errors.append(
            field.invalid(path, list(finalizers), f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set")
        )
    return errors


_STANDARD_FINALIZERS = frozenset(("kubernetes", _ORPHAN, _FOREGROUND))


def validate_core_finalizers(finalizers: Sequence[str], path: str) -> list[FieldError]:
    """What most built-in kinds demand besides: a finalizer without a domain is one of Kubernetes' own."""
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        field.invalid(f"{path}[{position}]", name, text)
        for position, name in enumerate(finalizers)
        if "/" not in name and name not in _STANDARD_FINALIZERS
    ]


def validate_managed_fields(entries: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, entry in enumerate(entries):
        operation = entry.get("operation")
        if operation != "Update" and operation != "Apply":
            text = "must be `Apply` or `Update`"
            errors.append(field.invalid(f"{path}[{position}].operation", operation or "", text))
        fields_type = entry.get("fieldsType")
        if fields_type and fields_type != "FieldsV1":
            errors.append(field.invalid(f"{path}[{position}].fieldsType", fields_type, "must be `FieldsV1`"))
        if manager := entry.get("manager"):
            errors += validate_field_manager(manager, f"{path}[{position}].manager")
        if len(entry.get("subresource") or "") > 256:
            errors.append(field.too_long(f"{path}[{position}].subresource", 256))
    return errors


def validate_field_manager(name: str, path: str) -> list[FieldError]:
    """The name of a field manager: at most 128 bytes, printable."""
    if len(name) <= 32 and name.isascii() and name.isprintable():
        return []
    errors: list[FieldError] = []
    if len(name.encode()) > FIELD_MANAGER_LIMIT:
        errors.append(field.too_long(path, FIELD_MANAGER_LIMIT))
    at = 0
    for char in name:
        if not char.isprintable():
            errors.append(field.invalid(path, name, f"invalid character U+{ord(char):04X} (at position {at})"))
        at += len(char.encode())
    return errors


def validate_immutable(
    new: Any,
    old: Any,
    path: str,
    draw: Callable[[Any], Any] | None = None,
    equal: Callable[[Any, Any], bool] | None = None,
) -> list[FieldError]:
    """The value must not change; unset, null, empty maps and empty lists count as one. draw: how the message shows a
    value that is more than JSON, equal: how such values compare, see gostruct."""
    if (equal or same)(new, old):
        return []
    return [field.invalid(path, draw(new) if draw is not None else new, IMMUTABLE)]


def same(left: Any, right: Any) -> bool:
    """Equality as the original's Semantic.DeepEqual sees it: an unset list or map is an empty one, at every depth."""
    if left == right:
        return True
    if not left and not right:
        return not any(isinstance(side, bool | int | float | str) for side in (left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return all(same(left.get(name), right.get(name)) for name in left.keys() | right.keys())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return False


_REASON_FMT = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON = re.compile(_REASON_FMT)
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'"
)


def validate_conditions(conditions: Sequence[Mapping[str, Any]] | None, path: str) -> list[FieldError]:
    """A list of metav1.Condition."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, condition in enumerate(conditions or ()):
        at = f"{path}[{position}]"
        kind = condition.get("type") or ""
        if kind in seen:
            errors.append(field.duplicate(at + ".type", kind))
        seen.add(kind)
        errors += _condition(condition, at)
    return errors


def _condition(condition: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    errors += label_rules.validate_label_name(condition.get("type") or "", path + ".type")
    status = condition.get("status") or ""
    if status not in ("True", "False", "Unknown"):
        errors.append(field.not_supported(path + ".status", status, ["False", "True", "Unknown"]))
    if (condition.get("observedGeneration") or 0) < 0:
        errors.append(
            field.invalid(
                path + ".observedGeneration", condition["observedGeneration"], "must be greater than or equal to zero"
            )
        )
    if not condition.get("lastTransitionTime"):
        errors.append(field.required(path + ".lastTransitionTime"))
    reason = condition.get("reason")
    if not reason:
        errors.append(field.required(path + ".reason"))
    elif not _REASON.fullmatch(reason):
        examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
        errors.append(field.invalid(path + ".reason", reason, names.regex_text(_REASON_TEXT, _REASON_FMT, *examples)))
    if reason and len(reason.encode()) > 1024:
        errors.append(field.too_long(path + ".reason", 1024))
    if len((condition.get("message") or "").encode()) > 32 * 1024:
        errors.append(field.too_long(path + ".message", 32 * 1024))
    return errors
