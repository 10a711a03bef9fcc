"""Security contexts of pods and containers, and rules that depend on the pod's operating system.

AllowPrivileged is taken as true: clusters forbid privileged pods by policy, not here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import gostruct, names
from apiserver.validation.pod import paths, sysctls
from apiserver.validation.pod.options import PodOptions, containers_with_path

Obj = Mapping[str, Any]

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROC_MOUNTS = ("Default", "Unmasked")
_PATH_MAX = 4095
_DRAWN = gostruct.value("v1/Pod", "spec", "containers", "securityContext")  # as messages show it


def validate_pod_context(security: Obj | None, spec: Obj, path: str, options: PodOptions) -> list[FieldError]:
    """A pod's own security context; spec tells about host namespaces. path: that of the context."""
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        shared = [field.invalid(path + ".shareProcessNamespace", True, text)]
    else:
        shared = []
    if not security:
        return shared
    errors: list[FieldError] = []
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        if (value := security.get(name)) is not None:
            errors += [field.invalid(f"{path}.{name}", value, text) for text in names.user_or_group_id(value)]
    for position, value in enumerate(security.get("supplementalGroups") or ()):
        at = f"{path}.supplementalGroups[{position}]"
        errors += [field.invalid(at, value, text) for text in names.user_or_group_id(value)]
    errors += shared
    if items := security.get("sysctls"):
        errors += sysctls.validate(items, spec, path + ".sysctls", allow_host=options.host_namespace_sysctls)
    errors += _choice(security, "fsGroupChangePolicy", ("Always", "OnRootMismatch"), path)
    errors += _profiles(security, path)
    errors += _choice(security, "supplementalGroupsPolicy", ("Merge", "Strict"), path)
    policies = ("MountOption", "Recursive") if options.any_selinux_policy else ("Recursive",)
    errors += _choice(security, "seLinuxChangePolicy", policies, path)
    return errors


def _choice(obj: Obj, name: str, allowed: tuple[str, ...], path: str) -> list[FieldError]:
    value = obj.get(name)
    if value is None or value in allowed:
        return []
    return [field.not_supported(f"{path}.{name}", value, allowed)]


def _profiles(security: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if (profile := security.get("seccompProfile")) is not None:
        errors += _seccomp(profile, path + ".seccompProfile")
    if windows := security.get("windowsOptions"):
        errors += _windows(windows, path + ".windowsOptions")
    if (profile := security.get("appArmorProfile")) is not None:
        errors += validate_app_armor(profile, path + ".appArmorProfile")
    return errors


def validate_container_context(security: Obj, path: str, *, host_users: bool) -> list[FieldError]:
    """A container's security context. host_users: whether the pod shares the host's user namespace."""
    errors: list[FieldError] = []
    for name in ("runAsUser", "runAsGroup"):
        if (value := security.get(name)) is not None:
            errors += [field.invalid(f"{path}.{name}", value, text) for text in names.user_or_group_id(value)]
    if (mount := security.get("procMount")) is not None:
        if mount not in _PROC_MOUNTS:
            errors.append(field.not_supported(path + ".procMount", mount, _PROC_MOUNTS))
        if host_users and mount == "Unmasked":
            errors.append(field.invalid(path + ".procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    if security.get("seccompProfile") is not None:
        errors += _seccomp(security["seccompProfile"], path + ".seccompProfile")
    if security.get("allowPrivilegeEscalation") is False:
        if security.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(field.invalid(path, _DRAWN(security), text))
        for capability in (security.get("capabilities") or {}).get("add") or ():
            if capability == "CAP_SYS_ADMIN":
                text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
                errors.append(field.invalid(path, _DRAWN(security), text))
    if security.get("windowsOptions"):
        errors += _windows(security["windowsOptions"], path + ".windowsOptions")
    if security.get("appArmorProfile") is not None:
        errors += validate_app_armor(security["appArmorProfile"], path + ".appArmorProfile")
    return errors


def _seccomp(profile: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        errors.append(field.required(path + ".type", "type is required when seccompProfile is set"))
    elif kind not in _PROFILES:
        errors.append(field.not_supported(path + ".type", kind, _PROFILES))
    if kind == "Localhost":
        if local is None:
            errors.append(field.required(path + ".localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            errors += paths.local_descending(local, path + ".localhostProfile")
    elif local is not None:
        drawn = {"Type": kind, "LocalhostProfile": local}
        errors.append(
            field.invalid(path + ".localhostProfile", drawn, "can only be set when seccomp type is Localhost")
        )
    return errors


def validate_app_armor(profile: Obj, path: str) -> list[FieldError]:
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    at = path + ".localhostProfile"
    if kind == "Localhost":
        if local is None:
            return [field.required(at, "must be set when AppArmor type is Localhost")]
        errors: list[FieldError] = []
        if local.strip() != local:
            errors.append(field.invalid(at, local, "must not be padded with whitespace"))
        elif not local:
            errors.append(field.required(at, "must be set when AppArmor type is Localhost"))
        if len(local.encode()) > _PATH_MAX:
            errors.append(field.too_long(at, _PATH_MAX))
        return errors
    if kind in _PROFILES:
        text = "can only be set when AppArmor type is Localhost"
        return [] if local is None else [field.invalid(at, field.Pointed(local), text)]
    if not kind:
        return [field.required(path + ".type", "type is required when appArmorProfile is set")]
    return [field.not_supported(path + ".type", kind, _PROFILES)]


# -- Windows

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS_DOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_BAD_USER = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_DOTS_AND_SPACES = re.compile(r"[. ]+")
_SPEC_KIB = 64
_DOMAIN_LIMIT, _USER_LIMIT = 256, 104


def _windows(options: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if (name := options.get("gmsaCredentialSpecName")) is not None:
        shown = field.Pointed(name)
        errors += [field.invalid(path + ".gmsaCredentialSpecName", shown, text) for text in names.dns_subdomain(name)]
    if (spec := options.get("gmsaCredentialSpec")) is not None:
        at = path + ".gmsaCredentialSpec"
        if not spec:
            errors.append(field.invalid(at, spec, "gmsaCredentialSpec cannot be an empty string"))
        elif len(spec.encode()) > _SPEC_KIB * 1024:
            text = f"gmsaCredentialSpec size must be under {_SPEC_KIB} KiB"
            errors.append(field.invalid(at, field.Pointed(spec), text))
    if (user := options.get("runAsUserName")) is not None:
        shown = field.Pointed(user)
        errors += [field.invalid(path + ".runAsUserName", shown, text) for text in _windows_user(user)]
    return errors


def _windows_user(value: str) -> list[str]:
    if not value:
        return ["runAsUserName cannot be an empty string"]
    if _CONTROL.search(value):
        return ["runAsUserName cannot contain control characters"]
    parts = value.split("\\")
    if len(parts) > 2:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, user = parts if len(parts) == 2 else ("", parts[0])
    texts = []
    if len(domain.encode()) >= _DOMAIN_LIMIT:
        texts.append(f"runAsUserName's Domain length must be under {_DOMAIN_LIMIT} characters")
    if len(parts) == 2 and not (_NETBIOS.fullmatch(domain) or _DNS_DOMAIN.fullmatch(domain)):
        texts.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        texts.append("runAsUserName's User cannot be empty")
    elif len(user.encode()) > _USER_LIMIT:
        texts.append(f"runAsUserName's User length must not be longer than {_USER_LIMIT} characters")
    if _DOTS_AND_SPACES.fullmatch(user):
        texts.append("runAsUserName's User cannot contain only periods or spaces")
    if _BAD_USER.search(user):
        texts.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return texts


def validate_host_process(spec: Obj, path: str) -> list[FieldError]:
    """Windows host-process containers: all or none, and only with the host's network."""
    pod_wide = _host_process(spec.get("securityContext"))
    errors: list[FieldError] = []
    total = count = 0
    for container, at in containers_with_path(spec, path):
        total += 1
        own = _host_process(container.get("securityContext"))
        if pod_wide is not None and own is not None and pod_wide != own:
            was = "true" if pod_wide else "false"
            text = f"pod hostProcess value must be identical if both are specified, was {was}"
            errors.append(field.invalid(at + ".securityContext.windowsOptions.hostProcess", own, text))
        count += bool(own if own is not None else pod_wide)
    if count:
        if count != total:
            text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
            errors.append(field.invalid(path, "", text))
        if not spec.get("hostNetwork"):
            text = "hostNetwork must be true if pod contains any hostProcess containers"
            errors.append(field.invalid(path + ".hostNetwork", False, text))
    return errors


def _host_process(security: Obj | None) -> bool | None:
    options = (security or {}).get("windowsOptions")
    value = options.get("hostProcess") if options else None
    return value if isinstance(value, bool) else None


# -- operating systems

_NOT_ON_WINDOWS_POD = (
    "appArmorProfile",
    "seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "shareProcessNamespace",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
_OF_SPEC = {"hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"}
_NOT_ON_WINDOWS_CONTAINER = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def validate_os(spec: Obj, path: str) -> list[FieldError]:
    """spec.os, and the fields that the named system does not have."""
    name = spec["os"].get("name") or ""
    if not name:
        return [field.required(path + ".os.name")]
    if name not in ("linux", "windows"):
        return [field.not_supported(path + ".os", name, ("linux", "windows"))]
    security = spec.get("securityContext") or {}
    errors: list[FieldError] = []
    if name == "linux":
        text = "windows options cannot be set for a linux pod"
        if security.get("windowsOptions") is not None:
            errors.append(field.forbidden(path + ".securityContext.windowsOptions", text))
        for container, at in containers_with_path(spec, path):
            if (container.get("securityContext") or {}).get("windowsOptions") is not None:
                errors.append(field.forbidden(at + ".securityContext.windowsOptions", text))
        return errors
    text = "cannot be set for a windows pod"
    for key in _NOT_ON_WINDOWS_POD:
        value = spec.get(key) if key in _OF_SPEC else security.get(key)
        if value is not None and not (key in ("hostPID", "hostIPC", "sysctls") and not value):
            errors.append(
                field.forbidden(f"{path}.{key}" if key in _OF_SPEC else f"{path}.securityContext.{key}", text)
            )
    for container, at in containers_with_path(spec, path):
        own = container.get("securityContext") or {}
        for key in _NOT_ON_WINDOWS_CONTAINER:
            if own.get(key) is not None:
                errors.append(field.forbidden(f"{at}.securityContext.{key}", text))
    return errors


def validate_user_namespace(spec: Obj, path: str, options: PodOptions) -> list[FieldError]:
    """What a pod with a user namespace of its own cannot have."""
    if spec.get("hostUsers") is not False:
        return []
    text = "when `hostUsers` is false"
    errors = [
        field.forbidden(f"{path}.{shown}", text)
        for key, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
        if spec.get(key)
    ]
    if not options.user_namespace_devices:
        for container, at in containers_with_path(spec, path):
            if container.get("volumeDevices"):
                errors.append(field.forbidden(at + ".volumeDevices", text))
    return errors
