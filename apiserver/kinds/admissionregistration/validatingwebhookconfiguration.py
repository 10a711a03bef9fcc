"""ValidatingWebhookConfiguration of admissionregistration.k8s.io/v1: webhooks that judge writes."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.admissionregistration import webhooks
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj


class ValidatingWebhookConfiguration(Kind):
    group = "admissionregistration.k8s.io"
    kind = "ValidatingWebhookConfiguration"
    plural = "validatingwebhookconfigurations"
    core_metadata = False
    namespaced = False
    categories = ("api-extensions",)
    has_generation = True
    unconditional_update = False
    mutating = False  # its webhooks judge, and change nothing
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

    def default(self, obj: Obj, version: str) -> None:
        for hook in obj.get("webhooks") or ():
            webhooks.default_webhook(hook, mutating=self.mutating)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return webhooks.validate(obj.get("webhooks") or (), None, mutating=self.mutating)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return webhooks.validate(obj.get("webhooks") or (), old.get("webhooks") or (), mutating=self.mutating)
