"""Security contexts: from a pod's and a container's wishes to the CRI's message, faithfully or not at all.

Called when sandbox and container configurations are made. What cannot be honoured on this node is refused (Refused), never
dropped: a container that believes itself confined must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodeagent import podspec
from nodeagent.cri import runtime_pb2 as pb

Obj = dict[str, Any]

# What the runtime hides or makes read-only of /proc and /sys unless procMount is Unmasked.
MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
APPARMOR = Path("/sys/kernel/security/apparmor")


class Refused(Exception):
    """The node cannot honour what is asked; the text goes into the container's status."""


def effective(pod: Obj, container: Mapping[str, Any]) -> Obj:
    """The container's security context with the pod's where it says nothing itself."""
    outer = pod["spec"].get("securityContext") or {}
    inner = container.get("securityContext") or {}
    names = ("runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions", "seccompProfile", "appArmorProfile")
    inherited = {name: outer[name] for name in names if outer.get(name) is not None}
    return {**inherited, **{name: value for name, value in inner.items() if value is not None}}


def check_non_root(pod: Obj, container: Mapping[str, Any], image_uid: int | None, image_user: str) -> None:
    """Refuse a container that must not run as root and would, or whose image does not tell. Texts as the original's."""
    context = effective(pod, container)
    if not context.get("runAsNonRoot"):
        return
    where = f"(pod: {podspec_quote(pod)}, container: {container['name']})"
    if context.get("runAsUser") is not None:
        if context["runAsUser"] == 0:
            raise Refused(f"container's runAsUser breaks non-root policy {where}")
        return
    if image_uid is not None and image_uid == 0:
        raise Refused(f"container has runAsNonRoot and image will run as root {where}")
    if image_uid is None and image_user:
        raise Refused(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root {where}"
        )
    if image_uid is None:
        raise Refused(f"container has runAsNonRoot and image will run as root {where}")


def podspec_quote(pod: Obj) -> str:
    return f'"{podspec.describe(pod)}"'


def namespaces(pod: Obj, *, target: str = "") -> Any:
    """Namespace options. target: id of the container whose processes an ephemeral container is to see."""
    spec = pod["spec"]
    options = pb.NamespaceOption(
        network=pb.NODE if spec.get("hostNetwork") else pb.POD,
        ipc=pb.NODE if spec.get("hostIPC") else pb.POD,
        pid=pb.CONTAINER,
    )
    if spec.get("hostPID"):
        options.pid = pb.NODE
    elif spec.get("shareProcessNamespace"):
        options.pid = pb.POD
    if target:
        options.pid = pb.TARGET
        options.target_id = target
    return options


def refuse_unsupported(pod: Obj, *, user_namespaces: bool) -> None:
    """Refuse a pod that needs what the runtime lacks."""
    if pod["spec"].get("hostUsers") is False and not user_namespaces:
        raise Refused("runtime does not support user namespaces")


def seccomp(profile: Obj | None, *, privileged: bool, seccomp_dir: Path) -> Any:
    """The seccomp profile message; unconfined when nothing is asked, as the original without --seccomp-default."""
    unconfined = pb.SecurityProfile(profile_type=pb.SecurityProfile.Unconfined)
    if privileged or not profile:
        return unconfined
    kind = profile.get("type")
    if kind == "RuntimeDefault":
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault)
    if kind == "Localhost":
        path = seccomp_dir / (profile.get("localhostProfile") or "")
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.Localhost, localhost_ref=str(path))
    return unconfined


def apparmor(profile: Obj | None) -> Any:
    """The AppArmor profile message or None; Refused where the host has no AppArmor and confinement is asked for."""
    if not profile:
        return None
    kind = profile.get("type")
    if kind == "Unconfined":
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.Unconfined)
    if not APPARMOR.is_dir():
        raise Refused("Cannot enforce AppArmor: AppArmor is not enabled on the host")
    if kind == "RuntimeDefault":
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault)
    return pb.SecurityProfile(
        profile_type=pb.SecurityProfile.Localhost, localhost_ref=profile.get("localhostProfile") or ""
    )


def supplemental_groups(pod: Obj) -> list[int]:
    """The pod's extra groups, its fsGroup among them."""
    context = pod["spec"].get("securityContext") or {}
    groups = [int(group) for group in context.get("supplementalGroups") or ()]
    if context.get("fsGroup") is not None:
        groups.append(int(context["fsGroup"]))
    return groups


def _selinux(options: Obj) -> Any:
    return pb.SELinuxOption(**{key: options.get(key) or "" for key in ("user", "role", "type", "level")})


def container_context(
    pod: Obj, container: Mapping[str, Any], *, image_uid: int | None, image_user: str, target: str, seccomp_dir: Path
) -> Any:
    """The CRI's LinuxContainerSecurityContext. Refused when it cannot be honoured."""
    check_non_root(pod, container, image_uid, image_user)
    context = effective(pod, container)
    privileged = bool(context.get("privileged"))
    result = pb.LinuxContainerSecurityContext(
        privileged=privileged,
        namespace_options=namespaces(pod, target=target),
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        no_new_privs=context.get("allowPrivilegeEscalation") is False,
        supplemental_groups=supplemental_groups(pod),
        seccomp=seccomp(context.get("seccompProfile"), privileged=privileged, seccomp_dir=seccomp_dir),
    )
    if context.get("runAsUser") is not None:
        result.run_as_user.value = context["runAsUser"]
    elif image_uid is not None:
        result.run_as_user.value = image_uid
    elif image_user:
        result.run_as_username = image_user
    else:
        result.run_as_user.value = 0
    if context.get("runAsGroup") is not None:
        result.run_as_group.value = context["runAsGroup"]
        if not result.HasField("run_as_user") and not result.run_as_username:
            result.run_as_user.value = 0
    if (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict":
        result.supplemental_groups_policy = pb.Strict
    if context.get("procMount") != "Unmasked" and not privileged:
        result.masked_paths.extend(MASKED)
        result.readonly_paths.extend(READ_ONLY)
    capabilities = context.get("capabilities") or {}
    if capabilities:
        result.capabilities.add_capabilities.extend(capabilities.get("add") or ())
        result.capabilities.drop_capabilities.extend(capabilities.get("drop") or ())
    if context.get("seLinuxOptions"):
        result.selinux_options.CopyFrom(_selinux(context["seLinuxOptions"]))
    profile = apparmor(context.get("appArmorProfile"))
    if profile is not None:
        result.apparmor.CopyFrom(profile)
    return result


def sandbox_context(pod: Obj, *, seccomp_dir: Path) -> Any:
    """The CRI's LinuxSandboxSecurityContext: privileged where any container is, since it must share its namespaces."""
    context = pod["spec"].get("securityContext") or {}
    privileged = any((c.get("securityContext") or {}).get("privileged") for _, c in podspec.containers(pod))
    result = pb.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        supplemental_groups=supplemental_groups(pod),
        privileged=privileged,
        # The sandbox's own program needs nothing that the default profile forbids.
        seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
    )
    if privileged:
        result.seccomp.CopyFrom(seccomp(None, privileged=True, seccomp_dir=seccomp_dir))
    if context.get("runAsUser") is not None:
        result.run_as_user.value = context["runAsUser"]
    if context.get("runAsGroup") is not None:
        result.run_as_user.value = context.get("runAsUser") or 0
        result.run_as_group.value = context["runAsGroup"]
    if context.get("supplementalGroupsPolicy") == "Strict":
        result.supplemental_groups_policy = pb.Strict
    if context.get("seLinuxOptions"):
        result.selinux_options.CopyFrom(_selinux(context["seLinuxOptions"]))
    return result
