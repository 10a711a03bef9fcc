"""IP addresses and CIDRs in fields, as the original checks them since 1.36 (pkg/util/validation/ip.go), and its warnings.

legacy_ip, legacy_cidr    fields older than strict checking: any spelling, but no leading zeros, no IPv4-mapped IPv6
strict_ip, strict_cidr    newer fields: canonical spelling only
endpoint_ip               addresses of endpoints and external IPs: none that makes no sense there
ip_warnings, cidr_warnings   for values that legacy_* let through
parse, parse_cidr, is_ipv6   addresses as Go's sloppy parser reads them (leading zeros allowed)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from apimachinery import field, memo
from apimachinery.field import FieldError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4 = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
_LEADING_ZERO = re.compile(r"(^|[.:])0+[0-9]+\.|\.0+[0-9]+($|/)")
_PREFIX = re.compile("[0-9]{1,9}")


@memo.short(4096, 64)
def parse(text: str) -> Address | None:
    """The address, an IPv4-mapped one as IPv4; None when it is none. Zones are refused."""
    match = _V4.fullmatch(text)
    if match:
        octets = [int(part) for part in match.groups()]
        return None if max(octets) > 255 else IPv4Address(".".join(map(str, octets)))
    if ":" not in text or "%" in text:
        return None
    try:
        address = IPv6Address(_without_zeros(text))
    except ValueError:
        return None
    return address.ipv4_mapped or address


def _without_zeros(text: str) -> str:
    """An IPv6 text whose dotted tail has no leading zeros."""
    head, colon, tail = text.rpartition(":")
    if "." not in tail:
        return text
    return head + colon + ".".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in tail.split("."))


@memo.short(4096, 64)
def parse_cidr(text: str) -> tuple[Address, Network] | None:
    """(the address, its network) of a CIDR, or None."""
    head, slash, tail = text.partition("/")
    if not slash or not _PREFIX.fullmatch(tail):
        return None
    address = parse(head)
    if address is None:
        return None
    length = int(tail)
    if isinstance(address, IPv4Address) and ":" in head:
        if length > 128:
            return None
        mapped = IPv6Address(f"::ffff:{address}")
        network = ipaddress.ip_network((mapped, length), strict=False)
        return (
            (address, ipaddress.ip_network((address, length - 96), strict=False)) if length >= 96 else (mapped, network)
        )
    if length > address.max_prefixlen:
        return None
    return address, ipaddress.ip_network((address, length), strict=False)


def is_ipv6(text: str) -> bool:
    """Whether it is an IPv6 address (IPv4-mapped ones count as IPv4)."""
    return isinstance(parse(text), IPv6Address)


def _is_mapped(text: str) -> bool:
    return ":" in text and isinstance(parse(text.partition("/")[0]), IPv4Address)


def _has_leading_zeros(text: str) -> bool:
    return bool(_LEADING_ZERO.search(text))


@memo.short(4096, 64)
def _ip_texts(value: str) -> tuple[str, ...]:
    if parse(value) is None:
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    texts = []
    if _has_leading_zeros(value):
        texts.append("must not have leading 0s")
    elif _is_mapped(value):
        texts.append("must not be an IPv4-mapped IPv6 address")
    return tuple(texts)


@memo.short(4096, 64)
def _cidr_texts(value: str) -> tuple[str, ...]:
    parsed = parse_cidr(value)
    if parsed is None:
        return ("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",)
    head, _, tail = value.partition("/")
    if _has_leading_zeros(head) or (len(tail) > 1 and tail[0] == "0"):
        return ("must not have leading 0s in IP or prefix length",)
    if _is_mapped(head):
        return ("must not have an IPv4-mapped IPv6 address",)
    if parsed[0] != parsed[1].network_address:
        return ("must not have bits set beyond the prefix length",)
    return ()


def legacy_ip(path: str, value: str, old: Collection[str] = ()) -> list[FieldError]:
    """old: values of the stored object, which are let through whatever they are."""
    if value in old:
        return []
    return [field.invalid(path, value, text) for text in _ip_texts(value)]


def legacy_cidr(path: str, value: str, old: Collection[str] = ()) -> list[FieldError]:
    if value in old:
        return []
    return [field.invalid(path, value, text) for text in _cidr_texts(value)]


def strict_ip(path: str, value: str) -> list[FieldError]:
    if errors := legacy_ip(path, value):
        return errors
    canonical = str(parse(value))
    if value != canonical:
        return [field.invalid(path, value, f"must be in canonical form ({field.go_quote(canonical)})")]
    return []


def strict_cidr(path: str, value: str) -> list[FieldError]:
    if errors := legacy_cidr(path, value):
        return errors
    parsed = parse_cidr(value)
    canonical = str(parsed[1]) if parsed else value
    if value != canonical:
        return [field.invalid(path, value, f"must be in canonical form ({field.go_quote(canonical)})")]
    return []


_MULTICAST_V4 = IPv4Network("224.0.0.0/24")


def endpoint_ip(path: str, value: str) -> list[FieldError]:
    """An address that can stand for an endpoint: not unspecified, loopback or link-local."""
    address = parse(value)
    if address is None:
        return [field.invalid(path, value, "must be a valid IP address")]
    errors = []
    if address.is_unspecified:
        errors.append(field.invalid(path, value, f"may not be unspecified ({value})"))
    if address.is_loopback:
        errors.append(field.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        errors.append(field.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if _is_link_local_multicast(address):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(field.invalid(path, value, text))
    return errors


def _is_link_local_multicast(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address in _MULTICAST_V4
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def is_dual_stack(values: Collection[str]) -> bool:
    """Whether there is at least one valid address of each family."""
    families = {type(address) for address in map(parse, values)}
    return families == {IPv4Address, IPv6Address}


def ip_warnings(path: str, value: str) -> list[str]:
    """Warnings for an address in a non-standard form."""
    address = parse(value)
    if address is None:
        return []
    quoted, canonical = field.go_quote(value), field.go_quote(str(address))
    if _has_leading_zeros(value) or _is_mapped(value):
        return [f"{path}: non-standard IP address {quoted} is invalid: use {canonical}"]
    if isinstance(address, IPv6Address) and str(address) != value:
        return [f"{path}: IPv6 address {quoted} should be in RFC 5952 canonical format ({canonical})"]
    return []


def cidr_warnings(path: str, value: str) -> list[str]:
    """Warnings for a CIDR in a non-standard form."""
    parsed = parse_cidr(value)
    if parsed is None:
        return []
    address, network = parsed
    quoted, canonical = field.go_quote(value), field.go_quote(str(network))
    warnings = []
    if address != network.network_address:
        single = field.go_quote(f"{address}/{address.max_prefixlen}")
        warnings.append(
            f"{path}: CIDR value {quoted} is ambiguous in this context (should be {canonical} or {single}?)"
        )
    head, _, tail = value.partition("/")
    if _has_leading_zeros(head) or (len(tail) > 1 and tail[0] == "0") or _is_mapped(head):
        warnings.append(f"{path}: non-standard CIDR value {quoted} is invalid: use {canonical}")
    if not warnings and isinstance(network, IPv6Network) and str(network) != value:
        warnings.append(f"{path}: IPv6 CIDR value {quoted} should be in RFC 5952 canonical format ({canonical})")
    return warnings


def load_balancer_warnings(obj: Mapping[str, Any]) -> list[str]:
    """Odd spellings in status.loadBalancer, of a Service or an Ingress; the path is the entry's, as in the original."""
    found: list[str] = []
    for position, entry in enumerate(((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()):
        if address := entry.get("ip"):
            found += ip_warnings(f"status.loadBalancer.ingress[{position}]", address)
    return found


@memo.small(16384, 128)
def is_plain(value: str, family: str) -> bool:
    """Nothing can be said against the address as an endpoint's. family: "IPv4" or "IPv6"."""
    fits = parse(value) is not None and is_ipv6(value) == (family == "IPv6")
    return fits and not (legacy_ip("", value) or endpoint_ip("", value) or ip_warnings("", value))
