"""Annotations of pods and templates that mean something to the API: mirror pods, deletion cost, old security profiles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation.pod import paths, scheduling
from apiserver.validation.pod.options import PodOptions, containers_with_path
from openapi import jsontext

Obj = Mapping[str, Any]
Annotations = Mapping[str, str]

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_LONGEST = 4096  # digits; Python refuses to read more than 4300
_COST = re.compile("0|-[0-9]+|[1-9][0-9]*")  # what the original reads, after a look at the first character


def has_invalid_deletion_cost(annotations: Annotations) -> bool:
    value = annotations.get(DELETION_COST)
    if value is None:
        return False
    return not _COST.fullmatch(value) or len(value) > _LONGEST or not -(2**31) <= int(value) < 2**31


def validate(annotations: Annotations, spec: Obj, path: str, options: PodOptions) -> list[FieldError]:
    """What a pod's or template's annotations say; path: that of the annotations."""
    errors: list[FieldError] = []
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(field.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], text))
    if given := annotations.get(TOLERATIONS):
        errors += _tolerations(given, path)
    if not options.invalid_deletion_cost and has_invalid_deletion_cost(annotations):
        errors.append(field.invalid(f"{path}[{DELETION_COST}]", annotations[DELETION_COST], "must be a 32bit integer"))
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            errors += _seccomp(value, f"{path}.{key}")
        elif key.startswith(APPARMOR):
            name = key.removeprefix(APPARMOR)
            if all(container.get("name") != name for container, _ in containers_with_path(spec, "")):
                errors.append(field.invalid(f"{path}[{key}]", name, "container not found"))
            if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
                text = f"invalid AppArmor profile name: {field.go_quote(value)}"
                errors.append(field.invalid(f"{path}[{key}]", value, text))
    return errors


def _tolerations(text: str, path: str) -> list[FieldError]:
    try:
        given = _read_tolerations(text)
    except ValueError as problem:
        return [field.invalid(path, TOLERATIONS, str(problem))]
    return scheduling.validate_tolerations(given, f"{path}.{TOLERATIONS}")


_TOLERATION = {  # the internal type's fields by their names, of which case does not matter, with their Go types
    "key": ("key", str, "string"),
    "operator": ("operator", str, "core.TolerationOperator"),
    "value": ("value", str, "string"),
    "effect": ("effect", str, "core.TaintEffect"),
    "tolerationseconds": ("tolerationSeconds", int, "int64"),
}


def _read_tolerations(text: str) -> list[dict[str, Any]]:
    """The list that the text holds; ValueError in Go's words."""
    if problem := jsontext.error(text):
        raise ValueError(problem)
    given = orjson.loads(text)
    if given is None:
        return []
    if not isinstance(given, list):
        raise _mismatch(given, "Go value of type []core.Toleration")
    return [_read_toleration(item) for item in given]


def _read_toleration(item: Any) -> dict[str, Any]:
    if item is None:
        return {}
    if not isinstance(item, dict):
        raise _mismatch(item, "Go value of type core.Toleration")
    out: dict[str, Any] = {}
    for given, value in item.items():
        name, kind, go_type = _TOLERATION.get(given.lower(), ("", object, ""))
        if not name or value is None:
            continue
        if type(value) is not kind:
            raise _mismatch(value, f"Go struct field Toleration.{name[0].upper()}{name[1:]} of type {go_type}")
        out[name] = value
    return out


def _mismatch(value: Any, where: str) -> ValueError:
    words = {bool: "bool", str: "string", dict: "object", list: "array"}
    return ValueError(f"json: cannot unmarshal {words.get(type(value), 'number')} into {where}")


def _seccomp(profile: str, path: str) -> list[FieldError]:
    if profile in ("runtime/default", "docker/default", "unconfined"):
        return []
    if profile.startswith("localhost/"):
        return paths.local_descending(profile.removeprefix("localhost/"), path)
    return [field.invalid(path, profile, "must be a valid seccomp profile")]


def validate_update(pod: Obj, stored: Obj) -> list[FieldError]:
    """Annotations of a Pod: those that may not come, go or change, then what all of them say."""
    new: Annotations = pod["metadata"].get("annotations") or {}
    old: Annotations = stored["metadata"].get("annotations") or {}
    if not new and not old:
        return []
    errors = _changes(new, old)
    options = PodOptions(is_pod=True, invalid_deletion_cost=has_invalid_deletion_cost(old))
    return errors + validate(new, pod.get("spec") or {}, "metadata.annotations", options)


def _changes(new: Annotations, old: Annotations) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in old.items():
        if new.get(key) != value:
            if key.startswith(APPARMOR):
                errors.append(
                    field.forbidden(f"metadata.annotations[{key}]", "may not remove or update AppArmor annotations")
                )
            if key == MIRROR:
                errors.append(
                    field.forbidden(f"metadata.annotations[{key}]", "may not remove or update mirror pod annotation")
                )
    for key in new:
        if key not in old:
            if key.startswith(APPARMOR):
                errors.append(field.forbidden(f"metadata.annotations[{key}]", "may not add AppArmor annotations"))
            if key == MIRROR:
                errors.append(field.forbidden(f"metadata.annotations[{key}]", "may not add mirror pod annotation"))
    return errors


# -- where annotation and field both say it


def profile_of_annotation(value: str) -> dict[str, str] | None:
    """The AppArmor profile that an annotation names, as a field has it; None for what names none."""
    if value == "unconfined":
        return {"type": "Unconfined"}
    if value == "runtime/default":
        return {"type": "RuntimeDefault"}
    name = value.removeprefix("localhost/")
    return {"type": "Localhost", "localhostProfile": name} if name and name != value else None


def validate_profiles_match(annotations: Annotations, spec: Obj, path: str) -> list[FieldError]:
    """Seccomp and AppArmor profiles given both ways must be the same; path: that of the spec."""
    if not any(key.startswith((SECCOMP_POD, SECCOMP_CONTAINER, APPARMOR)) for key in annotations):
        return []
    errors: list[FieldError] = []
    context = spec.get("securityContext") or {}
    pod_profile = context.get("seccompProfile")
    if pod_profile is not None and SECCOMP_POD in annotations:
        errors += _match("seccomp", annotations[SECCOMP_POD], pod_profile, path + ".securityContext.seccompProfile")
    for container, at in containers_with_path(spec, path):
        profile = (container.get("securityContext") or {}).get("seccompProfile")
        value = annotations.get(SECCOMP_CONTAINER + (container.get("name") or ""))
        if profile is not None and value is not None:
            errors += _match("seccomp", value, profile, at + ".securityContext.seccompProfile")
    if (spec.get("os") or {}).get("name") == "windows":
        return errors
    for container, at in containers_with_path(spec, path):
        own = (container.get("securityContext") or {}).get("appArmorProfile")
        profile = own if own is not None else context.get("appArmorProfile")
        value = annotations.get(APPARMOR + (container.get("name") or ""))
        if profile is not None and value is not None:
            errors += _match("apparmor", value, profile, at + ".securityContext.appArmorProfile")
    return errors


def _match(what: str, value: str, profile: Obj, path: str) -> list[FieldError]:
    kind, local = profile.get("type"), profile.get("localhostProfile")
    differs = [field.forbidden(path + ".type", f"{what} type in annotation and field must match")]
    if kind == "Unconfined":
        return [] if value == "unconfined" else differs
    if kind == "RuntimeDefault":
        accepted = ("runtime/default", "docker/default") if what == "seccomp" else ("runtime/default",)
        return [] if value in accepted else differs
    if kind == "Localhost":
        if not value.startswith("localhost/"):
            return differs
        if local is None or value.removeprefix("localhost/") != local:
            text = f"{what} profile in annotation and field must match"
            return [field.forbidden(path + ".localhostProfile", text)]
    return []
