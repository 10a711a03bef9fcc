"""Environment variables of containers, and references to a pod's own fields (which volumes make too)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import names, resources
from apiserver.validation.pod import paths

Obj = Mapping[str, Any]

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_CONVERTIBLE = frozenset(
    (*ENV_FIELDS, *VOLUME_FIELDS, "spec.host", "spec.restartPolicy", "spec.schedulerName", "status.phase")
)
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SUBSCRIPTED = re.compile(r"(.*)\['([^']*)'\]", re.DOTALL)
_MULTIPLES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate_env(variables: Sequence[Obj], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            errors.append(field.required(f"{path}[{position}].name"))
        elif texts := names.relaxed_env_var_name(name):
            errors += [field.invalid(f"{path}[{position}].name", name, text) for text in texts]
        if (source := variable.get("valueFrom")) is not None:
            errors += _value_from(source, variable.get("value") or "", f"{path}[{position}].valueFrom")
    return errors


def _value_from(source: Obj, value: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [name for name in _SOURCES if source.get(name) is not None]
    for name in given:
        part, at = source[name], f"{path}.{name}"
        if name == "fieldRef":
            errors += validate_field_ref(part, ENV_FIELDS, at)
        elif name == "resourceFieldRef":
            errors += validate_resource_ref(part, at, volume=False)
        elif name == "fileKeyRef":
            errors += _file_key(part, at)
        else:
            errors += _key(part, at)
    if not given:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(field.invalid(path, "", text))
    elif value:
        errors.append(field.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(field.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _key(selector: Obj, path: str) -> list[FieldError]:
    """A key of a ConfigMap or Secret."""
    name, key = selector.get("name") or "", selector.get("key") or ""
    errors = [field.invalid(path + ".name", name, text) for text in names.dns_subdomain(name)]
    if not key:
        errors.append(field.required(path + ".key"))
    else:
        errors += [field.invalid(path + ".key", key, text) for text in names.config_map_key(key)]
    return errors


def _file_key(selector: Obj, path: str) -> list[FieldError]:
    """A variable of an environment file in a volume."""
    key, volume, file = (selector.get(name) or "" for name in ("key", "volumeName", "path"))
    errors: list[FieldError] = []
    if not key:
        errors.append(field.required(path + ".key"))
    else:
        errors += [field.invalid(path + ".key", key, text) for text in names.relaxed_env_var_name(key)]
    if not volume:
        errors.append(field.required(path + ".volumeName"))
    else:
        errors += [field.invalid(path + ".volumeName", volume, text) for text in names.dns_label(volume)]
    return errors + (paths.no_backsteps(file, path + ".path") if file else [field.required(path + ".path")])


def validate_env_from(sources: Sequence[Obj], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, source in enumerate(sources):
        at = f"{path}[{position}]"
        if prefix := source.get("prefix"):
            errors += [field.invalid(at + ".prefix", prefix, text) for text in names.relaxed_env_var_name(prefix)]
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            target = source[name].get("name") or ""
            if not target:
                errors.append(field.required(f"{at}.{name}.name"))
            else:
                texts = names.dns_subdomain(target, True)
                errors += [field.invalid(f"{at}.{name}.name", target, text) for text in texts]
        if not given:
            errors.append(field.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(field.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


# -- references to the pod itself


def validate_field_ref(reference: Obj, allowed: Collection[str], path: str) -> list[FieldError]:
    """An ObjectFieldSelector; allowed: the whole fields that may be named, sorted."""
    version, target = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    if not version:
        return [field.required(path + ".apiVersion")]
    if not target:
        return [field.required(path + ".fieldPath")]
    if version != "v1":
        return [_unconvertible(path, target, f"unsupported pod version: {version}")]
    match = _SUBSCRIPTED.fullmatch(target)
    if not match:
        if target not in _CONVERTIBLE:
            return [_unconvertible(path, target, f"field label not supported: {target}")]
        target = "spec.nodeName" if target == "spec.host" else target
        return [] if target in allowed else [field.not_supported(path + ".fieldPath", target, sorted(allowed))]
    base, subscript = match.groups()
    if base == "metadata.annotations":
        subscript = subscript.lower()
    elif base != "metadata.labels":
        return [_unconvertible(path, target, f"field label does not support subscript: {target}")]
    return [field.invalid(path, subscript, text) for text in names.qualified_name(subscript)]


def _unconvertible(path: str, target: str, text: str) -> FieldError:
    return field.invalid(path + ".fieldPath", target, f"error converting fieldPath: {text}")


def validate_resource_ref(reference: Obj, path: str, *, volume: bool) -> list[FieldError]:
    """A ResourceFieldSelector; in a volume it must say of which container."""
    errors: list[FieldError] = []
    name = reference.get("resource") or ""
    pages = name.startswith(("limits.hugepages-", "requests.hugepages-"))
    if volume and not reference.get("containerName"):
        errors.append(field.required(path + ".containerName"))
    elif not name:
        errors.append(field.required(path + ".resource"))
    elif name not in _RESOURCES and not pages:
        errors.append(field.not_supported(path + ".resource", name, _RESOURCES))
    divisor = resources.parse(reference.get("divisor") or "0")
    if divisor.is_zero():
        return errors
    kind = "hugepages" if pages else name.partition(".")[2] if name in _RESOURCES else ""
    if kind == "cpu":
        if str(divisor) not in ("1m", "1"):
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.append(field.invalid(path + ".divisor", name, text))
    elif kind and str(divisor) not in _MULTIPLES:
        shown = "local ephemeral storage" if kind == "ephemeral-storage" else kind
        text = f"only divisor's values {', '.join(_MULTIPLES)} are supported with the {shown} resource"
        errors.append(field.invalid(path + ".divisor", name, text))
    return errors
