"""PersistentVolumes: validation of new ones and of updates, warnings. Also what volumes inline elsewhere may be.

Called by kinds/core/persistent_volume.py and by the VolumeAttachment kind (validate_inline_spec).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import claims, gostruct, labels, meta, names, resources
from apiserver.validation import volume_sources as sources
from apiserver.validation.diff import diff
from apiserver.validation.pod import paths, scheduling, warnings

Obj = Mapping[str, Any]
Check = Callable[[Obj, str], list[FieldError]]

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_MOUNT_ANNOTATION = "volume.beta.kubernetes.io/mount-options"
_POLICIES = ("Delete", "Recycle", "Retain")
_ONE_TYPE = "may not specify more than 1 volume type"
_AFFINITY_FIXED = meta.IMMUTABLE + ", except for updating from beta label to GA"
_INLINE = "in the context of inline volumes"


def _local(source: Obj, path: str) -> list[FieldError]:
    target = source.get("path") or ""
    return paths.no_backsteps(target, path + ".path") if target else [field.required(path + ".path")]


_SOURCES: dict[str, Check] = {  # in the order in which a second one is refused
    "hostPath": sources.host_path,
    "gcePersistentDisk": sources.gce_disk,
    "awsElasticBlockStore": sources.aws_disk,
    "glusterfs": sources.glusterfs_persistent,
    "flocker": sources.flocker,
    "nfs": sources.nfs,
    "rbd": sources.rbd,
    "quobyte": sources.quobyte,
    "cephfs": sources.requiring("monitors"),
    "iscsi": lambda source, path: sources.iscsi_persistent(source, path, ""),
    "cinder": sources.cinder_persistent,
    "fc": sources.fc,
    "flexVolume": sources.flex,
    "azureFile": sources.azure_file_persistent,
    "vsphereVolume": sources.requiring("volumePath"),
    "photonPersistentDisk": sources.requiring("pdID"),
    "portworxVolume": sources.requiring("volumeID"),
    "azureDisk": sources.azure_disk,
    "scaleIO": sources.scale_io,
    "local": _local,
    "storageos": sources.storageos_persistent,
    "csi": sources.csi_persistent,
}
_PATHS = {"gcePersistentDisk": "persistentDisk"}  # as the original misnames them
_FORBIDDEN_PATHS = {"cephfs": "cephFS"}
_MOUNTABLE = frozenset(
    (
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
    )
)
_WARNED_PATHS = {"storageos": "storageOS"}
_DEPRECATED = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")
_BETA_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


# -- a volume


def validate_volume(volume: Obj, old: Obj | None) -> list[FieldError]:
    """A whole volume but for its metadata. old: the stored one, whose faulty labels in the node affinity are let through."""
    spec = volume.get("spec") or {}
    errors = _validate_spec(spec, volume["metadata"].get("name") or "", "spec", old)
    if _MOUNT_ANNOTATION in (volume["metadata"].get("annotations") or {}) and not _MOUNTABLE & source_of(spec).keys():
        text = "may not specify mount options for this volume type"
        errors.append(field.forbidden(f"metadata.annotations.{_MOUNT_ANNOTATION}", text))
    return errors


def validate_inline_spec(spec: Obj, path: str) -> list[FieldError]:
    """The spec of a volume that is no object of its own (in a VolumeAttachment): CSI only, nothing of a life cycle."""
    errors: list[FieldError] = []
    if spec.get("claimRef") is not None:
        errors.append(field.forbidden(path + ".claimRef", f"may not be specified {_INLINE}"))
    if spec.get("capacity"):
        errors.append(field.forbidden(path + ".capacity", f"may not be specified {_INLINE}"))
    if spec.get("csi") is None:
        errors.append(field.required(path + ".csi", f"has to be specified {_INLINE}"))
    errors += _modes(spec, path)
    if spec.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        errors.append(field.forbidden(path + ".persistentVolumeReclaimPolicy", f"may only be Retain {_INLINE}"))
    if spec.get("nodeAffinity") is not None:
        errors.append(field.forbidden(path + ".nodeAffinity", f"may not be specified {_INLINE}"))
    errors += _validate_sources(spec, "", path, has_affinity=False) + _recycled_root(spec, path)
    if spec.get("storageClassName"):
        errors.append(field.forbidden(path + ".storageClassName", f"may not be specified {_INLINE}"))
    if spec.get("volumeMode") not in (None, "Filesystem"):
        text = f"may not specify volumeMode other than Filesystem {_INLINE}"
        errors.append(field.forbidden(path + ".volumeMode", text))
    return errors


def source_of(spec: Obj) -> dict[str, Any]:
    """The fields of a volume's spec that say where its data is."""
    return {name: spec[name] for name in _SOURCES if spec.get(name) is not None}


def _modes(spec: Obj, path: str) -> list[FieldError]:
    modes = spec.get("accessModes") or ()
    if not modes:
        return [field.required(path + ".accessModes")]
    return claims.validate_access_modes(modes, path + ".accessModes")


def _validate_spec(spec: Obj, name: str, path: str, old: Obj | None) -> list[FieldError]:
    errors = _modes(spec, path) + _capacity(spec.get("capacity"), path + ".capacity")
    policy = spec.get("persistentVolumeReclaimPolicy") or ""
    if policy and policy not in _POLICIES:
        errors.append(field.not_supported(path + ".persistentVolumeReclaimPolicy", policy, _POLICIES))
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        errors += _affinity(affinity, path + ".nodeAffinity", old)
    errors += _validate_sources(spec, name, path, has_affinity=affinity is not None)
    errors += _recycled_root(spec, path)
    if storage_class := spec.get("storageClassName"):
        texts = names.dns_subdomain(storage_class)
        errors += [field.invalid(path + ".storageClassName", storage_class, text) for text in texts]
    if (mode := spec.get("volumeMode")) is not None and mode not in claims.VOLUME_MODES:
        errors.append(field.not_supported(path + ".volumeMode", mode, claims.VOLUME_MODES))
    return errors + _attributes_class(spec, path)


def _recycled_root(spec: Obj, path: str) -> list[FieldError]:
    source = spec.get("hostPath")
    if source is None or spec.get("persistentVolumeReclaimPolicy") != "Recycle":
        return []
    if posixpath.normpath(source.get("path") or ".") not in ("/", "//"):
        return []
    text = "may not be 'recycle' for a hostPath mount of '/'"
    return [field.forbidden(path + ".persistentVolumeReclaimPolicy", text)]


def _capacity(given: Obj | None, path: str) -> list[FieldError]:
    capacity = given or {}
    errors = [] if capacity else [field.required(path)]
    if "storage" not in capacity or len(capacity) > 1:
        shown = None if given is None else dict(sorted(given.items()))
        errors.append(field.not_supported(path, shown, ("storage",)))
    for name, amount in capacity.items():
        at = f"{path}[{name}]"
        errors += resources.validate_basic(amount, at) + resources.validate_positive(amount, at)
    return errors


def _affinity(affinity: Obj, path: str, old: Obj | None) -> list[FieldError]:
    required = affinity.get("required")
    if required is None:
        return [field.required(path + ".required", "must specify required node constraints")]
    before = ((((old or {}).get("spec") or {}).get("nodeAffinity") or {}).get("required") or {}).get(
        "nodeSelectorTerms"
    )
    tolerant = any(map(_has_invalid_values, before or ()))
    return scheduling.validate_node_selector(required, path + ".required", allow_invalid_values=tolerant)


def _has_invalid_values(term: Obj) -> bool:
    return labels.has_invalid_values({"matchExpressions": term.get("matchExpressions")})


def _validate_sources(spec: Obj, name: str, path: str, *, has_affinity: bool) -> list[FieldError]:
    """Exactly one; a local one needs to say where it is."""
    errors: list[FieldError] = []
    found = False
    for kind, source in source_of(spec).items():
        if found and kind != "flexVolume":
            errors.append(field.forbidden(f"{path}.{_FORBIDDEN_PATHS.get(kind, kind)}", _ONE_TYPE))
            continue
        found = True
        at = f"{path}.{_PATHS.get(kind, kind)}"
        errors += sources.iscsi_persistent(source, at, name) if kind == "iscsi" else _SOURCES[kind](source, at)
        if kind == "local" and not has_affinity:
            errors.append(field.required(path + ".nodeAffinity", "Local volume requires node affinity"))
    return errors if found else [*errors, field.required(path, "must specify a volume type")]


def _attributes_class(spec: Obj, path: str) -> list[FieldError]:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return []
    path, csi = path + ".volumeAttributesClassName", path + ".csi"
    if name:
        errors = [field.invalid(path, name, text) for text in names.dns_subdomain(name)]
    else:
        errors = [field.required(path, "an empty string is disallowed")]
    if spec.get("csi") is None:
        errors.append(field.required(csi, "has to be specified when using volumeAttributesClassName"))
    return errors


# -- updates

_SAME_SPEC = gostruct.same("v1/PersistentVolume", "spec")


def validate_update(volume: Obj, old: Obj) -> list[FieldError]:
    """A volume's source never changes, but for one secret that may be added; its affinity only from none."""
    spec, before = volume.get("spec") or {}, old.get("spec") or {}
    errors = validate_volume(volume, old) * 2  # the original checks an update as a new object, too
    source, had = source_of(spec), source_of(before)
    if "csi" in had and had["csi"].get("controllerExpandSecretRef") is None and "csi" in source:
        source["csi"] = {key: value for key, value in source["csi"].items() if key != "controllerExpandSecretRef"}
    if not _SAME_SPEC(source, had):
        now, then = (gostruct.volume_source(each, [*_SOURCES]) for each in (source, had))
        text = "spec.persistentvolumesource is immutable after creation\n" + diff(then, now)
        errors.append(field.forbidden("spec.persistentvolumesource", text))
    errors += meta.validate_immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    affinity, was = spec.get("nodeAffinity"), before.get("nodeAffinity")
    if was is not None and not _same_affinity(affinity, was):
        errors += [field.invalid("nodeAffinity", gostruct.volume_affinity(affinity), _AFFINITY_FIXED)]
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        text = "update from non-nil value to nil is forbidden"
        errors.append(field.forbidden("spec.volumeAttributesClassName", text))
    return errors


def _same_affinity(now: Obj | None, then: Obj) -> bool:
    """Equal, or with labels in their newer names."""
    if meta.same(now, then):
        return True
    return now is not None and meta.same(_with_newer_labels(now, then), then)


def _with_newer_labels(now: Obj, then: Obj) -> Obj:
    """The new affinity with those requirements named as before that only took a label's newer name, or lost a name that
    has no newer one: the original looks that up, too."""
    terms = (now.get("required") or {}).get("nodeSelectorTerms") or []
    before = (then.get("required") or {}).get("nodeSelectorTerms") or []
    out = []
    for term, old_term in zip(terms, before, strict=False):
        for part in ("matchExpressions", "matchFields"):
            pairs = zip(term.get(part) or (), old_term.get(part) or (), strict=False)
            named = [
                {**new, "key": old["key"]}
                if _BETA_LABELS.get(old.get("key", ""), "") == (new.get("key") or "")
                else new
                for new, old in pairs
                if old.get("key")
            ]
            if named and len(named) == len(term[part]):
                term = {**term, part: named}
        out.append(term)
    if len(out) != len(terms):
        return now
    return {**now, "required": {**(now.get("required") or {}), "nodeSelectorTerms": out}}


# -- warnings


def volume_warnings(volume: Obj) -> list[str]:
    annotations, spec = volume["metadata"].get("annotations") or {}, volume.get("spec") or {}
    found = class_annotation_warnings(annotations)
    if _MOUNT_ANNOTATION in annotations:
        path = f"metadata.annotations[{_MOUNT_ANNOTATION}]"
        found.append(f'{path}: deprecated since v1.31; use "mountOptions" attribute instead')
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for position, term in enumerate(terms):
        path = f"spec.nodeAffinity.required.nodeSelectorTerms[{position}]"
        found += warnings.node_selector_term_warnings(term, path, check_values=False)
    for kind in _DEPRECATED:
        if spec.get(kind) is not None:
            found.append(f"spec.{_WARNED_PATHS.get(kind, kind)}: {warnings.DEPRECATED_VOLUMES[kind]}")
            break
    return found


def class_annotation_warnings(annotations: Mapping[str, str]) -> list[str]:
    """The old way to name a class, on volumes and claims."""
    if CLASS_ANNOTATION not in annotations:
        return []
    path = f"metadata.annotations[{CLASS_ANNOTATION}]"
    return [f'{path}: deprecated since v1.8; use "storageClassName" attribute instead']
