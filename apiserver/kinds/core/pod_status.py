"""Rules for updates of a pod's status. Called by the Pod kind."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.core import pod_features
from apiserver.registry.kind import Obj
from apiserver.validation import ips, names
from apiserver.validation.pod import annotations as pod_annotations

_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_MESSAGE_LIMIT = 1024
_NOT_NEGATIVE = "must be a non-negative integer"
_GROUPS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def prepare(new: Obj, old: Obj) -> None:
    """Carry over what a status update may not lose. The store has kept the spec."""
    metadata, old_metadata = new["metadata"], old["metadata"]
    metadata.pop("deletionTimestamp", None)
    if old_metadata.get("ownerReferences"):
        metadata["ownerReferences"] = old_metadata["ownerReferences"]
    else:
        metadata.pop("ownerReferences", None)
    status, old_status = new.setdefault("status", {}), old.get("status") or {}
    for name in ("qosClass", "observedGeneration"):
        if not status.get(name) and old_status.get(name):
            status[name] = old_status[name]
    generations: dict[str, list[int]] = {}
    for condition in old_status.get("conditions") or ():
        generations.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration") or 0)
    for condition in status.get("conditions") or ():
        kept = generations.get(condition.get("type", ""))
        generation = kept.pop(0) if kept else 0
        if not condition.get("observedGeneration") and generation:
            condition["observedGeneration"] = generation
    pod_features.drop_status(status)


def step_addresses(status: Obj) -> None:
    """podIP and the first of podIPs are the same; where both are given and differ, podIP is right."""
    address, addresses = status.get("podIP") or "", status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address and addresses[0].get("ip"):
        status["podIP"] = addresses[0]["ip"]


def warnings(pod: Obj) -> list[str]:
    """Addresses in odd forms."""
    status = pod.get("status") or {}
    return [
        text
        for name in ("podIPs", "hostIPs")
        for position, item in enumerate(status.get(name) or ())
        for text in ips.ip_warnings(f"status.{name}[{position}].ip", item.get("ip") or "")
    ]


def validate(new: Obj, old: Obj) -> list[FieldError]:
    """Everything wrong with a status update."""
    spec, status, old_status = new.get("spec") or {}, new.get("status") or {}, old.get("status") or {}
    errors = pod_annotations.validate_update(new, old)
    errors += _conditions(status.get("conditions") or ())
    nominated = status.get("nominatedNodeName") or ""
    if nominated and nominated != old_status.get("nominatedNodeName"):
        texts = names.dns_subdomain(nominated)
        errors += [field.invalid("status.nominatedNodeName", nominated, text) for text in texts]
        if (old.get("spec") or {}).get("nodeName"):
            text = "may not be set on pods that are already bound to a node"
            errors.append(field.forbidden("status.nominatedNodeName", text))
    if (generation := status.get("observedGeneration") or 0) < 0:
        errors.append(field.invalid("status.observedGeneration", generation, _NOT_NEGATIVE))
        if (old.get("spec") or {}).get("nodeName"):
            text = "may not be set on pods that are already bound to a node"
            errors.append(field.forbidden("status.nominatedNodeName", text))
    if (status.get("qosClass") or "") != (old_status.get("qosClass") or ""):
        errors.append(field.invalid("status.qosClass", status.get("qosClass") or "", "field is immutable"))
    for group in _GROUPS:
        errors += _transitions(group, status, old_status, spec)
    errors += _claims(status.get("resourceClaimStatuses") or (), spec)
    if (extended := status.get("extendedResourceClaimStatus")) is not None:
        errors += _extended_claim(extended, spec, "status.extendedResourceClaimStatus")
    errors += _addresses(status, old_status, "podIPs") + _addresses(status, old_status, "hostIPs")
    for group in _GROUPS:
        errors += _users(status.get(group) or (), f"status.{group}", (spec.get("os") or {}).get("name") or "linux")
    for group, containers in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
        errors += _devices(status.get(group) or (), f"status.{group}", spec.get(containers) or ())
    for position, container in enumerate(status.get("ephemeralContainerStatuses") or ()):
        if container.get("allocatedResourcesStatus"):
            at = f"status.ephemeralContainerStatuses[{position}].allocatedResourcesStatus"
            errors.append(field.forbidden(at, "must not be specified in container status"))
    return errors


def _conditions(conditions: Sequence[Obj]) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, condition in enumerate(conditions):
        at = f"status.conditions[{position}]"
        generation, kind = condition.get("observedGeneration") or 0, condition.get("type") or ""
        if generation < 0:
            errors.append(field.invalid(at + ".observedGeneration", generation, _NOT_NEGATIVE))
        if kind not in _SYSTEM_CONDITIONS:
            errors += [field.invalid(at + ".Type", kind, text) for text in names.qualified_name(kind)]
    return errors


# -- container states


def _transitions(group: str, status: Obj, old_status: Obj, spec: Obj) -> list[FieldError]:
    """A container that ended stays so, unless its restart policy starts it again."""
    containers = {"containerStatuses": "containers", "initContainerStatuses": "initContainers"}.get(group)
    if containers and _all_may_restart(spec):
        return []
    now = {container.get("name"): container for container in status.get(group) or ()}
    errors: list[FieldError] = []
    for position, before in enumerate(old_status.get(group) or ()):
        ended = (before.get("state") or {}).get("terminated")
        after = now.get(before.get("name"))
        if ended is None or after is None or (after.get("state") or {}).get("terminated") is not None:
            continue
        found = [c for c in spec.get(containers) or () if c.get("name") == before.get("name")] if containers else []
        if not found or not _restarts(found[0], spec, ended.get("exitCode") or 0):
            at = f"status.{group}[{position}].state"
            errors.append(field.forbidden(at, "may not be transitioned to non-terminated state"))
    return errors


def _all_may_restart(spec: Obj) -> bool:
    return any(
        rule.get("action") == "RestartAllContainers"
        for group in ("containers", "initContainers")
        for container in spec.get(group) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _restarts(container: Obj, spec: Obj, exit_code: int) -> bool:
    for rule in container.get("restartPolicyRules") or () if container.get("restartPolicy") is not None else ():
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or ())
        if listed == (codes.get("operator") == "In"):
            return True
    policy = container.get("restartPolicy") or spec.get("restartPolicy")
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


# -- parts


def _claims(statuses: Sequence[Obj], spec: Obj) -> list[FieldError]:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, status in enumerate(statuses):
        at, name = f"status.resourceClaimStatuses[{position}]", status.get("name") or ""
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            errors.append(field.invalid(at + ".name", name, text))
        if name in seen:
            errors.append(field.duplicate(at + ".name", name))
        seen.add(name)
        if (claim := status.get("resourceClaimName")) is not None:
            texts = names.dns_subdomain(claim)
            shown = field.Pointed(claim)
            errors += [field.invalid(at + ".resourceClaimName", shown, text) for text in texts]
    return errors


def _extended_claim(status: Obj, spec: Obj, path: str) -> list[FieldError]:
    """The claim that the scheduler made for extended resources, and which request of it stands for which of them."""
    asked = {
        container.get("name") or "": (container.get("resources") or {}).get("requests") or {}
        for group in ("initContainers", "containers")
        for container in spec.get(group) or ()
    }
    mappings = status.get("requestMappings") or ()
    errors: list[FieldError] = []
    if not mappings:
        errors.append(field.required(path + ".requestMappings", "at least one request mapping is required"))
    seen: set[tuple[str, ...]] = set()
    parts = ("containerName", "resourceName", "requestName")
    for position, mapping in enumerate(mappings):
        at = f"{path}.requestMappings[{position}]"
        key = container, resource, request = tuple(mapping.get(part) or "" for part in parts)
        if container not in asked:
            text = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            errors.append(field.invalid(at + ".containerName", container, text))
        elif resource not in asked[container]:
            text = (
                "must match the extended resource name of an entry in spec.initContainers.resources.requests "
                "or spec.containers.resources.requests"
            )
            errors.append(field.invalid(at + ".resourceName", resource, text))
        errors += [field.invalid(path + ".requestName", request, text) for text in names.dns_label(request)]
        if key in seen:
            errors += [field.duplicate(f"{at}.{part}", value) for part, value in zip(parts, key, strict=True)]
        seen.add(key)
    if claim := status.get("resourceClaimName") or "":
        return errors + [field.invalid(path + ".resourceClaimName", claim, text) for text in names.dns_subdomain(claim)]
    return [*errors, field.required(path + ".resourceClaimName")]


def _addresses(status: Obj, old_status: Obj, name: str) -> list[FieldError]:
    """At most one address of each family; odd ones only where they are stored already."""
    items = status.get(name) or ()
    if not items:
        return []
    path, values = f"status.{name}", [item.get("ip") or "" for item in items]
    errors: list[FieldError] = []
    if name == "hostIPs" and (status.get("hostIP") or "") != values[0]:
        errors.append(field.invalid(path + "[0].ip", values[0], "must be equal to `hostIP`"))
    kept = [item.get("ip") or "" for item in old_status.get(name) or ()]
    for position, value in enumerate(values):
        errors += ips.legacy_ip(f"{path}[{position}]", value, kept)
    bad = [position for position, value in enumerate(values) if ips.parse(value) is None]
    if bad and len(values) > 1:
        text = f"failed to check for dual stack with error:invalid IP[{bad[0]}]: {values[bad[0]]}"
        errors.append(field.internal(path, text))
    if len(values) > 1 and (len(values) > 2 or not ips.is_dual_stack(values)):
        drawn = [{"IP": value} for value in values]
        errors.append(field.invalid(path, drawn, "may specify no more than one IP for each IP family"))
    return errors


def _users(statuses: Sequence[Obj], path: str, system: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, status in enumerate(statuses):
        user = (status.get("user") or {}).get("linux")
        if user is None:
            continue
        at = f"{path}[{position}].user.linux"
        if system == "windows":
            errors.append(field.forbidden(at, "cannot be set for a windows pod"))
            continue
        for name in ("uid", "gid"):
            value = user.get(name) or 0
            errors += [field.invalid(f"{at}.{name}", value, text) for text in names.user_or_group_id(value)]
        for number, value in enumerate(user.get("supplementalGroups") or ()):
            where = f"{at}.supplementalGroups[{number}]"
            errors += [field.invalid(where, value, text) for text in names.user_or_group_id(value)]
    return errors


def _devices(statuses: Sequence[Obj], path: str, containers: Sequence[Obj]) -> list[FieldError]:
    """allocatedResourcesStatus: health of the devices a container was given."""
    by_name = {container.get("name"): container for container in containers}
    errors: list[FieldError] = []
    for position, status in enumerate(statuses):
        container = by_name.get(status.get("name"))
        for number, item in enumerate(status.get("allocatedResourcesStatus") or ()):
            at = f"{path}[{position}].allocatedResourcesStatus[{number}]"
            if container is not None:
                errors += _device_name(item.get("name") or "", container.get("resources") or {}, at + ".name")
            seen: set[str] = set()
            for index, device in enumerate(item.get("resources") or ()):
                errors += _device(device, seen, f"{at}.resources[{index}]")
    return errors


def _device_name(name: str, requirements: Obj, path: str) -> list[FieldError]:
    if name.startswith("claim:"):
        known = {
            f"claim:{claim.get('name') or ''}" + (f"/{claim['request']}" if claim.get("request") else "")
            for claim in requirements.get("claims") or ()
        }
        text = (
            "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' "
            "or 'claim:<claimName>' if request is empty"
        )
    else:
        known = set(requirements.get("requests") or ())
        text = "must match one of the container's resource requests"
    return [] if name in known else [field.invalid(path, name, text)]


def _device(device: Obj, seen: set[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    health, message, name = device.get("health") or "", device.get("message"), device.get("resourceID") or ""
    if health not in _HEALTH:
        errors.append(field.not_supported(path + ".health", health, _HEALTH))
    if message is not None:
        if not message:
            errors.append(field.required(path + ".message", "must be non-empty if specified"))
        elif len(message.encode()) > _MESSAGE_LIMIT:
            errors.append(field.too_long(path + ".message", _MESSAGE_LIMIT))
    if name in seen:
        errors.append(field.duplicate(path + ".resourceID", name))
    seen.add(name)
    return errors
