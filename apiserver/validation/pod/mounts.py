"""Volume mounts and block devices of a container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation.pod import paths

Obj = Mapping[str, Any]
Volumes = Mapping[str, Obj]

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_PLAIN = frozenset(("name", "mountPath", "readOnly"))
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def validate_mounts(container: Obj, volumes: Volumes, path: str) -> list[FieldError]:
    """container.volumeMounts; volumes: those of the pod that are valid, by name."""
    mounts: Sequence[Obj] = container["volumeMounts"]
    devices = container.get("volumeDevices")
    device_paths = {device.get("name"): device.get("devicePath") for device in devices} if devices else {}
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, mount in enumerate(mounts):
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        unique = target not in seen
        seen.add(target)
        if unique and target and name in volumes and not devices and mount.keys() <= _PLAIN:
            continue
        at = f"{path}[{position}]"
        if not name:
            errors.append(field.required(at + ".name"))
        if name not in volumes:
            errors.append(field.not_found(at + ".name", name))
        if not target:
            errors.append(field.required(at + ".mountPath"))
        if not unique:
            errors.append(field.invalid(at + ".mountPath", target, "must be unique"))
        if name in device_paths:
            errors.append(field.invalid(at + ".name", name, "must not already exist in volumeDevices"))
        if target in device_paths.values():
            errors.append(field.invalid(at + ".mountPath", target, "must not already exist as a path in volumeDevices"))
        errors += _parts(mount, container, path, at)
    return errors


def _parts(mount: Obj, container: Obj, path: str, at: str) -> list[FieldError]:
    """Sub-paths and propagation; the original leaves the index out of some of these paths."""
    errors: list[FieldError] = []
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    if sub:
        errors += paths.local_descending(sub, path + ".subPath")
    if expression:
        if sub:
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(field.invalid(at + ".subPathExpr", expression, text))
        errors += paths.local_descending(expression, path + ".subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        if propagation not in _PROPAGATIONS:
            errors.append(field.not_supported(path + ".mountPropagation", propagation, _PROPAGATIONS))
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            text = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(field.forbidden(path + ".mountPropagation", text))
    recursive = mount.get("recursiveReadOnly")
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            errors.append(field.forbidden(path + ".recursiveReadOnly", "may only be specified when readOnly is true"))
        if propagation not in (None, "None"):
            text = "may only be specified when mountPropagation is None or not specified"
            errors.append(field.forbidden(path + ".recursiveReadOnly", text))
    elif recursive not in (None, "Disabled"):
        errors.append(field.not_supported(path + ".recursiveReadOnly", recursive, _RECURSIVE))
    return errors


def validate_devices(container: Obj, volumes: Volumes, path: str) -> list[FieldError]:
    """container.volumeDevices: block volumes, which only claims can be."""
    mounts = {mount.get("name"): mount.get("mountPath") for mount in container.get("volumeMounts") or ()}
    errors: list[FieldError] = []
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for position, device in enumerate(container["volumeDevices"]):
        at = f"{path}[{position}]"
        name, target = device.get("name") or "", device.get("devicePath") or ""
        volume = volumes.get(name)
        if not name:
            errors.append(field.required(at + ".name"))
        if name in seen_names:
            errors.append(field.invalid(at + ".name", name, "must be unique"))
        if volume is None:
            errors.append(field.not_found(at + ".name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(field.invalid(at + ".name", name, text))
        if not target:
            errors.append(field.required(at + ".devicePath"))
        if target in seen_paths:
            errors.append(field.invalid(at + ".devicePath", target, "must be unique"))
        if target and paths.no_backsteps(target, ""):
            errors.append(field.invalid(at + ".devicePath", target, "can not contain backsteps ('..')"))
        else:
            seen_paths.add(target)
        if name in mounts:
            errors.append(field.invalid(at + ".name", name, "must not already exist in volumeMounts"))
        if target in mounts.values():
            errors.append(field.invalid(at + ".devicePath", target, "must not already exist as a path in volumeMounts"))
        if name:
            seen_names.add(name)
    return errors
