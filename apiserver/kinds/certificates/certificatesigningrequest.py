"""CertificateSigningRequest of certificates.k8s.io/v1: asking for a certificate, approval, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.certificates import rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj, Subresource

APPROVAL = Subresource("approval")


class CertificateSigningRequest(Kind):
    group = "certificates.k8s.io"
    kind = "CertificateSigningRequest"
    plural = "certificatesigningrequests"
    namespaced = False
    short_names = ("csr",)
    subresources = (APPROVAL, STATUS)
    columns = (
        NAME_COLUMN,
        AGE_COLUMN,
        Column("SignerName", doc="spec.signerName"),
        Column("Requestor", doc="spec.request"),
        Column("RequestedDuration", doc="spec.expirationSeconds"),
        Column("Condition", doc="status.conditions"),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        seconds = spec.get("expirationSeconds")
        return [
            obj["metadata"]["name"],
            cells.age(obj, clock),
            spec.get("signerName") or cells.NONE,
            spec.get("username", ""),
            cells.NONE if seconds is None else times.human_duration(seconds),
            _condition(obj.get("status") or {}),
        ]

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName", "")}

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return []  # the original does not mind what requests are called

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        # Who asks is what the server says, never what the request says.
        spec, user = obj.setdefault("spec", {}), ctx.user
        for name in ("username", "uid", "groups", "extra"):
            spec.pop(name, None)
        if user.name:
            spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {name: list(values) for name, values in user.extra.items()}

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if not ctx.subresource:
            obj["spec"] = old["spec"]
            return
        status, before = obj.setdefault("status", {}), old.get("status") or {}
        if ctx.subresource == "approval":
            conditions = status.get("conditions")
            status = obj["status"] = dict(before)
            status.pop("conditions", None)
            if conditions:
                status["conditions"] = conditions
        else:
            for kind in ("Approved", "Denied"):
                _keep_decisions(status.get("conditions") or [], before.get("conditions") or (), kind)
        _date_conditions(status.get("conditions") or (), before.get("conditions") or (), times.now(ctx.clock))

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return rules.validate(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return rules.validate(obj, old) + rules.validate_change(obj, old, ctx.subresource)


def _keep_decisions(conditions: list[Obj], old: Sequence[Obj], kind: str) -> None:
    """Decisions are not for the status subresource to change; those that come or go are refused later."""
    kept = [condition for condition in old if condition.get("type") == kind]
    places = [place for place, condition in enumerate(conditions) if condition.get("type") == kind]
    if len(places) == len(kept):
        for place, condition in zip(places, kept, strict=True):
            conditions[place] = condition


def _date_conditions(conditions: Sequence[Obj], old: Sequence[Obj], now: str) -> None:
    """A condition without times gets them; a transition that has not happened keeps its time."""
    for condition in conditions:
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            condition["lastTransitionTime"] = next(
                (
                    before["lastTransitionTime"]
                    for before in old
                    if before.get("type") == condition.get("type")
                    and before.get("status") == condition.get("status")
                    and before.get("lastTransitionTime")
                ),
                now,
            )


def _condition(status: Obj) -> str:
    types = {c.get("type") for c in status.get("conditions") or ()}
    text = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        text += ",Failed"
    if status.get("certificate"):
        text += ",Issued"
    return text
