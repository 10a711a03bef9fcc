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

Obj = Mapping[str, Any]
Annotations = Mapping[str, str]

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_COST = re.compile("[+-]?[0-9]+")


def has_invalid_deletion_cost(annotations: Annotations) -> bool:
    value = annotations.get(DELETION_COST)
    if value is None:
        return False
    if not _COST.fullmatch(value) or len(value) > 40 or not -(2**31) <= int(value) < 2**31:
        return True
    return value.startswith("+") or (len(value.lstrip("-")) > 1 and value.lstrip("-").startswith("0"))


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
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return [field.invalid(path, TOLERATIONS, str(error))]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        return [field.invalid(path, TOLERATIONS, "json: cannot unmarshal into Go value of type []core.Toleration")]
    return scheduling.validate_tolerations(given, f"{path}.{TOLERATIONS}")


def _seccomp(profile: str, path: str) -> list[FieldError]:
    if profile in ("runtime/default", "docker/default", "unconfined"):
        return []
    if profile.startswith("localhost/"):
        return paths.local_descending(profile.removeprefix("localhost/"), path)
    return [field.invalid(path, profile, "must be a valid seccomp profile")]


def validate_update(new: Annotations, old: Annotations) -> list[FieldError]:
    """Annotations of a Pod that may not come, go or change."""
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
