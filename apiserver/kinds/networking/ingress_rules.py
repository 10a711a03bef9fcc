"""What an Ingress may say: hosts, paths, backends, certificates (the original's apis/networking/validation)."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.networking import references
from apiserver.registry.kind import Obj
from apiserver.validation import ips, names

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")


def validate(obj: Obj, old: Obj | None) -> list[FieldError]:
    spec: Obj = obj.get("spec") or {}
    stored: Obj = (old.get("spec") or {}) if old is not None else {}
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    errors: list[FieldError] = []
    if not rules and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        errors.append(field.invalid("spec", spec.get("rules"), text))
    if backend is not None:
        errors += _backend(backend, "spec.defaultBackend")
    lenient = any("*" in (r.get("host") or "") and _http(r.get("http"), "") for r in stored.get("rules") or ())
    for position, rule in enumerate(rules):
        errors += _rule(rule, f"spec.rules[{position}]", lenient)
    check_secrets = not any(_secret(entry) for entry in stored.get("tls") or ())
    errors += _tls(spec.get("tls") or (), check_secrets)
    name = spec.get("ingressClassName")
    if name is not None:
        errors += [field.invalid("spec.ingressClassName", name, text) for text in names.dns_subdomain(name)]
    annotation = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    if old is None and annotation is not None and name is not None and annotation != name:
        text = "must match `ingressClassName` when both are specified"
        errors.append(field.invalid(f"annotations.{CLASS_ANNOTATION}", annotation, text))
    return errors


def _secret(entry: Obj) -> list[str]:
    name = entry.get("secretName")
    return names.dns_subdomain(name) if name else []


def _tls(entries: Sequence[Obj], check_secrets: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, entry in enumerate(entries):
        for j, host in enumerate(entry.get("hosts") or ()):
            check = names.wildcard_subdomain if "*" in host else names.dns_subdomain
            errors += [field.invalid(f"spec.tls[{i}].hosts[{j}]", host, text) for text in check(host)]
        if check_secrets:
            path, name = f"spec.tls[{i}].secretName", entry.get("secretName")
            errors += [field.invalid(path, name, text) for text in _secret(entry)]
    return errors


def _rule(rule: Obj, path: str, lenient: bool) -> list[FieldError]:
    """lenient: a stored rule with a wildcard host has faults; then such rules are not looked at."""
    errors: list[FieldError] = []
    host = rule.get("host") or ""
    wildcard = "*" in host
    if wildcard:
        errors += [field.invalid(path + ".host", host, text) for text in names.wildcard_subdomain(host)]
    elif host:
        if ips.parse(host) is not None:
            errors.append(field.invalid(path + ".host", host, "must be a DNS name, not an IP address"))
        errors += [field.invalid(path + ".host", host, text) for text in names.dns_subdomain(host)]
    if not wildcard or not lenient:
        errors += _http(rule.get("http"), path + ".http")
    return errors


def _http(http: Obj | None, path: str) -> list[FieldError]:
    if http is None:
        return []
    paths = http.get("paths") or ()
    errors = [] if paths else [field.required(path + ".paths")]
    for position, entry in enumerate(paths):
        errors += _path(entry, f"{path}.paths[{position}]")
    return errors


def _path(entry: Obj, path: str) -> list[FieldError]:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        return [field.required(path + ".pathType", "pathType must be specified")]
    errors: list[FieldError] = []
    at = path + ".path"
    if kind not in _PATH_TYPES:
        errors.append(field.not_supported(path + ".pathType", kind, _PATH_TYPES))
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        errors.append(field.invalid(at, text, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        errors += [field.invalid(at, text, f"must not contain '{bad}'") for bad in _BAD_SEQUENCES if bad in text]
        errors += [field.invalid(at, text, f"cannot end with '{bad}'") for bad in _BAD_SUFFIXES if text.endswith(bad)]
    return errors + _backend(entry.get("backend") or {}, path + ".backend")


def _backend(backend: Obj, path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        return [field.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return references.validate_typed_reference(resource, path + ".resource")
    if service is None:
        return [field.invalid(path, "", "resource or service backend is required")]
    errors: list[FieldError] = []
    name, port = service.get("name") or "", service.get("port") or {}
    if not name:
        errors.append(field.required(path + ".service.name"))
    else:
        errors += [field.invalid(path + ".service.name", name, text) for text in names.dns_label(name)]
    named, number = port.get("name") or "", port.get("number") or 0
    at = path + ".service.port"
    if named and number:
        errors.append(field.invalid(path, "", "cannot set both port name & port number"))
    elif named:
        errors += [field.invalid(at + ".name", named, text) for text in names.port_name(named)]
    elif number:
        errors += [field.invalid(at + ".number", number, text) for text in names.port_number(number)]
    else:
        errors.append(field.required(path, "port name or number is required"))
    return errors


def validate_status(status: Obj, old: Obj) -> list[FieldError]:
    """Addresses that a load balancer gave."""
    errors: list[FieldError] = []
    known = {p.get("ip") for p in (old.get("loadBalancer") or {}).get("ingress") or ()}
    stored = {ip for ip in known if ip}
    for position, point in enumerate((status.get("loadBalancer") or {}).get("ingress") or ()):
        path = f"status.loadBalancer.ingress[{position}]"
        if ip := point.get("ip"):
            errors += ips.legacy_ip(path + ".ip", ip, stored)
        if host := point.get("hostname"):
            errors += [field.invalid(path + ".hostname", host, text) for text in names.dns_subdomain(host)]
            if ips.parse(host) is not None:
                errors.append(field.invalid(path + ".hostname", host, "must be a DNS name, not an IP address"))
    return errors
