"""Kinds of the group policy (Eviction is a subresource body, see handlers)."""

from __future__ import annotations

from apiserver.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (PodDisruptionBudget(),)
