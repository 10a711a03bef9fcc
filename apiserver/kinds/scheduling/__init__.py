"""Kinds of the group scheduling.k8s.io."""

from __future__ import annotations

from apiserver.kinds.scheduling.priorityclass import PriorityClass
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (PriorityClass(),)
