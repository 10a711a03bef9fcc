"""Specs of persistent volume claims: the claims themselves, ephemeral volumes, claim templates of workloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import labels, meta, names, resources

Obj = Mapping[str, Any]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_TEMPLATE_METADATA = ("annotations", "labels")


def validate_access_modes(modes: Any, path: str) -> list[FieldError]:
    """Known modes, ReadWriteOncePod alone."""
    errors = [field.not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    known = {mode for mode in modes if mode in ACCESS_MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        errors.append(field.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def validate_claim_spec(
    spec: Obj, path: str, *, allow_invalid_selector: bool = False, allow_invalid_group: bool = False
) -> list[FieldError]:
    """A PersistentVolumeClaimSpec. allow_*: the stored object has the fault already."""
    errors: list[FieldError] = []
    modes = spec.get("accessModes") or ()
    if not modes:
        errors.append(field.required(path + ".accessModes", "at least 1 access mode is required"))
    if selector := spec.get("selector"):
        errors += labels.validate_label_selector(
            selector, path + ".selector", allow_invalid_values=allow_invalid_selector
        )
    errors += validate_access_modes(modes, path + ".accessModes")
    at = path + ".resources[storage]"
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        errors.append(field.required(at))
    else:
        errors += resources.validate_positive(storage, at) or resources.validate_quantity("storage", storage, at)
    if storage_class := spec.get("storageClassName"):
        texts = names.dns_subdomain(storage_class)
        errors += [field.invalid(path + ".storageClassName", storage_class, text) for text in texts]
    if (mode := spec.get("volumeMode")) is not None and mode not in VOLUME_MODES:
        errors.append(field.not_supported(path + ".volumeMode", mode, VOLUME_MODES))
    errors += _sources(spec, path, allow_invalid_group)
    if attributes := spec.get("volumeAttributesClassName"):
        texts = names.dns_subdomain(attributes)
        errors += [field.invalid(path + ".volumeAttributesClassName", attributes, text) for text in texts]
    return errors


def _sources(spec: Obj, path: str, allow_invalid_group: bool) -> list[FieldError]:
    """dataSource and dataSourceRef, which must agree unless the reference crosses namespaces."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    errors: list[FieldError] = []
    for value, name in ((source, "dataSource"), (reference, "dataSourceRef")):
        if value is not None:
            errors += _source(value, f"{path}.{name}", allow_invalid_group)
    if reference is None:
        return errors
    if namespace := reference.get("namespace"):
        texts = names.dns_label(namespace)
        errors += [field.invalid(path + ".dataSourceRef.namespace", namespace, text) for text in texts]
        if source is not None:
            text = "may not be specified when dataSourceRef.namespace is specified"
            errors.append(field.invalid(path, {}, text))
    elif source is not None and any(source.get(key) != reference.get(key) for key in ("apiGroup", "kind", "name")):
        errors.append(field.invalid(path, {}, "must match dataSourceRef"))
    return errors


def _source(source: Obj, path: str, allow_invalid_group: bool) -> list[FieldError]:
    errors = [field.required(f"{path}.{key}") for key in ("name", "kind") if not source.get(key)]
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(field.invalid(path, kind, text))
    if group and not allow_invalid_group:
        errors += [field.invalid(path + ".apiGroup", group, text) for text in names.dns_subdomain(group)]
    return errors


def validate_claim_template(template: Obj, path: str) -> list[FieldError]:
    """The template of an ephemeral volume: of its metadata only labels and annotations may be set."""
    metadata = template.get("metadata") or {}
    at = path + ".metadata"
    errors: list[FieldError] = []
    if annotations := metadata.get("annotations"):
        errors += meta.validate_annotations(annotations, at + ".annotations")
    if given := metadata.get("labels"):
        errors += labels.validate_labels(given, at + ".labels")
    for key, value in metadata.items():
        if key not in _TEMPLATE_METADATA and (value or isinstance(value, list | dict)):
            errors.append(field.forbidden(f"{at}.{key}", "cannot be set"))
    return errors + validate_claim_spec(template.get("spec") or {}, path + ".spec")
