"""The checks of the Pod Security Standards, each a function from a pod to (reason, detail) or None. Pure.

Texts are the original's. BASELINE and RESTRICTED list the checks in the order in which a refusal names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.field import go_quote
from apiserver.admission.podsecurity.policy import Standard
from apiserver.registry.kind import Obj

Finding = tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Pod:
    """What is judged: metadata and spec of a pod or a template, under a standard's minor version."""

    meta: Obj
    spec: Obj
    minor: int

    @property
    def context(self) -> Obj:
        return self.spec.get("securityContext") or {}

    def containers(self) -> Iterator[Obj]:
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(kind) or ()

    def contexts(self) -> Iterator[tuple[str, Obj]]:
        for container in self.containers():
            yield container.get("name", ""), container.get("securityContext") or {}

    @property
    def windows(self) -> bool:
        """Whether it says that it runs on Windows, where some Linux rules mean nothing (from 1.25 on)."""
        return self.minor >= 25 and (self.spec.get("os") or {}).get("name") == "windows"

    @property
    def user_namespace(self) -> bool:
        """Whether root inside is nobody outside (from 1.35 on the standards take that into account)."""
        return self.minor >= 35 and self.spec.get("hostUsers") is False


Check = Callable[[Pod], Finding]


def _plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)  # as they are, whatever is in them


def _containers(names: Sequence[str]) -> str:
    return f"{_plural('container', 'containers', len(names))} {_quoted(names)}"


def _setters(pod_level: bool, names: Sequence[str]) -> str:
    return " and ".join(_parts(pod_level, names))


# -- baseline

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def app_armor(pod: Pod) -> Finding:
    values: set[str] = set()

    def bad(profile: Any) -> bool:
        kind = (profile or {}).get("type")
        if profile is None or kind in ("RuntimeDefault", "Localhost"):
            return False
        values.add(kind or "")
        return True

    setters = _parts(
        bad(pod.context.get("appArmorProfile")), [n for n, c in pod.contexts() if bad(c.get("appArmorProfile"))]
    )
    annotations = [
        f"{key}={go_quote(value)}"
        for key, value in sorted((pod.meta.get("annotations") or {}).items())
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    ]
    if annotations:
        setters.append(_plural("annotation", "annotations", len(annotations)))
    if not setters:
        return None
    kinds = [*sorted(values), *annotations]
    return (
        _plural("forbidden AppArmor profile", "forbidden AppArmor profiles", len(kinds)),
        f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(kinds)}",
    )


def _parts(pod_level: bool, names: Sequence[str]) -> list[str]:
    return [*(["pod"] if pod_level else ()), *([_containers(names)] if names else ())]


_CAPABILITIES = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
_CAPABILITIES |= {"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}


def capabilities_baseline(pod: Pod) -> Finding:
    names, added = [], set()
    for name, context in pod.contexts():
        extra = set((context.get("capabilities") or {}).get("add") or ()) - _CAPABILITIES
        if extra:
            names.append(name)
            added |= extra
    if not names:
        return None
    text = f"{_containers(names)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
    return "non-default capabilities", text


def host_namespaces(pod: Pod) -> Finding:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(field)]
    return ("host namespaces", ", ".join(found)) if found else None


def host_path_volumes(pod: Pod) -> Finding:
    names = [v.get("name", "") for v in pod.spec.get("volumes") or () if v.get("hostPath") is not None]
    return ("hostPath volumes", f"{_plural('volume', 'volumes', len(names))} {_quoted(names)}") if names else None


def host_ports(pod: Pod) -> Finding:
    names, ports = [], set()
    for container in pod.containers():
        found = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if found:
            names.append(container.get("name", ""))
            ports |= found
    if not names:
        return None
    uses, what = _plural("uses", "use", len(names)), _plural("hostPort", "hostPorts", len(ports))
    return "hostPort", f"{_containers(names)} {uses} {what} {', '.join(sorted(ports))}"


def host_probes(pod: Pod) -> Finding:
    if pod.minor < 34:
        return None
    names, hosts = [], set()
    for container in pod.containers():
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(f"{kind}Probe") or {} for kind in ("liveness", "readiness", "startup")]
        handlers += [lifecycle.get(hook) or {} for hook in ("postStart", "preStop")]
        used = {(h.get(kind) or {}).get("host") or "" for h in handlers for kind in ("httpGet", "tcpSocket")} - {""}
        if used:
            names.append(container.get("name", ""))
            hosts |= used
    if not names:
        return None
    names.sort()
    uses = _plural("uses", "use", len(names))
    what = _plural("probe or lifecycle host", "probe or lifecycle hosts", len(hosts))
    return "probe or lifecycle host", f"{_containers(names)} {uses} {what} {_quoted(sorted(hosts))}"


def privileged(pod: Pod) -> Finding:
    names = [name for name, context in pod.contexts() if context.get("privileged")]
    return ("privileged", f"{_containers(names)} must not set securityContext.privileged=true") if names else None


def proc_mount(pod: Pod) -> Finding:
    return None if pod.user_namespace else _proc_mount(pod)


def proc_mount_restricted(pod: Pod) -> Finding:
    return _proc_mount(pod) if pod.minor >= 35 else None


def _proc_mount(pod: Pod) -> Finding:
    names, values = [], set()
    for name, context in pod.contexts():
        value = context.get("procMount")
        if value is not None and value != "Default":
            names.append(name)
            values.add(value)
    if not names:
        return None
    return "procMount", f"{_containers(names)} must not set securityContext.procMount to {_quoted(sorted(values))}"


def se_linux(pod: Pod) -> Finding:
    allowed = {"", "container_t", "container_init_t", "container_kvm_t"}
    if pod.minor >= 31:
        allowed.add("container_engine_t")
    types: set[str] = set()
    sets = {"user": False, "role": False}

    def bad(options: Any) -> bool:
        options = options or {}
        found = False
        if (options.get("type") or "") not in allowed:
            types.add(options["type"])
            found = True
        for part in sets:
            if options.get(part):
                sets[part] = found = True
        return found

    setters = _setters(
        bad(pod.context.get("seLinuxOptions")), [n for n, c in pod.contexts() if bad(c.get("seLinuxOptions"))]
    )
    if not setters:
        return None
    data = [f"{_plural('type', 'types', len(types))} {_quoted(sorted(types))}"] if types else []
    data += [f"{part} may not be set" for part, is_set in sets.items() if is_set]
    return "seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"


_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


def seccomp_baseline(pod: Pod) -> Finding:
    if pod.minor < 19:
        return _seccomp_annotations(pod)
    return _seccomp_explicit(pod)[0]


def _seccomp_annotations(pod: Pod) -> Finding:
    annotations = pod.meta.get("annotations") or {}
    found = set()
    for key in (_SECCOMP_POD, *(_SECCOMP_CONTAINER + c.get("name", "") for c in pod.containers())):
        value = annotations.get(key)
        if (
            value is not None
            and value not in ("runtime/default", "docker/default")
            and not value.startswith("localhost/")
        ):
            found.add(f"{key}={go_quote(value)}")
    if not found:
        return None
    return "seccompProfile", f"forbidden {_plural('annotation', 'annotations', len(found))} {', '.join(sorted(found))}"


def _seccomp_explicit(pod: Pod) -> tuple[Finding, bool]:
    """What is wrong with stated profiles, and whether the pod as a whole has a good one."""
    values: set[str] = set()

    def bad(profile: Any) -> bool:
        if profile is None or profile.get("type") in ("RuntimeDefault", "Localhost"):
            return False
        values.add(profile.get("type") or "")
        return True

    whole = pod.context.get("seccompProfile")
    setters = _setters(bad(whole), [n for n, c in pod.contexts() if bad(c.get("seccompProfile"))])
    good = whole is not None and whole.get("type") in ("RuntimeDefault", "Localhost")
    if not setters:
        return None, good
    text = f"{setters} must not set securityContext.seccompProfile.type to {_quoted(sorted(values))}"
    return ("seccompProfile", text), good


_SYSCTLS = {
    0: "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range "
    "net.ipv4.ip_unprivileged_port_start",
    27: "net.ipv4.ip_local_reserved_ports",
    29: "net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes",
    32: "net.ipv4.tcp_rmem net.ipv4.tcp_wmem",
}


def sysctls(pod: Pod) -> Finding:
    allowed = {name for minor, names in _SYSCTLS.items() if pod.minor >= minor for name in names.split()}
    found = [s.get("name", "") for s in pod.context.get("sysctls") or () if s.get("name") not in allowed]
    return ("forbidden sysctls", ", ".join(found)) if found else None


def windows_host_process(pod: Pod) -> Finding:
    def bad(context: Obj) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    setters = _setters(bad(pod.context), [name for name, context in pod.contexts() if bad(context)])
    return (
        ("hostProcess", f"{setters} must not set securityContext.windowsOptions.hostProcess=true") if setters else None
    )


# -- restricted


def allow_privilege_escalation(pod: Pod) -> Finding:
    if pod.minor < 8 or pod.windows:
        return None
    names = [name for name, context in pod.contexts() if context.get("allowPrivilegeEscalation") is not False]
    if not names:
        return None
    return (
        "allowPrivilegeEscalation != false",
        f"{_containers(names)} must set securityContext.allowPrivilegeEscalation=false",
    )


def capabilities_restricted(pod: Pod) -> Finding:
    if pod.minor < 22 or pod.windows:
        return None
    keeping, adding, added = [], [], set()
    for name, context in pod.contexts():
        capabilities = context.get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keeping.append(name)
        extra = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if extra:
            adding.append(name)
            added |= extra
    details = []
    if keeping:
        details.append(f'{_containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        text = f"{_containers(adding)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
        details.append(text)
    return ("unrestricted capabilities", "; ".join(details)) if details else None


_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)


def restricted_volumes(pod: Pod) -> Finding:
    names, types = [], set()
    for volume in pod.spec.get("volumes") or ():
        kinds = [kind for kind, source in volume.items() if kind != "name" and source is not None]
        if not any(kind in _VOLUMES for kind in kinds):
            names.append(volume.get("name", ""))
            types.add(kinds[0] if kinds else "unknown")
    if not names:
        return None
    volumes, uses = _plural("volume", "volumes", len(names)), _plural("uses", "use", len(names))
    what = _plural("restricted volume type", "restricted volume types", len(types))
    return "restricted volume types", f"{volumes} {_quoted(names)} {uses} {what} {_quoted(sorted(types))}"


def run_as_non_root(pod: Pod) -> Finding:
    if pod.user_namespace:
        return None
    whole = pod.context.get("runAsNonRoot")
    said = [(name, context.get("runAsNonRoot")) for name, context in pod.contexts()]
    setters = _setters(whole is False, [name for name, value in said if value is False])
    if setters:
        return "runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false"
    silent = [name for name, value in said if value is None] if not whole else []
    if not silent:
        return None
    return "runAsNonRoot != true", f"pod or {_containers(silent)} must set securityContext.runAsNonRoot=true"


def run_as_user(pod: Pod) -> Finding:
    if pod.minor < 23 or pod.user_namespace:
        return None
    names = [name for name, context in pod.contexts() if context.get("runAsUser") == 0]
    setters = _setters(pod.context.get("runAsUser") == 0, names)
    return ("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def seccomp_restricted(pod: Pod) -> Finding:
    if pod.minor < 19 or pod.windows:
        return None
    finding, good = _seccomp_explicit(pod)
    if finding:
        return finding
    silent = [name for name, context in pod.contexts() if context.get("seccompProfile") is None] if not good else []
    if not silent:
        return None
    text = (
        f'pod or {_containers(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    )
    return "seccompProfile", text


BASELINE: tuple[Check, ...] = (
    app_armor,
    capabilities_baseline,
    host_namespaces,
    host_path_volumes,
    host_ports,
    host_probes,
    privileged,
    proc_mount,
    se_linux,
    seccomp_baseline,
    sysctls,
    windows_host_process,
)
RESTRICTED: tuple[Check, ...] = (
    allow_privilege_escalation,
    capabilities_restricted,
    proc_mount_restricted,
    restricted_volumes,
    run_as_non_root,
    run_as_user,
    seccomp_restricted,
)
# A restricted check says all that its baseline counterpart would, from that minor version on.
_SUPERSEDED: dict[Check, int] = {capabilities_baseline: 22, host_path_volumes: 0, proc_mount: 35, seccomp_baseline: 19}


def evaluate(standard: Standard, meta: Obj, spec: Obj) -> list[tuple[str, str]]:
    """Everything that keeps the pod from meeting the standard, as (reason, detail)."""
    if standard.level == "privileged":
        return []
    pod = Pod(meta, spec, standard.minor)
    checks: list[Check] = list(BASELINE)
    if standard.level == "restricted":
        checks = [c for c in BASELINE if c not in _SUPERSEDED or standard.minor < _SUPERSEDED[c]] + list(RESTRICTED)
    return [finding for check in checks if (finding := check(pod)) is not None]


def describe(findings: Iterable[tuple[str, str]]) -> str:
    """`reason (detail), reason (detail)`"""
    return ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in findings)


def reasons(findings: Iterable[tuple[str, str]]) -> str:
    return ", ".join(reason for reason, _ in findings)
