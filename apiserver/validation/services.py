"""Services: validation of new ones, of updates and of their status. Called by kinds/core/service.py and its allocation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import ips, labels, names

Obj = Mapping[str, Any]

CLUSTER_IP, NODE_PORT, LOAD_BALANCER, EXTERNAL_NAME = "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"
TYPES = (CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, NODE_PORT)
PROTOCOLS = ("SCTP", "TCP", "UDP")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
HINTS_ANNOTATION = "service.kubernetes.io/topology-aware-hints"
MODE_ANNOTATION = "service.kubernetes.io/topology-mode"
RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
_TRAFFIC_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_LONGEST_AFFINITY = 86400  # seconds
_ONLY_BALANCERS = "may only be used when `type` is 'LoadBalancer'"
_NO_CHANGE = "may not change once set"
_NOT_EXTERNAL = "may not be set for ExternalName services"


# -- what a service is


def is_headless(spec: Obj) -> bool:
    return bool(spec.get("clusterIPs") == ["None"])


def is_externally_accessible(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind in (LOAD_BALANCER, NODE_PORT) or (kind == CLUSTER_IP and bool(spec.get("externalIPs")))


def needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == LOAD_BALANCER and spec.get("externalTrafficPolicy") == "Local"


# -- a service


def validate_service(service: Obj, old: Obj | None) -> list[FieldError]:
    """Everything but metadata. old: the stored one, on an update; addresses it has are let through."""
    spec, before = service["spec"], (old or {}).get("spec") or {}
    kind = spec.get("type") or ""
    errors = _topology_annotations(service)
    errors += _type(spec, kind)
    errors += _ports(spec)
    if selector := spec.get("selector"):
        errors += labels.validate_labels(selector, "spec.selector")
    errors += _affinity(spec)
    errors += validate_cluster_ips(spec, before)
    errors += _external_ips(spec, before)
    if not kind:
        errors.append(field.required("spec.type"))
    elif kind not in TYPES:
        errors.append(field.not_supported("spec.type", kind, TYPES))
    errors += _node_ports(spec, kind)
    errors += _source_ranges(service, old)
    errors += _balancer(spec, kind)
    errors += _external_policy(spec)
    return errors + _internal_policy(spec, kind)


def _topology_annotations(service: Obj) -> list[FieldError]:
    annotations = service["metadata"].get("annotations") or {}
    mode, hints = annotations.get(MODE_ANNOTATION), annotations.get(HINTS_ANNOTATION)
    if mode is None or hints is None or mode == hints:
        return []
    text = f"must match annotations[{HINTS_ANNOTATION}] when both are specified"
    return [field.invalid(f"metadata.annotations[{MODE_ANNOTATION}]", mode, text)]


def _type(spec: Obj, kind: str) -> list[FieldError]:
    """What each type demands."""
    errors: list[FieldError] = []
    headless = is_headless(spec)
    if not spec.get("ports") and not headless and kind != EXTERNAL_NAME:
        errors.append(field.required("spec.ports"))
    if kind in (LOAD_BALANCER, NODE_PORT) and headless:
        text = f"may not be set to 'None' for {kind} services"
        errors.append(field.invalid("spec.clusterIPs[0]", "None", text))
    if kind == EXTERNAL_NAME:
        errors += [
            field.forbidden("spec." + name, _NOT_EXTERNAL)
            for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
            if spec.get(name) or (name == "ipFamilyPolicy" and spec.get(name) is not None)
        ]
        target = (spec.get("externalName") or "").removesuffix(".")
        if not target:
            errors.append(field.required("spec.externalName"))
        errors += [field.invalid("spec.externalName", target, text) for text in names.dns_subdomain(target) if target]
    return errors


# -- ports


def _ports(spec: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    ports = spec.get("ports") or ()
    seen: set[str] = set()
    for position, port in enumerate(ports):
        errors += _port(port, len(ports) > 1, seen, position)
    return errors


def _port(port: Obj, needs_name: bool, seen: set[str], position: int) -> list[FieldError]:
    errors: list[FieldError] = []
    path = f"spec.ports[{position}]"
    name, number = port.get("name") or "", port.get("port") or 0
    if name:
        errors += [field.invalid(path + ".name", name, text) for text in names.dns_label(name)]
        if name in seen:
            errors.append(field.duplicate(path + ".name", name))
        seen.add(name)
    elif needs_name:
        errors.append(field.required(path + ".name"))
    errors += [field.invalid(path + ".port", number, text) for text in names.port_number(number)]
    errors += validate_protocol(port.get("protocol"), path + ".protocol")
    target = port.get("targetPort", 0)
    texts = names.port_name(target) if isinstance(target, str) else names.port_number(target)
    errors += [field.invalid(path + ".targetPort", target, text) for text in texts]
    if (protocol := port.get("appProtocol")) is not None:
        errors += [field.invalid(path + ".appProtocol", protocol, text) for text in names.qualified_name(protocol)]
    return errors


def validate_protocol(protocol: str | None, path: str) -> list[FieldError]:
    if not protocol:
        return [field.required(path)]
    return [] if protocol in PROTOCOLS else [field.not_supported(path, protocol, PROTOCOLS)]


def _node_ports(spec: Obj, kind: str) -> list[FieldError]:
    """Node ports only where they mean something; no two alike, of node ports and of ports."""
    ports = spec.get("ports") or ()
    errors: list[FieldError] = []
    if kind == CLUSTER_IP:
        errors += [
            field.forbidden(f"spec.ports[{position}].nodePort", "may not be used when `type` is 'ClusterIP'")
            for position, port in enumerate(ports)
            if port.get("nodePort")
        ]
    seen: set[tuple[Any, Any]] = set()
    for position, port in enumerate(ports):
        key = (port.get("protocol"), port.get("nodePort"))
        if key[1] and key in seen:
            errors.append(field.duplicate(f"spec.ports[{position}].nodePort", key[1]))
        seen.add(key)
    seen.clear()
    for position, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            errors.append(field.duplicate(f"spec.ports[{position}]", _shown_port(*key)))
        seen.add(key)
    return errors


def _shown_port(protocol: str, port: int) -> dict[str, Any]:
    return {
        "Name": "",
        "Protocol": protocol,
        "AppProtocol": None,
        "Port": port,
        "TargetPort": 0,
        "NodePort": 0,
    }


# -- affinity, addresses


def _affinity(spec: Obj) -> list[FieldError]:
    affinity, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    if not affinity:
        return [field.required("spec.sessionAffinity")]
    if affinity == "ClientIP":
        return _affinity_timeout(config)
    if affinity != "None":
        return [field.not_supported("spec.sessionAffinity", affinity, ("ClientIP", "None"))]
    if config is not None:
        return [field.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")]
    return []


def _affinity_timeout(config: Obj | None) -> list[FieldError]:
    path, value, text = "spec.sessionAffinityConfig", config, "when session affinity type is ClientIP"
    for name in ("clientIP", "timeoutSeconds"):
        if value is None:
            return [field.required(path, text)]
        path, value = f"{path}.{name}", value.get(name)
    if value is None:
        return [field.required(path, text)]
    if 0 < int(value) <= _LONGEST_AFFINITY:  # type: ignore[call-overload]
        return []
    return [field.invalid(path, value, f"must be greater than 0 and less than {_LONGEST_AFFINITY}")]


def validate_cluster_ips(spec: Obj, before: Obj) -> list[FieldError]:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy together. before: the stored spec, empty for none."""
    if spec.get("type") == EXTERNAL_NAME:
        return []
    path, first = "spec.clusterIPs", spec.get("clusterIP") or ""
    addresses: list[str] = spec.get("clusterIPs") or []
    errors: list[FieldError] = []
    if not first:
        if addresses:
            errors.append(field.invalid(path, addresses, "must be empty when `clusterIP` is not specified"))
    elif not addresses:
        errors.append(field.required(path))
    elif addresses[0] != first:
        errors.append(field.invalid(path, addresses, "first value must match `clusterIP`"))
    errors += _families(spec)
    faults = _addresses(addresses, before.get("clusterIPs") or (), path)
    errors += faults
    if len(addresses) > 2:
        errors.append(field.invalid(path, addresses, "may only hold up to 2 values"))
    if faults:
        return errors
    if len(addresses) > 1 and not ips.is_dual_stack(addresses):
        errors.append(field.invalid(path, addresses, "may specify no more than one IP for each IP family"))
    if not is_headless(spec):
        errors += _family_of_each(addresses, spec.get("ipFamilies") or (), path)
    return errors


def _families(spec: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    families = spec.get("ipFamilies") or ()
    for position, family in enumerate(families):
        if family not in FAMILIES:
            errors.append(field.not_supported(f"spec.ipFamilies[{position}]", family, FAMILIES))
        if family in families[:position]:
            errors.append(field.duplicate(f"spec.ipFamilies[{position}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        errors.append(field.not_supported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES))
    return errors


def _addresses(addresses: list[str], known: Sequence[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, address in enumerate(addresses):
        if position == 0 and address == "None":
            if len(addresses) > 1:
                errors.append(field.invalid(path, addresses, "'None' must be the first and only value"))
            continue
        errors += ips.legacy_ip(f"{path}[{position}]", address, known)
    return errors


def _family_of_each(addresses: Sequence[str], families: Sequence[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if family in FAMILIES and (family == "IPv6") != ips.is_ipv6(address):
            text = f"expected an {family} value as indicated by `ipFamilies[{position}]`"
            errors.append(field.invalid(f"{path}[{position}]", address, text))
    return errors


def _external_ips(spec: Obj, before: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    known = before.get("externalIPs") or ()
    for position, address in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{position}]"
        errors += ips.legacy_ip(path, address, known) or ips.endpoint_ip(path, address)
    return errors


# -- load balancers, traffic


def _source_ranges(service: Obj, old: Obj | None) -> list[FieldError]:
    spec = service["spec"]
    balances = spec.get("type") == LOAD_BALANCER
    before = (old or {}).get("spec") or {}
    if ranges := spec.get("loadBalancerSourceRanges"):
        path = "spec.LoadBalancerSourceRanges"
        errors = [] if balances else [field.forbidden(path, _ONLY_BALANCERS)]
        known = [value.strip() for value in before.get("loadBalancerSourceRanges") or ()]
        for position, value in enumerate(ranges):
            errors += ips.legacy_cidr(f"{path}[{position}]", value.strip(), known)
        return errors
    annotation = (service["metadata"].get("annotations") or {}).get(RANGES_ANNOTATION)
    if annotation is None:
        return []
    path = f"metadata.annotations[{RANGES_ANNOTATION}]"
    errors = [] if balances else [field.forbidden(path, _ONLY_BALANCERS)]
    if old is None or (old["metadata"].get("annotations") or {}).get(RANGES_ANNOTATION) != annotation:
        for value in annotation.strip().split(",") if annotation.strip() else ():
            errors += ips.legacy_cidr(path, value.strip())
    return errors


def _balancer(spec: Obj, kind: str) -> list[FieldError]:
    errors: list[FieldError] = []
    allocate = spec.get("allocateLoadBalancerNodePorts")
    if allocate is not None and kind != LOAD_BALANCER:
        errors.append(field.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCERS))
    if allocate is None and kind == LOAD_BALANCER:
        errors.append(field.required("allocateLoadBalancerNodePorts"))
    return errors + balancer_class(spec)


def balancer_class(spec: Obj) -> list[FieldError]:
    name = spec.get("loadBalancerClass")
    if name is None:
        return []
    path = "spec.loadBalancerClass"
    if spec.get("type") != LOAD_BALANCER:
        return [field.forbidden(path, _ONLY_BALANCERS)]
    return [field.invalid(path, name, text) for text in names.qualified_name(name)]


def _external_policy(spec: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    path, policy = "spec.externalTrafficPolicy", spec.get("externalTrafficPolicy") or ""
    if not is_externally_accessible(spec):
        if policy:
            errors.append(field.invalid(path, policy, "may only be set for externally-accessible services"))
    elif not policy:
        errors.append(field.required(path))
    elif policy not in _TRAFFIC_POLICIES:
        errors.append(field.not_supported(path, policy, _TRAFFIC_POLICIES))
    path, port = "spec.healthCheckNodePort", spec.get("healthCheckNodePort") or 0
    if not needs_health_check(spec):
        if port:
            text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.append(field.invalid(path, port, text))
    elif not port:
        errors.append(field.required(path))
    else:
        errors += [field.invalid(path, port, text) for text in names.port_number(port)]
    return errors


def _internal_policy(spec: Obj, kind: str) -> list[FieldError]:
    errors: list[FieldError] = []
    path, policy = "spec.internalTrafficPolicy", spec.get("internalTrafficPolicy")
    if policy is None:
        if kind in (CLUSTER_IP, NODE_PORT, LOAD_BALANCER):
            errors.append(field.required(path))
    elif policy not in _TRAFFIC_POLICIES:
        errors.append(field.not_supported(path, policy, _TRAFFIC_POLICIES))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errors.append(field.not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))
    return errors
