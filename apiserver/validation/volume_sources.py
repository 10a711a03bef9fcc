"""Volume sources that pods and persistent volumes share, and those that differ only in how they name secrets.

Each function checks one source and gets its path. Texts, and the odd paths that some have, are the original's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import names
from apiserver.validation.pod import paths

Obj = Mapping[str, Any]
Check = Callable[[Obj, str], list[FieldError]]

HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_PARTITION = "must be between 1 and 255, inclusive"
_IQN = re.compile(r"iqn\.[0-9]{4}-[0-9]{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$")
_EUI = re.compile(r"eui.[A-Za-z0-9]{16}$")
_NAA = re.compile(r"naa.[A-Za-z0-9]{32}$")
_PORTAL_LIMIT = 64
_AZURE_CACHING = ("None", "ReadOnly", "ReadWrite")
_AZURE_KINDS = ("Dedicated", "Managed", "Shared")
_AZURE_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_AZURE_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _required(source: Obj, path: str, *fields: str) -> list[FieldError]:
    return [field.required(f"{path}.{name}") for name in fields if not source.get(name)]


def requiring(*fields: str) -> Check:
    """A check that only demands certain fields."""

    def check(source: Obj, path: str) -> list[FieldError]:
        return _required(source, path, *fields)

    return check


def _secret_ref(source: Obj, path: str, *, namespaced: bool) -> list[FieldError]:
    if (reference := source.get("secretRef")) is None:
        return []
    return _required(reference, path + ".secretRef", "name", *(("namespace",) if namespaced else ()))


def host_path(source: Obj, path: str) -> list[FieldError]:
    if not (target := source.get("path") or ""):
        return [field.required(path + ".path")]
    errors = paths.no_backsteps(target, path + ".path")
    if (kind := source.get("type")) is not None and kind not in HOST_PATH_TYPES:
        errors.append(field.not_supported(path + ".type", kind, HOST_PATH_TYPES))
    return errors


def nfs(source: Obj, path: str) -> list[FieldError]:
    errors = _required(source, path, "server", "path")
    if not (target := source.get("path") or "").startswith("/"):
        errors.append(field.invalid(path + ".path", target, "must be an absolute path"))
    return errors


def _disk(field_name: str) -> Check:
    def check(source: Obj, path: str) -> list[FieldError]:
        errors = _required(source, path, field_name)
        if not 0 <= (partition := source.get("partition") or 0) <= 255:
            errors.append(field.invalid(path + ".partition", partition, _PARTITION))
        return errors

    return check


gce_disk = _disk("pdName")
aws_disk = _disk("volumeID")


def fc(source: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    targets, wwids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    if not targets and not wwids:
        text = "must specify either targetWWNs or wwids, but not both"
        errors.append(field.required(path + ".targetWWNs", text))
    if targets and wwids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errors.append(field.invalid(path + ".targetWWNs", targets, text))
    if targets:
        if lun is None:
            errors.append(field.required(path + ".lun", "lun is required if targetWWNs is specified"))
        else:
            errors += [field.invalid(path + ".lun", lun, text) for text in names.in_range(lun, 0, 255)]
    return errors


def quobyte(source: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    registry = source.get("registry") or ""
    text = "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        errors.append(field.required(path + ".registry", text))
    elif len(source.get("tenant") or "") >= 65:
        too_long = "must be a UUID and may not exceed a length of 64 characters"
        errors.append(field.required(path + ".tenant", too_long))
    else:
        for pair in registry.split(","):
            if not _HOST_PORT.fullmatch(pair):
                errors.append(field.invalid(path + ".registry", registry, text))
    return errors + _required(source, path, "volume")


_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*")


def glusterfs(source: Obj, path: str) -> list[FieldError]:
    return _required(source, path, "endpoints", "path")


def glusterfs_persistent(source: Obj, path: str) -> list[FieldError]:
    errors = glusterfs(source, path)
    if (namespace := source.get("endpointsNamespace")) is not None:
        at = path + ".endpointsNamespace"
        if not namespace:
            text = "if the endpointnamespace is set, it must be a valid namespace name"
            errors.append(field.invalid(at, namespace, text))
        else:
            errors += [field.invalid(at, namespace, text) for text in names.dns_label(namespace)]
    return errors


def flocker(source: Obj, path: str) -> list[FieldError]:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    errors: list[FieldError] = []
    if not name and not uuid:
        errors.append(field.required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        errors.append(field.invalid(path, "resource", text))
    if "/" in name:
        errors.append(field.invalid(path + ".datasetName", name, "must not contain '/'"))
    return errors


def cinder(source: Obj, path: str) -> list[FieldError]:
    return _required(source, path, "volumeID") + _secret_ref(source, path, namespaced=False)


def cinder_persistent(source: Obj, path: str) -> list[FieldError]:
    return _required(source, path, "volumeID") + _secret_ref(source, path, namespaced=True)


def flex(source: Obj, path: str) -> list[FieldError]:
    errors = _required(source, path, "driver")
    for key in source.get("options") or ():
        if ("." + key.partition("/")[0].lower()).endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            errors.append(field.invalid(f"{path}.options[{key}]", key, text))
    return errors


def azure_file_persistent(source: Obj, path: str) -> list[FieldError]:
    errors = _required(source, path, "secretName", "shareName")
    if source.get("secretNamespace") == "":
        errors.append(field.required(path + ".secretNamespace"))
    return errors


def azure_disk(source: Obj, path: str) -> list[FieldError]:
    errors = _required(source, path, "diskName", "diskURI")
    caching, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI") or ""
    if caching is not None and caching not in _AZURE_CACHING:
        errors.append(field.not_supported(path + ".cachingMode", caching, _AZURE_CACHING))
    if kind is not None and kind not in _AZURE_KINDS:
        errors.append(field.not_supported(path + ".kind", kind, _AZURE_KINDS))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.append(field.not_supported(path + ".diskURI", uri, (_AZURE_MANAGED,)))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        errors.append(field.not_supported(path + ".diskURI", uri, (_AZURE_BLOB,)))
    return errors


def storageos(source: Obj, path: str) -> list[FieldError]:
    return _storageos(source, path) + _secret_ref(source, path, namespaced=False)


def storageos_persistent(source: Obj, path: str) -> list[FieldError]:
    return _storageos(source, path) + _secret_ref(source, path, namespaced=True)


def _storageos(source: Obj, path: str) -> list[FieldError]:
    errors = _required(source, path, "volumeName")
    for key in ("volumeName", "volumeNamespace"):
        if value := source.get(key):
            errors += [field.invalid(f"{path}.{key}", value, text) for text in names.dns_label(value)]
    return errors


scale_io = requiring("gateway", "system", "volumeName")
rbd = requiring("monitors", "image")


def csi_driver_name(name: str, path: str) -> list[FieldError]:
    """The name of a CSI driver, which case does not matter for."""
    if not name:
        return [field.required(path)]
    errors = [field.too_long(path, 63)] if len(name.encode()) > 63 else []
    return errors + [field.invalid(path, name, text) for text in names.dns_subdomain(name.lower())]


def csi(source: Obj, path: str) -> list[FieldError]:
    """An inline CSI volume of a pod."""
    errors = csi_driver_name(source.get("driver") or "", path + ".driver")
    if (reference := source.get("nodePublishSecretRef")) is not None:
        if not (name := reference.get("name") or ""):
            errors.append(field.required(path + ".nodePublishSecretRef.name"))
        else:
            errors += [field.invalid(path + ".name", name, text) for text in names.dns_subdomain(name)]
    return errors


def csi_persistent(source: Obj, path: str) -> list[FieldError]:
    errors = csi_driver_name(source.get("driver") or "", path + ".driver") + _required(source, path, "volumeHandle")
    for key in (
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):
        if (reference := source.get(key)) is None:
            continue
        for part, check in (("name", names.dns_subdomain), ("namespace", names.dns_label)):
            at, value = f"{path}.{key}.{part}", reference.get(part) or ""
            errors += [field.invalid(at, value, text) for text in check(value)] if value else [field.required(at)]
    return errors


# -- iSCSI


def iscsi(source: Obj, path: str, volume: str) -> list[FieldError]:
    """A pod's iSCSI volume; volume: its name, which counts towards a length limit. path: that of the volume."""
    at, text = path + ".iscsi", "must be valid format starting with iqn, eui, or naa"
    errors = _required(source, at, "targetPortal")
    errors += _iscsi_target(source, at, text) + _iscsi_initiator(source, at, text)
    return errors + iscsi_name_length(source, path, volume)


def iscsi_name_length(source: Obj, path: str, volume: str) -> list[FieldError]:
    """What holds for a pod's iSCSI volume even where another source is the one that counts."""
    return [field.invalid(path + ".name", volume, _TOO_LONG)] if _too_long(source, volume) else []


def iscsi_persistent(source: Obj, path: str, volume: str) -> list[FieldError]:
    """As iscsi, for a persistent volume. path: that of the source."""
    errors = _required(source, path, "targetPortal")
    if _too_long(source, volume):
        errors.append(field.invalid(path + ".targetportal", source.get("targetPortal") or "", _TOO_LONG))
    errors += _iscsi_target(source, path, "must be valid format")
    if (reference := source.get("secretRef")) is not None:
        errors += _required(reference, path + ".secretRef", "name")
    return errors + _iscsi_initiator(source, path, "must be valid format")


_TOO_LONG = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."


def _too_long(source: Obj, volume: str) -> bool:
    if source.get("initiatorName") is None:
        return False
    return len(f"{volume}:{source.get('targetPortal') or ''}".encode()) > _PORTAL_LIMIT


def _iscsi_target(source: Obj, path: str, text: str) -> list[FieldError]:
    errors: list[FieldError] = []
    iqn = source.get("iqn") or ""
    if not iqn:
        errors.append(field.required(path + ".iqn"))
    elif fault := _iqn_fault(iqn, text):
        errors.append(field.invalid(path + ".iqn", iqn, fault))
    lun = source.get("lun") or 0
    errors += [field.invalid(path + ".lun", lun, text) for text in names.in_range(lun, 0, 255)]
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.append(field.required(path + ".secretRef"))
    return errors


def _iscsi_initiator(source: Obj, path: str, text: str) -> list[FieldError]:
    initiator = source.get("initiatorName")
    if initiator is not None and (fault := _iqn_fault(initiator, text)):
        return [field.invalid(path + ".initiatorname", initiator, fault)]
    return []


def _iqn_fault(value: str, text: str) -> str:
    for prefix, pattern in (("iqn", _IQN), ("eui", _EUI), ("naa", _NAA)):
        if value.startswith(prefix):
            found = pattern.search(value) if prefix == "iqn" else pattern.match(value)
            return "" if found else "must be valid format"
    return text
