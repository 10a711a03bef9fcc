"""Kinds of the group coordination.k8s.io."""

from __future__ import annotations

from apiserver.kinds.coordination.lease import Lease
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (Lease(),)
