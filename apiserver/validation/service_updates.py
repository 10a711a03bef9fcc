"""What may change in a stored Service, and what its status may say. Called by kinds/core/service.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import ips, names, services

Obj = Mapping[str, Any]

_NO_CHANGE = "may not change once set"
_IP_MODES = ("Proxy", "VIP")


def validate_update(service: Obj, old: Obj) -> list[FieldError]:
    """The rules of the change, then all of services.validate_service."""
    spec, before = service["spec"], old["spec"]
    errors: list[FieldError] = []
    if services.EXTERNAL_NAME not in (spec.get("type"), before.get("type")):
        errors += _cluster_ips(spec, before)
        errors += _families(spec, before)
    if spec.get("type") == before.get("type") == services.LOAD_BALANCER:
        name = spec.get("loadBalancerClass")
        if name != before.get("loadBalancerClass"):
            errors.append(field.invalid("spec.loadBalancerClass", name, _NO_CHANGE))
    errors += services.balancer_class(spec)  # and again with the rest of the service, so each fault is told twice
    checked = services.needs_health_check(spec) and services.needs_health_check(before)
    if checked and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
        errors.append(field.forbidden("spec.healthCheckNodePort", "field is immutable"))
    return errors + services.validate_service(service, old)


def _cluster_ips(spec: Obj, before: Obj) -> list[FieldError]:
    """The first address stays; a second one comes and goes with the family policy."""
    if services.is_headless(spec) and services.is_headless(before):
        return []
    path = "spec.clusterIPs"
    now, then = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if len(now) == len(then):
        return [
            field.invalid(f"{path}[{position}]", now, _NO_CHANGE)
            for position, (new, old) in enumerate(zip(now, then, strict=True))
            if new != old
        ]
    errors: list[FieldError] = []
    if not now:
        errors.append(field.invalid(path + "[0]", None, "primary clusterIP can not be unset"))
    elif then and now[0] != then[0]:
        errors.append(field.invalid(path + "[0]", now, _NO_CHANGE))
    if len(then) > len(now) == 1:
        errors += _released(spec, "clusterIP")
    return errors


def _families(spec: Obj, before: Obj) -> list[FieldError]:
    if services.is_headless(spec) or services.is_headless(before):
        return []
    path = "spec.ipFamilies[0]"
    now, then = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    if len(now) == len(then):
        return [field.invalid(path, now, _NO_CHANGE) for new, old in zip(now, then, strict=True) if new != old]
    errors: list[FieldError] = []
    if len(then) > len(now) and not spec.get("clusterIPs"):
        errors.append(field.invalid(path, now or None, "primary ipFamily can not be unset"))
    if now and then and now[0] != then[0]:
        errors.append(field.invalid(path, spec.get("clusterIPs"), _NO_CHANGE))
    if len(then) > len(now) == 1:
        errors += _released(spec, "ipFamily")
    return errors


def _released(spec: Obj, what: str) -> list[FieldError]:
    policy = spec.get("ipFamilyPolicy")
    if policy == "SingleStack":
        return []
    text = f"must be set to 'SingleStack' when releasing the secondary {what}"
    return [field.invalid("spec.ipFamilyPolicy", policy, text)]


def validate_status(service: Obj, old: Obj) -> list[FieldError]:
    """status.loadBalancer: only of load balancers; addresses, their mode, host names."""
    path = "status.loadBalancer.ingress"
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if entries and service["spec"].get("type") != services.LOAD_BALANCER:
        return [field.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    before = ((old.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    known = [entry["ip"] for entry in before if entry.get("ip")]
    errors: list[FieldError] = []
    for position, entry in enumerate(entries):
        errors += _ingress(entry, f"{path}[{position}]", known)
    return errors


def _ingress(entry: Obj, path: str, known: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    address, mode, host = entry.get("ip") or "", entry.get("ipMode"), entry.get("hostname") or ""
    if address:
        errors += ips.legacy_ip(path + ".ip", address, known)
    if mode is None:
        if address:
            errors.append(field.required(path + ".ipMode", "must be specified when `ip` is set"))
    elif not address:
        errors.append(field.forbidden(path + ".ipMode", "may not be specified when `ip` is not set"))
    elif mode not in _IP_MODES:
        errors.append(field.not_supported(path + ".ipMode", mode, _IP_MODES))
    if host:
        errors += [field.invalid(path + ".hostname", host, text) for text in names.dns_subdomain(host)]
        if ips.parse(host) is not None:
            errors.append(field.invalid(path + ".hostname", host, "must be a DNS name, not an IP address"))
    return errors


def warnings(service: Obj) -> list[str]:
    """Texts for Warning headers: odd spellings of addresses, fields that do nothing here, what is deprecated."""
    spec = service["spec"]
    found: list[str] = []
    if services.HINTS_ANNOTATION in (service["metadata"].get("annotations") or {}):
        old, new = services.HINTS_ANNOTATION, services.MODE_ANNOTATION
        found.append(f"annotation {old} is deprecated, please use {new} instead")
    if spec.get("clusterIP") not in (None, "", "None"):
        for position, address in enumerate(spec.get("clusterIPs") or ()):
            found += ips.ip_warnings(f"spec.clusterIPs[{position}]", address)
    outside, name = spec.get("externalIPs") or (), spec.get("type") == services.EXTERNAL_NAME
    headless = spec.get("type") == services.CLUSTER_IP and spec.get("clusterIP") == "None"
    if headless:
        found += _ignored(spec)
    for position, address in enumerate(outside):
        found += ips.ip_warnings(f"spec.externalIPs[{position}]", address)
    if outside and not headless and not name:
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if balancer := spec.get("loadBalancerIP"):
        found += ips.ip_warnings("spec.loadBalancerIP", balancer)
    for position, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += ips.cidr_warnings(f"spec.loadBalancerSourceRanges[{position}]", cidr)
    if name and outside:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not name and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _ignored(spec: Obj) -> list[str]:
    """What a headless service has no use for."""
    found = [
        f"spec.{name} is ignored for headless services" for name in ("loadBalancerIP", "externalIPs") if spec.get(name)
    ]
    if spec.get("sessionAffinity") != "None":
        found.append("spec.SessionAffinity is ignored for headless services")
    return found
