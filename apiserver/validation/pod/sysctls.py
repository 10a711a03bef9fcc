"""Kernel parameters of a pod: their names, and which of them a pod in a host's namespace may not set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError

_LIMIT = 253
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_NAME_TEXT = rf"({_SEGMENT}[\./])*{_SEGMENT}"
_NAME = re.compile(_NAME_TEXT)
_IPC = frozenset(
    "kernel." + name
    for name in ("sem", "shm", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "msg", "msgmax", "msgmnb", "msgmni")
)


def namespace(name: str) -> str:
    """The kernel namespace that a parameter belongs to: "ipc", "net" or "" (none, or unknown)."""
    normal = _normalized(name).partition("*")[0]
    if normal in _IPC or normal.startswith("fs.mqueue."):
        return "ipc"
    return "net" if normal.startswith("net.") else ""


def _normalized(name: str) -> str:
    """With dots as separators; when a slash comes first, slashes separate and dots belong to the names."""
    first = next((char for char in name if char in "./"), ".")
    if first == ".":
        return name
    return name.translate(str.maketrans("./", "/."))


def host_fault(name: str, spec: Mapping[str, Any]) -> str:
    """Why a pod with that spec may not set the parameter, or ""."""
    owner = namespace(name)
    if owner == "net" and spec.get("hostNetwork"):
        return "may not be specified when 'hostNetwork' is true"
    if owner == "ipc" and spec.get("hostIPC"):
        return "may not be specified when 'hostIPC' is true"
    return ""


def validate(
    items: Sequence[Mapping[str, Any]], spec: Mapping[str, Any], path: str, *, allow_host: bool
) -> list[FieldError]:
    """securityContext.sysctls of a pod."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, item in enumerate(items):
        at, name = f"{path}[{position}].name", item.get("name") or ""
        if not name:
            errors.append(field.required(at))
        elif len(name) > _LIMIT or not _NAME.fullmatch(name):
            text = f"must have at most {_LIMIT} characters and match regex ^{_NAME_TEXT}$"
            errors.append(field.invalid(at, name, text))
        elif name in seen:
            errors.append(field.duplicate(at, name))
        if not allow_host and (fault := host_fault(name, spec)):
            errors.append(field.invalid(at, name, fault))
        seen.add(name)
    return errors
