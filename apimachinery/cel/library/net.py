"""IP addresses and CIDRs: strictly parsed, without zones and without IPv4 in IPv6."""

from __future__ import annotations

import ipaddress
from typing import ClassVar

from apimachinery import memo
from apimachinery.cel import types
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.values import Opaque
from apimachinery.field import go_quote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class IP(Opaque):
    __slots__ = ("address",)
    cel_type: ClassVar[types.Type] = types.IP

    def __init__(self, address: Address) -> None:
        self.address = address

    def cel_size(self) -> int:
        return self.address.max_prefixlen // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IP) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class CIDR(Opaque):
    __slots__ = ("address", "bits")
    cel_type: ClassVar[types.Type] = types.CIDR

    def __init__(self, address: Address, bits: int) -> None:
        self.address = address
        self.bits = bits

    def cel_size(self) -> int:
        return (self.bits + 7) // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CIDR) and self.address == other.address and self.bits == other.bits

    def __hash__(self) -> int:
        return hash((self.address, self.bits))

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    def holds(self, address: Address) -> bool:
        shift = self.address.max_prefixlen - self.bits
        return self.address.version == address.version and int(self.address) >> shift == int(address) >> shift


def _go_problem(text: str) -> str:
    """Why netip.ParseAddr refuses a text."""
    for char in text:
        if char == ".":
            return "IPv4 field has value >255" if _ipv4_overflow(text) else "unexpected character"
        if char == ":":
            return "unexpected character"
        if char == "%":
            return "missing IPv6 address"
    return "unable to parse IP"


def _ipv4_overflow(text: str) -> bool:
    parts = text.split(".")
    return all(part.isdigit() for part in parts) and any(int(part) > 255 for part in parts)


@memo.short(256)
def address(text: str) -> Address:
    """The address; EvalError in the original's words."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        quoted = go_quote(text)
        raise EvalError(
            f"IP Address {quoted} parse error during conversion from string: ParseAddr({quoted}): {_go_problem(text)}"
        ) from None
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            raise EvalError(f"IP address {go_quote(text)} with zone value is not allowed")
        if found.ipv4_mapped is not None:
            raise EvalError(f"IPv4-mapped IPv6 address {go_quote(text)} is not allowed")
    return found


def parse_ip(text: str) -> IP:
    return IP(address(text))


def is_ip(text: str) -> bool:
    try:
        address(text)
    except EvalError:
        return False
    return True


@memo.short(256)
def _cidr(text: str) -> CIDR:
    before, slash, bits = text.rpartition("/")
    quoted = go_quote(text)

    def refusal(problem: str) -> EvalError:
        return EvalError(
            f"network address parse error during conversion from string: netip.ParsePrefix({quoted}): {problem}"
        )

    if not slash:
        raise refusal("no '/'")
    try:
        found = ipaddress.ip_address(before)
    except ValueError:
        raise EvalError(
            f"network address parse error during conversion from string: netip.ParsePrefix({quoted}): "
            f"ParseAddr({go_quote(before)}): {_go_problem(before)}"
        ) from None
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            raise refusal("IPv6 zones cannot be present in a prefix")
        if found.ipv4_mapped is not None:
            raise EvalError(
                "network address parse error during conversion from string: IPv4-mapped IPv6 address "
                f"{quoted} is not allowed"
            )
    if not bits.isdigit() or (len(bits) > 1 and bits[0] == "0"):
        raise refusal(f"bad bits after slash: {go_quote(bits)}")
    if len(bits) > 3 or int(bits) > found.max_prefixlen:
        raise refusal("prefix length out of range")
    return CIDR(found, int(bits))


def parse_cidr(text: str) -> CIDR:
    return _cidr(text)


def is_cidr(text: str) -> bool:
    try:
        _cidr(text)
    except EvalError:
        return False
    return True


def _contains_cidr(outer: CIDR, inner: CIDR) -> bool:
    return outer.bits <= inner.bits and outer.holds(inner.address)


def _masked(cidr: CIDR) -> CIDR:
    shift = cidr.address.max_prefixlen - cidr.bits
    return CIDR(type(cidr.address)(int(cidr.address) >> shift << shift), cidr.bits)


def _link_local_multicast(ip: IP) -> bool:
    if isinstance(ip.address, ipaddress.IPv4Address):
        return int(ip.address) >> 8 == 0xE00000
    return (int(ip.address) >> 112) & 0xFF0F == 0xFF02


def _link_local_unicast(ip: IP) -> bool:
    return ip.address.is_link_local


def _global_unicast(ip: IP) -> bool:
    a = ip.address
    broadcast = a.version == 4 and int(a) == 0xFFFFFFFF
    return not (a.is_unspecified or a.is_loopback or a.is_multicast or a.is_link_local or broadcast)


OVERLOADS = [
    Overload("ip", "string_to_ip", "(string) ip", parse_ip),
    Overload("family", "ip_family", "ip.() int", lambda ip: ip.address.version),
    Overload("ip.isCanonical", "ip_is_canonical", "(string) bool", lambda text: str(address(text)) == text),
    Overload("isUnspecified", "ip_is_unspecified", "ip.() bool", lambda ip: ip.address.is_unspecified),
    Overload("isLoopback", "ip_is_loopback", "ip.() bool", lambda ip: ip.address.is_loopback),
    Overload("isLinkLocalMulticast", "ip_is_link_local_multicast", "ip.() bool", _link_local_multicast),
    Overload("isLinkLocalUnicast", "ip_is_link_local_unicast", "ip.() bool", _link_local_unicast),
    Overload("isGlobalUnicast", "ip_is_global_unicast", "ip.() bool", _global_unicast),
    Overload("isIP", "is_ip", "(string) bool", is_ip),
    Overload("string", "ip_to_string", "(ip) string", str),
    Overload("cidr", "string_to_cidr", "(string) cidr", parse_cidr),
    Overload("containsIP", "cidr_contains_ip_string", "cidr.(string) bool", lambda c, text: c.holds(address(text))),
    Overload("containsIP", "cidr_contains_ip_ip", "cidr.(ip) bool", lambda c, ip: c.holds(ip.address)),
    Overload(
        "containsCIDR",
        "cidr_contains_cidr_string",
        "cidr.(string) bool",
        lambda c, text: _contains_cidr(c, _cidr(text)),
    ),
    Overload("containsCIDR", "cidr_contains_cidr", "cidr.(cidr) bool", _contains_cidr),
    Overload("ip", "cidr_ip", "cidr.() ip", lambda c: IP(c.address)),
    Overload("prefixLength", "cidr_prefix_length", "cidr.() int", lambda c: c.bits),
    Overload("masked", "cidr_masked", "cidr.() cidr", _masked),
    Overload("isCIDR", "is_cidr", "(string) bool", is_cidr),
    Overload("string", "cidr_to_string", "(cidr) string", str),
]
