"""Kinds of the group networking.k8s.io."""

from __future__ import annotations

from apiserver.kinds.networking.ingress import Ingress
from apiserver.kinds.networking.ingressclass import IngressClass
from apiserver.kinds.networking.ipaddress import IPAddress
from apiserver.kinds.networking.networkpolicy import NetworkPolicy
from apiserver.kinds.networking.servicecidr import ServiceCIDR
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    IngressClass(),
    Ingress(),
    IPAddress(),
    NetworkPolicy(),
    ServiceCIDR(),
)
