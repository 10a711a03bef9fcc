"""Endpoints: the addresses behind a service, as one object; EndpointSlice's predecessor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import ips, meta, names
from apiserver.validation.services import validate_protocol

_SHOWN = 3


class EndpointsKind(Kind):
    kind = "Endpoints"
    plural = "endpoints"
    short_names = ("ep",)
    create_on_update = True
    revalidates_metadata = 1
    columns = (NAME_COLUMN, Column("Endpoints", doc="subsets"), AGE_COLUMN)

    def deprecation(self, version: str) -> str:
        return "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"

    def default(self, obj: Obj, version: str) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_subsets(obj.get("subsets") or ())

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        """Faults that were stored before the rules are let through as long as they stay as they are."""
        errors = self.validate(ctx, obj)
        return [] if errors and meta.same(obj.get("subsets"), old.get("subsets")) else errors

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        found: list[str] = []
        for position, subset in enumerate(obj.get("subsets") or ()):
            for group in ("addresses", "notReadyAddresses"):
                for number, address in enumerate(subset.get(group) or ()):
                    found += ips.ip_warnings(f"subsets[{position}].{group}[{number}].ip", address.get("ip") or "")
        return found

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"].get("name", ""), format_endpoints(obj), cells.age(obj, clock)]


def _validate_subsets(subsets: Sequence[Obj]) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, subset in enumerate(subsets):
        path = f"subsets[{position}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(field.required(path, "must specify `addresses` or `notReadyAddresses`"))
        for group in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(group) or ()):
                errors += _validate_address(address, f"{path}.{group}[{number}]")
        ports = subset.get("ports") or ()
        for number, port in enumerate(ports):
            errors += _validate_port(port, len(ports) > 1, f"{path}.ports[{number}]")
    return errors


def _validate_address(address: Obj, path: str) -> list[FieldError]:
    ip, host, node = address.get("ip") or "", address.get("hostname") or "", address.get("nodeName")
    errors = ips.legacy_ip(path + ".ip", ip)
    if host:
        errors += [field.invalid(path + ".hostname", host, text) for text in names.dns_label(host)]
    if node is not None:
        errors += [field.invalid(path + ".nodeName", node, text) for text in names.dns_subdomain(node)]
    return errors + ips.endpoint_ip(path + ".ip", ip)


def _validate_port(port: Obj, needs_name: bool, path: str) -> list[FieldError]:
    name, number = port.get("name") or "", port.get("port") or 0
    errors: list[FieldError] = []
    if name:
        errors += [field.invalid(path + ".name", name, text) for text in names.dns_label(name)]
    elif needs_name:
        errors.append(field.required(path + ".name"))
    errors += [field.invalid(path + ".port", number, text) for text in names.port_number(number)]
    errors += validate_protocol(port.get("protocol"), path + ".protocol")
    if (protocol := port.get("appProtocol")) is not None:
        errors += [field.invalid(path + ".appProtocol", protocol, text) for text in names.qualified_name(protocol)]
    return errors


def format_endpoints(endpoints: Obj) -> str:
    """The first three addresses, each with each port, and how many more there are."""
    found: list[str] = []
    for subset in endpoints.get("subsets") or ():
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports")
        if not ports:
            found += addresses
        for port in ports or ():
            found += [f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}" for ip in addresses]
    if not endpoints.get("subsets"):
        return cells.NONE
    shown = ",".join(found[:_SHOWN])
    return f"{shown} + {len(found) - _SHOWN} more..." if len(found) > _SHOWN else shown


ENDPOINTS = EndpointsKind()
