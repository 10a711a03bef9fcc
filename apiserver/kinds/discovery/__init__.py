"""Kinds of the group discovery.k8s.io."""

from __future__ import annotations

from apiserver.kinds.discovery.endpointslice import EndpointSlice
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (EndpointSlice(),)
