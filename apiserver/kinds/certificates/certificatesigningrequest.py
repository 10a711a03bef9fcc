"""CertificateSigningRequest of certificates.k8s.io/v1: asking for a certificate, approval, and the answer."""

from __future__ import annotations

from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Kind, Obj, Subresource

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


def _condition(status: Obj) -> str:
    types = {c.get("type") for c in status.get("conditions") or ()}
    text = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        text += ",Failed"
    if status.get("certificate"):
        text += ",Issued"
    return text
