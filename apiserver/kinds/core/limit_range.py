"""LimitRange: bounds and defaults for what pods, containers and claims in a namespace may ask for."""

from __future__ import annotations

from apiserver.registry.kind import Kind


class LimitRangeKind(Kind):
    kind = "LimitRange"
    plural = "limitranges"
    short_names = ("limits",)
    create_on_update = True


LIMIT_RANGE = LimitRangeKind()
