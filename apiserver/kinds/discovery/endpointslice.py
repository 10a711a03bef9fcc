"""EndpointSlice of discovery.k8s.io/v1: some of the endpoints behind a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import ips, labels, meta, names

_TYPES = ("FQDN", "IPv4", "IPv6")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_PORTS = 20_000
_MAX_TOPOLOGY = 16
_MAX_HINTS = 8
_HOSTNAME = "kubernetes.io/hostname"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


class EndpointSlice(Kind):
    group = "discovery.k8s.io"
    kind = "EndpointSlice"
    plural = "endpointslices"
    has_generation = True
    revalidates_metadata = 1
    checks_metadata_change = False
    columns = (
        NAME_COLUMN,
        Column("AddressType", doc="addressType"),
        Column("Ports", doc="ports"),
        Column("Endpoints", doc="endpoints"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        ports = [str(p["port"] if "port" in p else p.get("name", "*")) for p in obj.get("ports") or ()]
        addresses = [a for endpoint in obj.get("endpoints") or () for a in endpoint.get("addresses") or ()]
        return [
            obj["metadata"]["name"],
            obj.get("addressType", ""),
            _first_three(ports),
            _first_three(addresses),
            cells.age(obj, clock),
        ]

    def default(self, obj: Obj, version: str) -> None:
        for port in obj.get("ports") or ():
            if port.get("name") is None:
                port["name"] = ""
            if port.get("protocol") is None:
                port["protocol"] = "TCP"

    def generation_view(self, obj: Obj) -> Any:
        # Labels count as well: they say which service the slice belongs to.
        return super().generation_view(obj), obj["metadata"].get("labels") or {}

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        _drop_topology(obj.get("endpoints") or (), set())

    async def begin_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        """Here and not in prepare_update: the generation counts a topology that is dropped."""
        endpoints, before = obj.get("endpoints") or (), old.get("endpoints") or ()
        if not meta.same(endpoints, before):
            known = {(endpoint.get("deprecatedTopology") or {}).get(_HOSTNAME) for endpoint in before}
            _drop_topology(endpoints, known - {None, ""})

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = _validate(obj, old)
        return errors + meta.validate_immutable(obj.get("addressType"), old.get("addressType"), "addressType")

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        kind = obj.get("addressType")
        if kind == "FQDN":
            return ["spec.addressType: FQDN endpoints are deprecated"] if old is None else []
        if (obj["metadata"].get("labels") or {}).get(_MANAGED_BY) in _CONTROLLERS:
            return []  # which write what they were given, in its best spelling
        return [
            text
            for i, endpoint in enumerate(obj.get("endpoints") or ())
            for j, address in enumerate(endpoint.get("addresses") or ())
            if not ips.is_plain(address, kind or "")
            for text in ips.ip_warnings(f"endpoints[{i}].addresses[{j}]", address)
        ]


def _validate(obj: Obj, old: Obj | None) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = obj.get("addressType") or ""
    if not kind:
        errors.append(field.required("addressType"))
    elif kind not in _TYPES:
        errors.append(field.not_supported("addressType", kind, _TYPES))
    errors += _ports(obj.get("ports") or ())
    endpoints = obj.get("endpoints") or ()
    faults = _endpoints(endpoints, kind)
    if faults and old is not None and meta.same(endpoints, old.get("endpoints") or ()):
        return errors  # what was stored was good enough then
    return errors + faults


def _drop_topology(endpoints: Sequence[Obj], known: set[Any]) -> None:
    """A field of the v1beta1 API that v1 only shows. known: nodes that the stored slice has in it, for which it still
    gives the node's name."""
    for endpoint in endpoints:
        node = (endpoint.pop("deprecatedTopology", None) or {}).get(_HOSTNAME)
        if node and node in known and endpoint.get("nodeName") is None and not names.dns_subdomain(node):
            endpoint["nodeName"] = node


def _endpoints(endpoints: Sequence[Obj], kind: str) -> list[FieldError]:
    if len(endpoints) > _MAX_ENDPOINTS:
        return [field.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)]
    errors: list[FieldError] = []
    for position, endpoint in enumerate(endpoints):
        errors += _endpoint(endpoint, kind, f"endpoints[{position}]")
    return errors


def _endpoint(endpoint: Obj, kind: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        errors.append(field.required(path + ".addresses", "must contain at least 1 address"))
    elif len(addresses) > _MAX_ADDRESSES:
        errors.append(field.too_many(path + ".addresses", len(addresses), _MAX_ADDRESSES))
    for position, address in enumerate(addresses):
        if not ips.is_plain(address, kind):
            errors += _address(address, kind, path + ".addresses", position)
    if (node := endpoint.get("nodeName")) is not None:
        errors += [field.invalid(path + ".nodeName", node, text) for text in names.dns_subdomain(node)]
    if topology := endpoint.get("deprecatedTopology"):
        errors += _topology(topology, path + ".deprecatedTopology")
    if (host := endpoint.get("hostname")) is not None:
        errors += [field.invalid(path + ".hostname", host, text) for text in names.dns_label(host)]
    if (hints := endpoint.get("hints")) is not None:
        errors += _hints(hints, path + ".hints")
    return errors


def _address(address: str, kind: str, path: str, position: int) -> list[FieldError]:
    at = f"{path}[{position}]"
    if kind == "FQDN":
        return names.fully_qualified_domain_name(address, at)
    if kind not in ("IPv4", "IPv6"):
        return []
    if errors := ips.strict_ip(at, address) if kind == "IPv6" else ips.legacy_ip(at, address):
        return errors
    if ips.is_ipv6(address) != (kind == "IPv6"):
        errors.append(field.invalid(path, address, f"must be an {kind} address"))
    return errors + ips.endpoint_ip(at, address)


def _topology(topology: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(topology) > _MAX_TOPOLOGY:
        errors.append(field.too_many(path, len(topology), _MAX_TOPOLOGY))
    return errors + labels.validate_labels(topology, path)


def _hints(hints: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for kind, check in (("forZones", names.label_value), ("forNodes", names.dns_subdomain)):
        given, at = hints.get(kind) or (), f"{path}.{kind}"
        if len(given) > _MAX_HINTS:
            errors.append(field.too_many(at, len(given), _MAX_HINTS))
            return errors
        seen: set[str] = set()
        for position, hint in enumerate(given):
            name, here = hint.get("name") or "", f"{at}[{position}].name"
            if name in seen:
                errors.append(field.duplicate(here, name))
            seen.add(name)
            errors += [field.invalid(here, name, text) for text in check(name)]
    return errors


def _ports(ports: Sequence[Obj]) -> list[FieldError]:
    if len(ports) > _MAX_PORTS:
        return [field.too_many("ports", len(ports), _MAX_PORTS)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, port in enumerate(ports):
        path, name, protocol = f"ports[{position}]", port.get("name") or "", port.get("protocol")
        if name:
            errors += [field.invalid(path + ".name", name, text) for text in names.dns_label(name)]
        if name in seen:
            errors.append(field.duplicate(path + ".name", name))
        seen.add(name)
        if protocol is None:
            errors.append(field.required(path + ".protocol"))
        elif protocol not in _PROTOCOLS:
            errors.append(field.not_supported(path + ".protocol", protocol, _PROTOCOLS))
        if (app := port.get("appProtocol")) is not None:
            errors += [field.invalid(path + ".appProtocol", app, text) for text in names.qualified_name(app)]
    return errors


def _first_three(items: Sequence[str]) -> str:
    text = ",".join(items[:3])
    return f"{text} + {len(items) - 3} more..." if len(items) > 3 else text or "<unset>"
