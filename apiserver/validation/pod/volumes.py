"""spec.volumes of a pod or template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import claims, labels, names, resources
from apiserver.validation import volume_sources as sources
from apiserver.validation.pod import containers, env, paths
from apiserver.validation.pod.options import PodOptions

Obj = Mapping[str, Any]
Check = Callable[[Obj, str], list[FieldError]]

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_TOKEN_LEAST, _TOKEN_MOST = 10 * 60, 1 << 32
_DUPLICATE_PATHS = "conflicting duplicate paths"

# The volume that admission gives every pod: comparing with it is much cheaper than checking it once more.
API_ACCESS: dict[str, Any] = {
    "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
            }
        },
    ],
    "defaultMode": 0o644,
}


def validate_volumes(
    volumes: Sequence[Obj], path: str, pod_name: str, options: PodOptions
) -> tuple[dict[str, Obj], list[FieldError]]:
    """(valid volumes by name, errors). path: that of the list. pod_name: "" where it is not known, as in templates."""
    errors: list[FieldError] = []
    valid: dict[str, Obj] = {}
    created = {
        f"{pod_name}-{volume.get('name') or ''}"
        for volume in volumes
        if pod_name and volume.get("ephemeral") is not None
    }
    for position, volume in enumerate(volumes):
        at = f"{path}[{position}]"
        name = volume.get("name") or ""
        found = _source(volume, name, at, pod_name, options)
        if not name:
            found.append(field.required(at + ".name"))
        elif texts := names.dns_label(name):
            found += [field.invalid(at + ".name", name, text) for text in texts]
        if name in valid:
            found.append(field.duplicate(at + ".name", name))
        if found:
            errors += found
        else:
            valid[name] = volume
        if created and (claim := volume.get("persistentVolumeClaim")) and claim.get("claimName") in created:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(field.invalid(at + ".persistentVolumeClaim.claimName", claim["claimName"], text))
    return valid, errors


def _source(volume: Obj, name: str, path: str, pod_name: str, options: PodOptions) -> list[FieldError]:
    """Exactly one source, and that one right."""
    given = [key for key, value in volume.items() if key != "name" and value is not None]
    if not given:
        return [field.required(path, "must specify a volume type")]
    errors: list[FieldError] = []
    if len(given) > 1:
        given.sort(key=_ORDER.index)
    kind, source = given[0], volume[given[0]]
    at = f"{path}.{_PATHS.get(kind, kind)}"
    if kind == "iscsi":
        errors = sources.iscsi(source, path, name)
    elif kind == "projected":
        errors = [] if source == API_ACCESS else _projected(source, at, options)
    elif kind == "ephemeral":
        errors = _ephemeral(source, path, name, pod_name)
    elif kind == "image":
        errors = _image(source, at, options)
    else:
        errors = _CHECKS[kind](source, at)
    for other in given[1:]:
        text = "may not specify more than 1 volume type"
        errors.append(field.forbidden(f"{path}.{_FORBIDDEN_PATHS.get(other, other)}", text))
        if other == "iscsi":
            errors += sources.iscsi_name_length(volume["iscsi"], path, name)
    return errors


def _default_mode(source: Obj, path: str) -> list[FieldError]:
    mode = source.get("defaultMode")
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [field.invalid(path + ".defaultMode", mode, _MODE)]


def _empty_dir(source: Obj, path: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and resources.parse(limit).sign() < 0:
        return [field.forbidden(path + ".sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _git_repo(source: Obj, path: str) -> list[FieldError]:
    errors = [] if source.get("repository") else [field.required(path + ".repository")]
    return errors + paths.local_descending(source.get("directory") or "", path + ".directory")


def _keys(name_field: str) -> Check:
    """Volumes made of a Secret's or ConfigMap's keys."""

    def check(source: Obj, path: str) -> list[FieldError]:
        errors = [] if source.get(name_field) else [field.required(f"{path}.{name_field}")]
        errors += _default_mode(source, path)
        for position, item in enumerate(source.get("items") or ()):
            errors += _key_to_path(item, f"{path}.items[{position}]")
        return errors

    return check


def _key_to_path(item: Obj, path: str) -> list[FieldError]:
    errors = [field.required(f"{path}.{key}") for key in ("key", "path") if not item.get(key)]
    if target := item.get("path") or "":
        errors += paths.local_non_reserved(target, path + ".path")
    if (mode := item.get("mode")) is not None and not 0 <= mode <= 0o777:
        errors.append(field.invalid(path + ".mode", mode, _MODE))
    return errors


def _downward(source: Obj, path: str) -> list[FieldError]:
    errors = _default_mode(source, path)
    for item in source.get("items") or ():
        errors += _downward_file(item, path)
    return errors


def _downward_file(item: Obj, path: str) -> list[FieldError]:
    """One file; the original leaves the item's index out of its path."""
    errors: list[FieldError] = []
    if not (target := item.get("path") or ""):
        errors.append(field.required(path + ".path"))
    errors += paths.local_non_reserved(target, path + ".path")
    reference, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if reference is not None:
        errors += env.validate_field_ref(reference, env.VOLUME_FIELDS, path + ".fieldRef")
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(field.invalid(path, "resource", text))
    elif resource is not None:
        errors += env.validate_resource_ref(resource, path + ".resourceFieldRef", volume=True)
    else:
        errors.append(field.required(path, "one of fieldRef and resourceFieldRef is required"))
    if (mode := item.get("mode")) is not None and not 0 <= mode <= 0o777:
        errors.append(field.invalid(path + ".mode", mode, _MODE))
    return errors


# -- projected volumes


def _projected(source: Obj, path: str, options: PodOptions) -> list[FieldError]:
    errors = _default_mode(source, path)
    seen: set[str] = set()
    for position, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{position}]"
        given = [key for key, value in part.items() if value is not None]
        for key in given:
            inner, where = part[key], f"{at}.{key}"
            if key in ("secret", "configMap"):
                if not inner.get("name"):
                    errors.append(field.required(where + ".name"))
                for number, item in enumerate(inner.get("items") or ()):
                    errors += _key_to_path(item, f"{where}.items[{number}]")
                    errors += _once(item.get("path") or "", seen, path, inner.get("name") or "")
            elif key == "downwardAPI":
                for item in inner.get("items") or ():
                    errors += _downward_file(item, where)
                    errors += _once(item.get("path") or "", seen, path, item.get("path") or "")
            elif key == "serviceAccountToken":
                errors += _token(inner, path, where, options)
            elif key == "clusterTrustBundle":
                errors += _trust_bundle(inner, where) + _once(
                    inner.get("path") or "", seen, path, inner.get("path") or ""
                )
        if len(given) > 1:
            errors.append(field.forbidden(at, "may not specify more than 1 volume type per source"))
    return errors


def _once(target: str, seen: set[str], path: str, value: str) -> list[FieldError]:
    if target and target in seen:
        return [field.invalid(path, value, _DUPLICATE_PATHS)]
    seen.add(target)
    return []


def _token(token: Obj, path: str, at: str, options: PodOptions) -> list[FieldError]:
    """A service account token; path: that of the projected volume, which some errors name."""
    errors: list[FieldError] = []
    seconds, target = token.get("expirationSeconds") or 0, token.get("path") or ""
    if seconds < _TOKEN_LEAST:
        text = "may not specify a duration less than 10 minutes"
        errors.append(field.invalid(at + ".expirationSeconds", seconds, text))
    if seconds > _TOKEN_MOST:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(field.invalid(at + ".expirationSeconds", seconds, text))
    if not target:
        errors.append(field.required(path + ".path"))
    elif not options.nonlocal_token_paths:
        errors += paths.local_non_reserved(target, path + ".path")
    return errors


def _trust_bundle(bundle: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, signer, target = bundle.get("name"), bundle.get("signerName"), bundle.get("path") or ""
    if name is not None and signer is not None:
        errors.append(field.invalid(path, dict(bundle), "only one of name and signerName may be used"))
    elif name is not None:
        if not name:
            errors.append(field.required(path + ".name", "must be a valid object name"))
        for text in names.dns_subdomain(name.rpartition(":")[2]):
            errors.append(field.invalid(path + ".name", name, f"not a valid clustertrustbundlename: {text}"))
        if (selector := bundle.get("labelSelector")) is not None:
            text = "labelSelector must be unset if name is specified"
            errors.append(field.invalid(path + ".labelSelector", selector, text))
    elif signer is not None:
        if not signer:
            errors.append(field.required(path + ".signerName", "must be a valid signer name"))
        errors += labels.validate_label_selector(bundle.get("labelSelector"), path + ".labelSelector")
    else:
        errors.append(field.required(path, "either name or signerName must be specified"))
    if not target:
        errors.append(field.required(path + ".path"))
    return errors + paths.local_non_reserved(target, path + ".path")


# -- others


def _ephemeral(source: Obj, path: str, name: str, pod_name: str) -> list[FieldError]:
    """path: that of the volume."""
    template = source.get("volumeClaimTemplate")
    at = path + ".ephemeral.volumeClaimTemplate"
    errors = [field.required(at)] if template is None else claims.validate_claim_template(template, at)
    if pod_name and name:
        claim = f"{pod_name}-{name}"
        for text in names.dns_subdomain(claim):
            errors.append(field.invalid(path + ".name", name, f"PVC name {field.go_quote(claim)}: {text}"))
    return errors


def _image(source: Obj, path: str, options: PodOptions) -> list[FieldError]:
    errors: list[FieldError] = []
    if options.is_pod and not source.get("reference"):
        errors.append(field.required(path + ".reference"))
    return errors + containers.validate_pull_policy(source.get("pullPolicy") or "", path + ".pullPolicy")


_CHECKS: dict[str, Check] = {
    "emptyDir": _empty_dir,
    "hostPath": sources.host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": sources.gce_disk,
    "awsElasticBlockStore": sources.aws_disk,
    "secret": _keys("secretName"),
    "nfs": sources.nfs,
    "glusterfs": sources.glusterfs,
    "flocker": sources.flocker,
    "persistentVolumeClaim": sources.requiring("claimName"),
    "rbd": sources.rbd,
    "cinder": sources.cinder,
    "cephfs": sources.requiring("monitors"),
    "quobyte": sources.quobyte,
    "downwardAPI": _downward,
    "fc": sources.fc,
    "flexVolume": sources.flex,
    "configMap": _keys("name"),
    "azureFile": sources.requiring("secretName", "shareName"),
    "vsphereVolume": sources.requiring("volumePath"),
    "photonPersistentDisk": sources.requiring("pdID"),
    "portworxVolume": sources.requiring("volumeID"),
    "azureDisk": sources.azure_disk,
    "storageos": sources.storageos,
    "scaleIO": sources.scale_io,
    "csi": sources.csi,
}
_SOURCE_NAMES = """
    emptyDir hostPath gitRepo gcePersistentDisk awsElasticBlockStore secret nfs iscsi glusterfs flocker
    persistentVolumeClaim rbd cinder cephfs quobyte downwardAPI fc flexVolume configMap azureFile vsphereVolume
    photonPersistentDisk portworxVolume azureDisk storageos projected scaleIO csi ephemeral image
"""
_ORDER = _SOURCE_NAMES.split()
_PATHS = {"gcePersistentDisk": "persistentDisk"}  # as the original misnames them
_FORBIDDEN_PATHS = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
