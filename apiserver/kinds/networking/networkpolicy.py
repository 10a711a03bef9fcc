"""NetworkPolicy of networking.k8s.io/v1: which traffic pods accept and send."""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.registry import as_sent
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import ips, labels, names

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")
_DIRECTIONS = (("ingress", "from"), ("egress", "to"))


class NetworkPolicy(Kind):
    group = "networking.k8s.io"
    kind = "NetworkPolicy"
    plural = "networkpolicies"
    short_names = ("netpol",)
    has_generation = True
    columns = (NAME_COLUMN, Column("Pod-Selector", doc="spec.podSelector"), AGE_COLUMN)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        selector = (obj.get("spec") or {}).get("podSelector")
        return [obj["metadata"]["name"], cells.label_selector(selector), cells.age(obj, clock)]

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        for direction, _ in _DIRECTIONS:
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    if port.get("protocol") is None:
                        port["protocol"] = "TCP"
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        """The original compares specs to the letter: an empty list where there was none is a change to it."""
        sent = as_sent.restored(self, ctx, obj)
        if sent is not None and sent.get("spec") != obj.get("spec"):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _Check(None).spec(obj.get("spec") or {})

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return _Check(old.get("spec") or {}).spec(obj.get("spec") or {})

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if old is not None and obj["metadata"].get("generation") == old["metadata"].get("generation"):
            return []
        texts: list[str] = []
        for path, block in _blocks(obj.get("spec") or {}):
            texts += ips.cidr_warnings(path + ".cidr", block.get("cidr") or "")
            for position, excepted in enumerate(block.get("except") or ()):
                texts += ips.cidr_warnings(f"{path}.except[{position}]", excepted)
        return texts


def _blocks(spec: Obj) -> list[tuple[str, Obj]]:
    """Every ipBlock with its path."""
    return [
        (f"spec.{direction}[{i}].{word}[{j}].ipBlock", peer["ipBlock"])
        for direction, word in _DIRECTIONS
        for i, rule in enumerate(spec.get(direction) or ())
        for j, peer in enumerate(rule.get(word) or ())
        if peer.get("ipBlock") is not None
    ]


class _Check:
    """One validation; what the stored spec has already is let through."""

    def __init__(self, old: Obj | None) -> None:
        self.allow_values = bool(old and labels.validate_label_selector(old.get("podSelector"), ""))
        self.old_cidrs = {
            cidr
            for _, block in _blocks(old or {})
            for cidr in (block.get("cidr"), *(block.get("except") or ()))
            if cidr
        }

    def spec(self, spec: Obj) -> list[FieldError]:
        errors = self.selector(spec.get("podSelector"), "spec.podSelector")
        for direction, word in _DIRECTIONS:
            for i, rule in enumerate(spec.get(direction) or ()):
                path = f"spec.{direction}[{i}]"
                for j, port in enumerate(rule.get("ports") or ()):
                    errors += _port(port, f"{path}.ports[{j}]")
                for j, peer in enumerate(rule.get(word) or ()):
                    errors += self.peer(peer, f"{path}.{word}[{j}]")
        types = spec.get("policyTypes") or ()
        if len(types) > len(_TYPES):
            errors.append(field.invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
            return errors
        for i, kind in enumerate(types):
            if kind not in _TYPES:
                errors.append(field.not_supported(f"spec.policyTypes[{i}]", kind, _TYPES))
        return errors

    def selector(self, selector: Obj | None, path: str) -> list[FieldError]:
        return labels.validate_label_selector(selector, path, allow_invalid_values=self.allow_values)

    def peer(self, peer: Obj, path: str) -> list[FieldError]:
        errors: list[FieldError] = []
        given = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
        for name in given:
            if name == "ipBlock":
                errors += self.block(peer["ipBlock"], path + ".ipBlock")
            else:
                errors += self.selector(peer[name], f"{path}.{name}")
        if not given:
            errors.append(field.required(path, "must specify a peer"))
        elif len(given) > 1 and "ipBlock" in given:
            errors.append(field.forbidden(path, "may not specify both ipBlock and another peer"))
        return errors

    def block(self, block: Obj, path: str) -> list[FieldError]:
        cidr = block.get("cidr") or ""
        if not cidr:
            return [field.required(path + ".cidr")]
        errors = ips.legacy_cidr(path + ".cidr", cidr, self.old_cidrs)
        outer = ips.parse_cidr(cidr)
        if outer is None:
            return errors
        for i, excepted in enumerate(block.get("except") or ()):
            at = f"{path}.except[{i}]"
            errors += ips.legacy_cidr(at, excepted, self.old_cidrs)
            inner = ips.parse_cidr(excepted)
            if inner is not None and not _strictly_inside(inner[1], outer[1]):
                errors.append(field.invalid(at, excepted, "must be a strict subset of `cidr`"))
        return errors


def _strictly_inside(inner: ips.Network, outer: ips.Network) -> bool:
    return inner.network_address in outer and outer.prefixlen < inner.prefixlen


def _port(port: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        errors.append(field.not_supported(path + ".protocol", protocol, _PROTOCOLS))
    if number is None:
        if end is not None:
            text = "may not be specified when `port` is not specified"
            errors.append(field.invalid(path + ".endPort", end, text))
    elif isinstance(number, str):
        if end is not None:
            text = "may not be specified when `port` is non-numeric"
            errors.append(field.invalid(path + ".endPort", end, text))
        errors += [field.invalid(path + ".port", number, text) for text in names.port_name(number)]
    else:
        errors += [field.invalid(path + ".port", number, text) for text in names.port_number(number)]
        if end is not None:
            if end < number:
                errors.append(field.invalid(path + ".endPort", number, "must be greater than or equal to `port`"))
            errors += [field.invalid(path + ".endPort", end, text) for text in names.port_number(end)]
    return errors
