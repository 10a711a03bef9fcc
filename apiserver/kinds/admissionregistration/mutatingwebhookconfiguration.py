"""MutatingWebhookConfiguration of admissionregistration.k8s.io/v1: webhooks that change writes."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Kind, Obj


class MutatingWebhookConfiguration(Kind):
    group = "admissionregistration.k8s.io"
    kind = "MutatingWebhookConfiguration"
    plural = "mutatingwebhookconfigurations"
    namespaced = False
    categories = ("api-extensions",)
    has_generation = True
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column(
            "Webhooks",
            "integer",
            description="Webhooks indicates the number of webhooks registered in this configuration",
        ),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"]["name"], len(obj.get("webhooks") or ()), cells.age(obj, clock)]
