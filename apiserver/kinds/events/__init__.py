"""Kinds of the group events.k8s.io."""

from __future__ import annotations

from apiserver.kinds.events.event import Event
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (Event(),)
