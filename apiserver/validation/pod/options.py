"""What validation lets through in an update because the stored object already has it.

A rule that was tightened after objects had been stored must not make those objects impossible to update. STRICT is for
creations; tolerating(spec) looks at the stored spec, and is worth calling only once strict validation has found something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apiserver.validation import labels, names, resources
from apiserver.validation.pod import sysctls

Spec = Mapping[str, Any]
CONTAINER_GROUPS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class PodOptions:
    """is_pod: the spec is a Pod's own, not a template's. The others: faults that the stored object has already."""

    is_pod: bool = False
    invalid_deletion_cost: bool = False
    invalid_selector_values: bool = False
    invalid_node_affinity_values: bool = False
    indivisible_huge_pages: bool = False
    invalid_spread_selectors: bool = False
    spread_keys_without_merge: bool = False
    nonlocal_token_paths: bool = False
    host_namespace_sysctls: bool = False
    init_restart_container: bool = False
    user_namespace_devices: bool = False
    any_selinux_policy: bool = False


STRICT = PodOptions()
STRICT_POD = PodOptions(is_pod=True)


def containers(spec: Spec) -> Iterator[Mapping[str, Any]]:
    """All containers of a spec, of every kind."""
    for group in CONTAINER_GROUPS:
        yield from spec.get(group) or ()


def containers_with_path(spec: Spec, path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """All containers with their paths, in the order in which the original visits them."""
    for group in CONTAINER_GROUPS:
        for position, container in enumerate(spec.get(group) or ()):
            yield container, f"{path}.{group}[{position}]"


def tolerating(spec: Spec, *, is_pod: bool, invalid_deletion_cost: bool = False) -> PodOptions:
    """Options for an update of an object whose stored spec this is."""
    affinity = spec.get("affinity") or {}
    node_affinity = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    spread = spec.get("topologySpreadConstraints") or ()
    security = spec.get("securityContext") or {}
    volumes = spec.get("volumes") or ()
    return PodOptions(
        is_pod=is_pod,
        invalid_deletion_cost=invalid_deletion_cost,
        invalid_selector_values=any(map(labels.has_invalid_values, _affinity_selectors(affinity))),
        invalid_node_affinity_values=any(
            names.label_value(value)
            for term in node_affinity.get("nodeSelectorTerms") or ()
            for requirement in term.get("matchExpressions") or ()
            for value in requirement.get("values") or ()
        ),
        indivisible_huge_pages=_has_indivisible_pages(spec),
        invalid_spread_selectors=any(
            labels.validate_label_selector(constraint.get("labelSelector"), "") for constraint in spread
        ),
        spread_keys_without_merge=any(_keys_in_selector(constraint) for constraint in spread),
        nonlocal_token_paths=any(
            _is_nonlocal(((source.get("serviceAccountToken") or {}).get("path")) or "")
            for volume in volumes
            for source in (volume.get("projected") or {}).get("sources") or ()
        ),
        host_namespace_sysctls=any(
            sysctls.host_fault(item.get("name") or "", spec) for item in security.get("sysctls") or ()
        ),
        init_restart_container=any(
            policy.get("restartPolicy") == "RestartContainer"
            for container in spec.get("initContainers") or ()
            if container.get("restartPolicy") != "Always"
            for policy in container.get("resizePolicy") or ()
        ),
        user_namespace_devices=spec.get("hostUsers") is False
        and any(container.get("volumeDevices") for container in containers(spec)),
        any_selinux_policy=security.get("seLinuxChangePolicy") is not None,
    )


def _affinity_selectors(affinity: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | None]:
    for side in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(side) or {}
        required = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for term in required + [item.get("podAffinityTerm") or {} for item in preferred]:
            yield term.get("labelSelector")
            yield term.get("namespaceSelector")


def _has_indivisible_pages(spec: Spec) -> bool:
    for container in containers(spec):
        requirements = container.get("resources") or {}
        for amounts in (requirements.get("limits") or {}, requirements.get("requests") or {}):
            if any(resources.is_huge_page(n) and not resources.is_divisible(n, v) for n, v in amounts.items()):
                return True
    return False


def _keys_in_selector(constraint: Mapping[str, Any]) -> bool:
    keys = constraint.get("matchLabelKeys")
    selector = constraint.get("labelSelector")
    if not keys or not selector:
        return False
    present = [*(selector.get("matchLabels") or {})]
    found = {expression.get("key") for expression in selector.get("matchExpressions") or ()}
    return any(key in present and key in found for key in keys)


def _is_nonlocal(path: str) -> bool:
    return path.startswith(("/", "..")) or ".." in path.split("/")
