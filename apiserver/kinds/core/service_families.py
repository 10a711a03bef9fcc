"""IP families of a Service and the fields that hang together with its type: what is filled in, carried over, dropped.

Called by service_allocation.py (before validation) and service.py.
"""

from __future__ import annotations

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.registry.kind import Obj
from apiserver.validation import ips
from apiserver.validation.services import (
    EXTERNAL_NAME,
    LOAD_BALANCER,
    NODE_PORT,
    is_externally_accessible,
    needs_health_check,
    validate_cluster_ips,
)

_POLICY = "spec.ipFamilyPolicy"
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


def _same(spec: Obj, before: Obj, *fields: str) -> bool:
    return all((spec.get(name) or None) == (before.get(name) or None) for name in fields)


def needs_address(spec: Obj) -> bool:
    return bool(spec.get("type") != EXTERNAL_NAME)


def needs_node_port(spec: Obj) -> bool:
    return spec.get("type") in (NODE_PORT, LOAD_BALANCER)


# -- clusterIP and clusterIPs


def normalize(spec: Obj, before: Obj | None) -> None:
    """A client that knows only clusterIP means clusterIPs too. before: the stored spec."""
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if before is None:
        if one and not many:
            spec["clusterIPs"] = [one]
        return
    had, had_many = before.get("clusterIP") or "", before.get("clusterIPs") or []
    if had_many and not many and one == had:
        spec["clusterIPs"] = many = list(had_many)
    if one != had and many == had_many:
        if one:
            spec["clusterIPs"] = [one]
        else:
            spec.pop("clusterIPs", None)


def patch_allocated(spec: Obj, before: Obj) -> None:
    """Values that were allocated for the service need not be repeated by a client that replaces it."""
    if needs_address(spec) and needs_address(before):
        _patch(spec, before, "clusterIP", "clusterIPs")
    if _has_node_ports(spec) and _has_node_ports(before):
        _patch_ports(spec.get("ports") or [], before.get("ports") or [])
    if needs_health_check(spec) and needs_health_check(before):
        _patch(spec, before, "healthCheckNodePort")


def _has_node_ports(spec: Obj) -> bool:
    """As needs_node_port, but for load balancers that do without."""
    return needs_node_port(spec) and (
        spec.get("type") == NODE_PORT or spec.get("allocateLoadBalancerNodePorts") is not False
    )


def _patch(spec: Obj, before: Obj, *fields: str) -> None:
    for name in fields:
        if not spec.get(name) and before.get(name):
            spec[name] = before[name]


def _patch_ports(ports: list[Obj], before: list[Obj]) -> None:
    """Node ports by port name, unless another port has taken the number."""
    used = _numbers(ports) & _numbers(before)
    known = {port.get("name") or "": port.get("nodePort") or 0 for port in before}
    for port in ports:
        if port.get("nodePort"):
            continue
        number = known.get(port.get("name") or "", 0)
        if number and number not in used:
            port["nodePort"] = number
            used.add(number)


def _numbers(ports: list[Obj]) -> set[int]:
    return {port["nodePort"] for port in ports if port.get("nodePort")}


def drop_unused(spec: Obj, before: Obj) -> None:
    """What the new type has no use for goes, if the client left it as it was."""
    gone: list[str] = []
    if needs_address(before) and not needs_address(spec):
        if _same(spec, before, "clusterIP", "clusterIPs"):
            gone += ["clusterIP", "clusterIPs"]
        gone += [name for name in ("ipFamilies", "ipFamilyPolicy") if _same(spec, before, name)]
    if needs_node_port(before) and not needs_node_port(spec):
        ports = spec.get("ports") or []
        if _numbers(before.get("ports") or []) >= _numbers(ports):
            for port in ports:
                port.pop("nodePort", None)
    if needs_health_check(before) and not needs_health_check(spec) and _same(spec, before, "healthCheckNodePort"):
        gone.append("healthCheckNodePort")
    if before.get("type") == LOAD_BALANCER and spec.get("type") != LOAD_BALANCER:
        if spec.get("allocateLoadBalancerNodePorts") == before.get("allocateLoadBalancerNodePorts"):
            gone.append("allocateLoadBalancerNodePorts")
        if _same(spec, before, "loadBalancerClass"):
            gone.append("loadBalancerClass")
    outside = is_externally_accessible(before) and not is_externally_accessible(spec)
    if outside and _same(spec, before, "externalTrafficPolicy"):
        gone.append("externalTrafficPolicy")
    for name in gone:
        spec.pop(name, None)


def forget_balancer(service: Obj) -> None:
    """What is no load balancer has no addresses of one: nobody need wait until they are taken away."""
    status = service.get("status") or {}
    if service["spec"].get("type") != LOAD_BALANCER and status.get("loadBalancer"):
        service["status"] = {**status, "loadBalancer": {}}


# -- families


def keeps_preference(spec: Obj, before: Obj | None) -> bool:
    """Whether a service that prefers two stacks stays as it is: a change of the cluster alone changes no service."""
    if before is None or spec.get("ipFamilyPolicy") != "PreferDualStack" or spec.get("type") == EXTERNAL_NAME:
        return False
    if before.get("ipFamilyPolicy") not in (None, "PreferDualStack"):
        return False
    return _same(spec, before, "type", "clusterIP", "clusterIPs", "ipFamilies")


def fill(spec: Obj, before: Obj | None, configured: list[str]) -> list[FieldError]:
    """Fill in ipFamilyPolicy and ipFamilies, or say what stands against it. configured: the cluster's families, the
    default one first."""
    if spec.get("type") == EXTERNAL_NAME or keeps_preference(spec, before):
        return []
    selectorless = spec.get("clusterIP") == "None" and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        inherited = (before or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = inherited or ("RequireDualStack" if selectorless else "SingleStack")
    policy = spec["ipFamilyPolicy"]
    found = validate_cluster_ips(spec, before or {})
    if found:
        return found
    if before is not None:
        found += _reduce(spec, before, policy)
    found += _too_many(spec, policy)
    found += _infer(spec, configured)
    if found:
        return found
    families = spec.setdefault("ipFamilies", [])
    if selectorless:
        if not families:
            families.append(configured[0])
        _add_other(families, policy != "SingleStack")
        return []
    if policy == "RequireDualStack" and len(configured) < 2:
        text = "this cluster is not configured for dual-stack services"
        found.append(field.invalid(_POLICY, policy, text))
    for position, family in enumerate(families):
        if family not in configured:
            found.append(field.invalid(f"spec.ipFamilies[{position}]", family, "not configured on this cluster"))
    if not found:
        if not families:
            families.append(configured[0])
        _add_other(families, policy != "SingleStack" and len(configured) == 2)
    return found


def _add_other(families: list[str], wanted: bool) -> None:
    if wanted and len(families) == 1:
        families.append(_OTHER[families[0]])


def _reduce(spec: Obj, before: Obj, policy: str) -> list[FieldError]:
    """Single stack is clear enough to drop the second of what was left alone; else dropping it is a mistake."""
    now, then = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    families, had = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    if policy == "SingleStack":
        if now == then and len(now) > 1:
            spec["clusterIPs"] = now[:1]
        if families == had and len(families) > 1:
            spec["ipFamilies"] = families[:1]
        return []
    found: list[FieldError] = []
    if 0 < len(now) < len(then):
        text = "must be 'SingleStack' to release the secondary cluster IP"
        found.append(field.invalid(_POLICY, policy, text))
    if 0 < len(families) < len(had):
        found.append(field.invalid(_POLICY, policy, "must be 'SingleStack' to release the secondary IP family"))
    return found


def _too_many(spec: Obj, policy: str) -> list[FieldError]:
    if policy != "SingleStack":
        return []
    text = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
    return [
        field.invalid(_POLICY, policy, text.format(what))
        for name, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families"))
        if len(spec.get(name) or ()) == 2
    ]


def _infer(spec: Obj, configured: list[str]) -> list[FieldError]:
    """Families of addresses that were given without them."""
    found: list[FieldError] = []
    addresses = spec.get("clusterIPs") or []
    families = spec.get("ipFamilies") or []
    for position, address in enumerate(addresses):
        if address == "None":
            break
        if position < len(families):
            continue
        family = "IPv6" if ips.is_ipv6(address) else "IPv4"
        if family in configured:
            families.append(family)
        else:
            text = f"{family} is not configured on this cluster"
            found.append(field.invalid(f"spec.clusterIPs[{position}]", addresses, text))
    if families:
        spec["ipFamilies"] = families
    return found
