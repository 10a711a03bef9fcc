"""Kinds of the group autoscaling (Scale is a subresource body, see handlers)."""

from __future__ import annotations

from apiserver.kinds.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (HorizontalPodAutoscaler(),)
