"""Containers of every kind: regular, init (and sidecar), ephemeral."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import names, resources
from apiserver.validation.pod import env, handlers, mounts, security
from apiserver.validation.pod.options import PodOptions

Obj = Mapping[str, Any]

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_RESTARTS = ("Always", "Never", "OnFailure")
_RULE_LIMIT, _EXIT_CODE_LIMIT = 20, 255
_NOT_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


@dataclass(slots=True)
class Surroundings:
    """What the checks of a container need to know of its pod. volumes: the valid ones by name; claims: names of its
    resource claims; grace: its termination grace period."""

    spec: Obj
    volumes: Mapping[str, Obj]
    claims: Collection[str]
    grace: int | None
    options: PodOptions


def validate_containers(around: Surroundings, path: str) -> list[FieldError]:
    """spec.containers; path: that of the spec."""
    path += ".containers"
    containers = around.spec.get("containers")
    if not containers:
        return [field.required(path)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    ports = False
    for position, container in enumerate(containers):
        at = f"{path}[{position}]"
        errors += _common(container, around, at)
        name = container.get("name") or ""
        if name in seen:
            errors.append(field.duplicate(at + ".name", name))
        seen.add(name)
        errors += _running(container, around, at)
        if "restartPolicy" in container or "restartPolicyRules" in container:
            errors += _restart_policy(container, at)
        ports = ports or "ports" in container
    return errors + _host_ports(containers, path) if ports else errors


def validate_init_containers(around: Surroundings, path: str) -> list[FieldError]:
    """spec.initContainers; path: that of the spec."""
    path += ".initContainers"
    errors: list[FieldError] = []
    seen = {container.get("name") or "" for container in around.spec.get("containers") or ()}
    for position, container in enumerate(around.spec["initContainers"]):
        at = f"{path}[{position}]"
        errors += _common(container, around, at)
        sidecar = container.get("restartPolicy") == "Always"
        errors += _init_restart_policy(container, at)
        name = container.get("name") or ""
        if name in seen:
            errors.append(field.duplicate(at + ".name", name))
        elif name:
            seen.add(name)
        if container.get("ports"):
            errors += _host_ports([container], path)
        if sidecar:
            errors += _running(container, around, at)
            continue
        for part in ("lifecycle", *_PROBES):
            if container.get(part) is not None:
                text = "may not be set for init containers without restartPolicy=Always"
                errors.append(field.forbidden(f"{at}.{part}", text))
        if not around.options.init_restart_container:
            for number, policy in enumerate(container.get("resizePolicy") or ()):
                if policy.get("restartPolicy") == "RestartContainer":
                    text = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                    where = f"{at}.resizePolicy[{number}].restartPolicy"
                    errors.append(field.invalid(where, "RestartContainer", text))
    return errors


def validate_ephemeral_containers(around: Surroundings, path: str) -> list[FieldError]:
    """spec.ephemeralContainers; path: that of the spec."""
    path += ".ephemeralContainers"
    spec = around.spec
    others = {c.get("name") or "" for group in ("containers", "initContainers") for c in spec.get(group) or ()}
    seen = set(others)
    errors: list[FieldError] = []
    for position, container in enumerate(spec["ephemeralContainers"]):
        at = f"{path}[{position}]"
        errors += _common(container, around, at) + validate_image_spaces(container, at)
        name, target = container.get("name") or "", container.get("targetContainerName")
        if name in seen:
            errors.append(field.duplicate(at + ".name", name))
        seen.add(name)
        if target and target not in others:
            errors.append(field.not_found(at + ".targetContainerName", target))
        for part in _NOT_EPHEMERAL:
            if (value := container.get(part)) is not None and (value or part != "resources"):
                errors.append(field.forbidden(f"{at}.{part}", "cannot be set for an Ephemeral Container"))
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for part in ("subPath", "subPathExpr"):
                if mount.get(part):
                    where = f"{at}.volumeMounts[{number}].{part}"
                    errors.append(field.forbidden(where, "cannot be set for an Ephemeral Container"))
    return errors


def validate_image_spaces(container: Obj, path: str) -> list[FieldError]:
    """What only pods, not templates, are held to."""
    image = container.get("image") or ""
    if image and image != image.strip():
        return [field.invalid(path + ".image", image, "must not have leading or trailing whitespace")]
    return []


def _common(container: Obj, around: Surroundings, path: str) -> list[FieldError]:
    """What holds for containers of every kind."""
    errors: list[FieldError] = []
    name = container.get("name")
    if not name:
        errors.append(field.required(path + ".name"))
    elif texts := names.dns_label(name):
        errors += [field.invalid(path + ".name", name, text) for text in texts]
    if not container.get("image"):
        errors.append(field.required(path + ".image"))
    policy = container.get("terminationMessagePolicy")
    if policy not in ("File", "FallbackToLogsOnError"):
        at = path + ".terminationMessagePolicy"
        allowed = ("File", "FallbackToLogsOnError")
        errors.append(field.not_supported(at, policy, allowed) if policy else field.required(at))
    if ports := container.get("ports"):
        errors += _ports(ports, path + ".ports")
    if variables := container.get("env"):
        errors += env.validate_env(variables, path + ".env")
    if sources := container.get("envFrom"):
        errors += env.validate_env_from(sources, path + ".envFrom")
    if container.get("volumeMounts"):
        errors += mounts.validate_mounts(container, around.volumes, path + ".volumeMounts")
    if container.get("volumeDevices"):
        errors += mounts.validate_devices(container, around.volumes, path + ".volumeDevices")
    pull = container.get("imagePullPolicy")
    if pull not in PULL_POLICIES:
        errors += validate_pull_policy(pull or "", path + ".imagePullPolicy")
    if requirements := container.get("resources"):
        errors += resources.validate_requirements(
            requirements,
            path + ".resources",
            around.claims,
            allow_indivisible=around.options.indivisible_huge_pages,
        )
    if policies := container.get("resizePolicy"):
        errors += _resize_policy(policies, around.spec.get("restartPolicy") or "", path + ".resizePolicy")
    if context := container.get("securityContext"):
        host_users = around.spec.get("hostUsers") is not False
        errors += security.validate_container_context(context, path + ".securityContext", host_users=host_users)
    return errors


def _running(container: Obj, around: Surroundings, path: str) -> list[FieldError]:
    """Lifecycle and probes, which containers that keep running may have."""
    errors: list[FieldError] = []
    if (lifecycle := container.get("lifecycle")) is not None:
        os = around.spec.get("os")
        errors += handlers.validate_lifecycle(lifecycle, around.grace, path + ".lifecycle", os)
    for name in _PROBES:
        if (probe := container.get(name)) is not None:
            errors += handlers.validate_probe(probe, name, around.grace, path)
    return errors


def validate_pull_policy(policy: str, path: str) -> list[FieldError]:
    if policy in PULL_POLICIES:
        return []
    return [field.not_supported(path, policy, PULL_POLICIES) if policy else field.required(path)]


def _ports(ports: Sequence[Obj], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, port in enumerate(ports):
        at = f"{path}[{position}]"
        if name := port.get("name"):
            if texts := names.port_name(name):
                errors += [field.invalid(at + ".name", name, text) for text in texts]
            elif name in seen:
                errors.append(field.duplicate(at + ".name", name))
            else:
                seen.add(name)
        number = port.get("containerPort") or 0
        if not number:
            errors.append(field.required(at + ".containerPort"))
        elif not 0 < number < 65536:
            errors += [field.invalid(at + ".containerPort", number, text) for text in names.port_number(number)]
        if host := port.get("hostPort"):
            errors += [field.invalid(at + ".hostPort", host, text) for text in names.port_number(host)]
        protocol = port.get("protocol") or ""
        if protocol not in PROTOCOLS:
            where = at + ".protocol"
            errors.append(field.not_supported(where, protocol, PROTOCOLS) if protocol else field.required(where))
    return errors


def _host_ports(containers: Sequence[Obj], path: str) -> list[FieldError]:
    """Each (protocol, host address, host port) only once. path: that of the list of containers."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if host := port.get("hostPort"):
                key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{host}"
                if key in seen:
                    errors.append(field.duplicate(f"{path}[{position}].ports[{number}].hostPort", key))
                seen.add(key)
    return errors


def _resize_policy(policies: Sequence[Obj], pod_restarts: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, policy in enumerate(policies):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            errors.append(field.duplicate(f"{path}[{position}]", name))
        seen.add(name)
        for value, allowed in ((name, ("cpu", "memory")), (restart, ("NotRequired", "RestartContainer"))):
            if not value:
                errors.append(field.required(path))
            elif value not in allowed:
                errors.append(field.not_supported(path, value, allowed))
        if pod_restarts == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            errors.append(field.invalid(path, restart, text))
    return errors


def _init_restart_policy(container: Obj, path: str) -> list[FieldError]:
    """Rules without a policy are not looked at."""
    if container.get("restartPolicy") is not None:
        return _restart_policy(container, path)
    if not container.get("restartPolicyRules"):
        return []
    return [field.required(path + ".restartPolicy", "must specify restartPolicy when restart rules are used")]


def _restart_policy(container: Obj, path: str) -> list[FieldError]:
    """A container's own restart policy and the rules that refine it."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    errors: list[FieldError] = []
    if policy is None:
        if not rules:
            return errors
        text = "must specify restartPolicy when restart rules are used"
        errors.append(field.required(path + ".restartPolicy", text))
    elif policy not in _RESTARTS:
        errors.append(field.not_supported(path + ".restartPolicy", policy, _RESTARTS))
    if len(rules) > _RULE_LIMIT:
        errors.append(field.too_many(path + ".restartPolicyRules", len(rules), _RULE_LIMIT))
    for position, rule in enumerate(rules):
        at = f"{path}.restartPolicyRules[{position}]"
        action, codes = rule.get("action") or "", rule.get("exitCodes")
        allowed = ("Restart", "RestartAllContainers")
        if action not in allowed:
            errors.append(field.not_supported(at + ".action", action, allowed))
        if codes is None:
            errors.append(field.required(at + ".exitCodes", "must be specified"))
            continue
        if (operator := codes.get("operator") or "") not in ("In", "NotIn"):
            errors.append(field.not_supported(at + ".exitCodes.operator", operator, ("In", "NotIn")))
        if len(values := codes.get("values") or ()) > _EXIT_CODE_LIMIT:
            errors.append(field.too_many(at + ".exitCodes.values", len(values), _EXIT_CODE_LIMIT))
    return errors
